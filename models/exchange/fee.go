package exchange

import (
	"math/bits"

	"guichet/models/money"
)

// Fee is bps / 10000 of a notional, rounded half up to the minor unit, and never more than the notional. Neither is negative; the product has up to 128 bits.
func Fee(notional money.Amount, bps int) money.Amount {
	if notional <= 0 || bps <= 0 {
		return 0
	}
	if bps >= MaxFeeBps {
		return notional
	}
	high, low := bits.Mul64(uint64(notional), uint64(bps))
	low, carry := bits.Add64(low, MaxFeeBps/2, 0)
	fee, _ := bits.Div64(high+carry, low, MaxFeeBps) // the quotient is below the notional, so it fits
	return money.Amount(fee)
}

// Notional is price × quantity, or false if that is more than money.MaxBalance.
func Notional(price money.Amount, quantity int64) (money.Amount, bool) {
	notional, err := price.Times(quantity)
	return notional, err == nil && notional <= money.MaxBalance
}
