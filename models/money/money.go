// Package money is what amounts are made of: whole minor units (cents), never a float.
package money

import (
	"errors"
	"math/bits"
)

// Amount is a sum in minor units. Negative amounts appear only in postings.
type Amount int64

const (
	// Max is the largest amount that one request may move: 10^15 minor units.
	Max Amount = 1_000_000_000_000_000
	// MaxBalance is the largest balance of a user's account: 2^53−1, the largest integer that every JSON reader keeps exact.
	MaxBalance Amount = 1<<53 - 1
)

// ErrOverflow says that a sum or a product does not fit into 64 bits.
var ErrOverflow = errors.New("money: does not fit into 64 bits")

// Valid says whether a request may move a: 1 to Max.
func (a Amount) Valid() bool { return a >= 1 && a <= Max }

// Add is a + b, or ErrOverflow.
func (a Amount) Add(b Amount) (Amount, error) {
	sum := a + b
	if (b > 0 && sum < a) || (b < 0 && sum > a) {
		return 0, ErrOverflow
	}
	return sum, nil
}

// Times is a × n for a, n ≥ 0, or ErrOverflow.
func (a Amount) Times(n int64) (Amount, error) {
	if a < 0 || n < 0 {
		return 0, ErrOverflow
	}
	high, low := bits.Mul64(uint64(a), uint64(n))
	if high != 0 || low > 1<<63-1 {
		return 0, ErrOverflow
	}
	return Amount(low), nil
}
