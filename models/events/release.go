package events

import (
	"context"
	"errors"
	"strconv"
	"time"

	"guichet/models/id"
	"guichet/models/problem"
)

// ErrPaid says that a reservation is paid, or that its payment is under way: its owner can have it refunded, which is decided in the events lane.
var ErrPaid = errors.New("events: the reservation is paid, or is being paid")

// Release frees the seats of a reservation that is held, and returns what it is then. A reservation that has ended is refused with problem.ReservationEnded.
// The other errors are ErrPaid (with the reservation), ErrNotInRedis (also for somebody else's) and ErrNotLoaded.
func (s *Seats) Release(ctx context.Context, hall *Hall, reservation, user id.ID, now time.Time) (Reservation, error) {
	r := replyOf(releaseScript.run(ctx, s.client, hall.keys.all(), now, reservation.String(), user.String()))
	var refusal error
	switch outcome := r.text(); outcome {
	case "released":
	case "not_loaded":
		return Reservation{}, ErrNotLoaded
	case "unknown":
		return Reservation{}, ErrNotInRedis
	case "paid":
		refusal = ErrPaid
	case "ended":
		refusal = problem.New(problem.ReservationEnded, "The reservation has ended.")
	default:
		r.fail("is " + strconv.Quote(outcome))
	}
	record := r.text()
	if r.err != nil {
		return Reservation{}, r.err
	}
	read, err := hall.reservation(reservation, record)
	if err != nil {
		return Reservation{}, err
	}
	return read, refusal
}

// Expire ends up to limit holds that are past their time, the oldest first, and lets in who is due in the waiting room. It says how many holds it ended, and
// whether there is more to do. An event that Redis does not know has none.
func (s *Seats) Expire(ctx context.Context, event id.ID, now time.Time, limit int) (n int, more bool, err error) {
	r := replyOf(expireScript.run(ctx, s.client, keysOf(event).all(), now, max(limit, 1)))
	n, more = int(r.number()), r.number() == 1
	return n, more, r.err
}
