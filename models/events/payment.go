package events

import (
	"context"
	"time"

	"guichet/models/id"
)

// ClaimOf is the wish of a payment for a reservation.
type ClaimOf struct {
	Reservation id.ID
	Operation   id.ID // the payment
}

// ClaimOutcome is what came of a ClaimOf.
type ClaimOutcome string

// The outcomes of claims.
const (
	Claimed      ClaimOutcome = "claimed"  // held and not expired, or claimed by this operation before: it is this operation's until it is settled
	ClaimExpired ClaimOutcome = "expired"  // its time is up, whether or not that was noted before
	ClaimNotHeld ClaimOutcome = "not_held" // another payment has claimed it, or it is paid, released or refunded: the reservation says which
	ClaimUnknown ClaimOutcome = "unknown"  // Redis does not have it: it is as the database says, and not held
)

// ClaimResult is the answer to a ClaimOf.
type ClaimResult struct {
	Outcome     ClaimOutcome
	Reservation Reservation // as it is now; zero if it is unknown
}

// Claim gives reservations of one event to payments, in their order: what is claimed neither expires nor can be released until Settle says what became of the
// payment. The error is ErrNotLoaded if Redis does not know the event; then nothing is claimed.
func (s *Seats) Claim(ctx context.Context, hall *Hall, claims []ClaimOf, now time.Time) ([]ClaimResult, error) {
	if len(claims) == 0 {
		return nil, nil
	}
	arguments := make([]any, 0, 2*len(claims))
	for _, c := range claims {
		arguments = append(arguments, c.Reservation.String(), c.Operation.String())
	}
	r := replyOf(claimScript.run(ctx, s.client, hall.keys.all(), now, arguments...))
	if r.text() == "not_loaded" {
		return nil, ErrNotLoaded
	}
	results := make([]ClaimResult, len(claims))
	for i := range claims {
		outcome, record := r.text(), r.text()
		if r.err != nil {
			return nil, r.err
		}
		results[i].Outcome = ClaimOutcome(outcome)
		if record == "" {
			continue
		}
		var err error
		if results[i].Reservation, err = hall.reservation(claims[i].Reservation, record); err != nil {
			return nil, err
		}
	}
	return results, r.err
}

// Settlement is what the database says has become of a reservation.
type Settlement struct {
	Reservation id.ID
	UserID      id.ID // its owner
	Operation   id.ID // the payment, or the refund
	Seats       []int // all of the reservation's
	To          SettledTo
}

// SettledTo is a kind of settlement.
type SettledTo string

// The kinds of settlements.
const (
	// Paid: the payment is committed. It concerns a reservation only while that is held or claimed by the payment: who is late must not take a seat from whoever has it
	// since. What is missed so the reconciliation finds.
	Paid SettledTo = "paid"
	// Sold: the payment is committed, and nothing else can be decided meanwhile. Whatever Redis says, the seats are this reservation's: another that holds them is released.
	Sold SettledTo = "sold"
	// Freed: the payment was refused, and the reservation is released by that.
	Freed SettledTo = "freed"
	// Unclaimed: there is no such payment, and never will be: the reservation is held as before.
	Unclaimed SettledTo = "unclaimed"
	// Refunded: the refund is committed. The seats are free.
	Refunded SettledTo = "refunded"
)

// Settle tells Redis what is committed. Doing it again, or late, changes nothing: Paid, Freed and Unclaimed concern a reservation only while it is held or claimed by
// the operation, Refunded only seats that are the reservation's. Sold is for who knows that it is not late. It returns how many of the settlements changed something. The error is ErrNotLoaded if Redis does not
// know the event: Load it then all the same, and settle again, because another process may be loading it from before the commit.
func (s *Seats) Settle(ctx context.Context, hall *Hall, settlements []Settlement, now time.Time) (changed int, err error) {
	if len(settlements) == 0 {
		return 0, nil
	}
	arguments := make([]any, 0, 5*len(settlements))
	for i := range settlements {
		t := &settlements[i]
		arguments = append(arguments, t.Reservation.String(), t.UserID.String(), operationText(t.Operation), string(t.To), hall.places(t.Seats))
	}
	changed, err = settleScript.run(ctx, s.client, hall.keys.all(), now, arguments...).Int()
	if changed < 0 {
		return 0, ErrNotLoaded
	}
	return changed, err
}
