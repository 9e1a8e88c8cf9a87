package exchange

import (
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"guichet/models/money"
)

// plainFee is the fee once more, on integers without a limit.
func plainFee(notional *big.Int, bps int) *big.Int {
	fee := new(big.Int).Mul(notional, big.NewInt(int64(bps)))
	fee.Add(fee, big.NewInt(5000)).Div(fee, big.NewInt(10_000))
	if fee.Cmp(notional) > 0 {
		fee.Set(notional)
	}
	return fee
}

func TestFee(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		notional money.Amount
		bps      int
		want     money.Amount
	}{
		{1600, 1000, 160}, {1, 1000, 0}, {4, 1000, 0}, {5, 1000, 1}, {14, 1000, 1}, {15, 1000, 2}, {1, 5000, 1}, {1, 4999, 0}, {1, 9999, 1}, {7, 10_000, 7},
		{7, 0, 0}, {0, 1000, 0}, {math.MaxInt64, 10_000, math.MaxInt64}, {math.MaxInt64, 9999, 9_222_449_699_651_090_329}, {money.MaxBalance, 1, 900_719_925_474},
	} {
		if got := Fee(tt.notional, tt.bps); got != tt.want {
			t.Errorf("%d bps of %d: %d, want %d", tt.bps, tt.notional, got, tt.want)
		}
	}
}

func TestFeeOfAnything(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		notional, bps := rapid.Int64Range(0, math.MaxInt64).Draw(t, "notional"), rapid.IntRange(0, MaxFeeBps).Draw(t, "bps")
		if got, want := Fee(money.Amount(notional), bps), plainFee(big.NewInt(notional), bps); int64(got) != want.Int64() {
			t.Fatalf("%d bps of %d: %d, want %s", bps, notional, got, want)
		}
	})
}
