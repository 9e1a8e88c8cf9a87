package money

import (
	"errors"
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

func TestValid(t *testing.T) {
	t.Parallel()
	for amount, want := range map[Amount]bool{
		math.MinInt64: false, -1: false, 0: false, 1: true, 2: true, Max - 1: true, Max: true, Max + 1: false, MaxBalance: false, math.MaxInt64: false,
	} {
		if amount.Valid() != want {
			t.Errorf("Amount(%d).Valid() = %t", amount, !want)
		}
	}
	if Max != 1e15 || MaxBalance != 9007199254740991 {
		t.Errorf("the limits are %d and %d", Max, MaxBalance)
	}
}

func TestAdd(t *testing.T) {
	t.Parallel()
	const highest, lowest = Amount(math.MaxInt64), Amount(math.MinInt64)
	for _, tt := range []struct {
		a, b, want Amount
		err        error
	}{
		{0, 0, 0, nil},
		{1, -1, 0, nil},
		{MaxBalance, 1, 1 << 53, nil},
		{highest - 1, 1, highest, nil},
		{highest, 0, highest, nil},
		{highest, 1, 0, ErrOverflow},
		{highest, highest, 0, ErrOverflow},
		{highest, lowest, -1, nil},
		{lowest + 1, -1, lowest, nil},
		{lowest, 0, lowest, nil},
		{lowest, -1, 0, ErrOverflow},
		{lowest, lowest, 0, ErrOverflow},
	} {
		for _, order := range [][2]Amount{{tt.a, tt.b}, {tt.b, tt.a}} {
			got, err := order[0].Add(order[1])
			if got != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("%d + %d = %d, %v; want %d, %v", order[0], order[1], got, err, tt.want, tt.err)
			}
		}
	}
}

func TestTimes(t *testing.T) {
	t.Parallel()
	const highest = Amount(math.MaxInt64)
	for _, tt := range []struct {
		a    Amount
		n    int64
		want Amount
		err  error
	}{
		{0, 0, 0, nil},
		{0, math.MaxInt64, 0, nil},
		{highest, 0, 0, nil},
		{highest, 1, highest, nil},
		{1, math.MaxInt64, highest, nil},
		{highest, 2, 0, ErrOverflow},
		{1 << 31, 1 << 31, 1 << 62, nil},
		{1 << 32, 1 << 31, 0, ErrOverflow}, // 2^63, one too many
		{1 << 32, 1 << 32, 0, ErrOverflow}, // 2^64: nothing is left in the low half
		{Max, 9223, 9_223_000_000_000_000_000, nil},
		{Max, 9224, 0, ErrOverflow},
		{7, 1317624576693539401, highest, nil}, // 7 × it is exactly 2^63−1
		{-1, 1, 0, ErrOverflow},
		{1, -1, 0, ErrOverflow},
		{-1, -1, 0, ErrOverflow},
		{math.MinInt64, 0, 0, ErrOverflow},
	} {
		got, err := tt.a.Times(tt.n)
		if got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%d × %d = %d, %v; want %d, %v", tt.a, tt.n, got, err, tt.want, tt.err)
		}
	}
}

// TestArithmetic compares with integers that have no limit.
func TestArithmetic(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.Int64().Draw(t, "a"), rapid.Int64().Draw(t, "b")
		exact := new(big.Int).Add(big.NewInt(a), big.NewInt(b))
		if sum, err := Amount(a).Add(Amount(b)); (err == nil) != exact.IsInt64() || err == nil && int64(sum) != exact.Int64() {
			t.Fatalf("%d + %d = %d, %v", a, b, sum, err)
		}
		exact.Mul(big.NewInt(a), big.NewInt(b))
		fits := exact.IsInt64() && a >= 0 && b >= 0
		if product, err := Amount(a).Times(b); (err == nil) != fits || err == nil && int64(product) != exact.Int64() {
			t.Fatalf("%d × %d = %d, %v", a, b, product, err)
		}
	})
}
