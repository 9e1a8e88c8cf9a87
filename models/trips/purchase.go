package trips

import (
	"math/bits"
	"time"

	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/money"
)

// Status is the state of a purchase.
type Status string

// The states of a purchase: held, then paid or one of cancelled and expired; paid, then refunded.
const (
	Held      Status = "held"
	Paid      Status = "paid"
	Cancelled Status = "cancelled"
	Expired   Status = "expired"
	Refunded  Status = "refunded"
)

// Purchase is somebody's tickets of one class of a trip. Its id is that of the operation that made it.
type Purchase struct {
	ID         id.ID
	UserID     id.ID
	Account    string // that pays, and that a refund is paid to
	TripID     id.ID
	Class      string
	Quantity   int64        // 1 to MaxQuantity
	Price      money.Amount // of one ticket, when it was asked for
	Status     Status
	ExpiresAt  time.Time // until when it is, or was, held; zero if it was paid at once
	CreatedAt  time.Time
	PaidBy     id.ID        // the operation that paid; zero for none
	RefundedBy id.ID        // the operation that refunded; zero for none
	Refunded   money.Amount // what was paid back
	Lamport    lamport.Stamp
}

// Total is what the tickets cost together.
func (p *Purchase) Total() money.Amount { return p.Price * money.Amount(p.Quantity) }

// due says whether it is held for too long at a time: then it is as good as expired, be that executed or not.
func (p *Purchase) due(at time.Time) bool { return p.Status == Held && !at.Before(p.ExpiresAt) }

// Refund is bps / 10000 of a total, rounded half up to the minor unit. The total is not negative, and bps is 0 to MaxRefundBps, so the refund is never more than
// the total; the product has up to 128 bits.
func Refund(total money.Amount, bps int) money.Amount {
	high, low := bits.Mul64(uint64(total), uint64(bps))
	low, carry := bits.Add64(low, MaxRefundBps/2, 0)
	refund, _ := bits.Div64(high+carry, low, MaxRefundBps) // the quotient is at most the total, so it fits
	return money.Amount(refund)
}
