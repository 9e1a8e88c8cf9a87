package audit

import (
	"maps"
	"slices"
	"strings"

	"guichet/models/bank"
	"guichet/models/database"
	"guichet/models/events"
	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/operation"
	"guichet/models/problem"
)

// eventsReplayer replays payments and refunds of reservations, and answers for what the lane has made of them. Reservations themselves are made in Redis, and are no
// operations: their rows are taken as they are. So is what Redis told the lane, that a reservation was not held any more; and check-ins, by their stamps.
type eventsReplayer struct {
	round    *events.Round
	unheld   map[id.ID]problem.Code        // payments that Redis let come to nothing
	used     map[id.ID][]ticketRow         // by reservation
	recorded map[id.ID]*events.Reservation // as the table has them
}

// decidedInRedis are the refusals of payments and refunds that nothing in the journal explains.
var decidedInRedis = []problem.Code{problem.UnknownReservation, problem.ReservationExpired, problem.ReservationNotHeld, problem.ReservationEnded}

func newEventsReplayer(tx database.Tx, ledger *bank.Ledger) (replayer, error) {
	x := &eventsReplayer{unheld: map[id.ID]problem.Code{}, used: map[id.ID][]ticketRow{}, recorded: map[id.ID]*events.Reservation{}}
	var all []events.Event
	for e, err := range eventRows(tx) {
		if err != nil {
			return nil, err
		}
		all = append(all, events.Event{ID: e.id, StartsAt: operation.FromMicro(e.startsUs), Lamport: e.stamp})
	}
	var reservations []events.Reservation
	for r, err := range settledReservations(tx) {
		if err != nil {
			return nil, err
		}
		if r.Seats, err = events.SplitSeats(r.seats); err != nil {
			return nil, err
		}
		recorded := r.Reservation
		x.recorded[r.ID] = &recorded
		r.Status, r.PaidBy, r.RefundedBy = events.StatusHeld, id.ID{}, id.ID{}
		reservations = append(reservations, r.Reservation)
	}
	for t, err := range ticketRows(tx) {
		if err != nil {
			return nil, err
		}
		if t.status == events.TicketUsed {
			x.used[t.reservation] = append(x.used[t.reservation], *t)
		}
	}
	for r, err := range redisRefusals(tx) {
		if err != nil {
			return nil, err
		}
		code, _, _ := strings.Cut(r.problem.String, "\n")
		if slices.Contains(decidedInRedis, problem.Code(code)) {
			x.unheld[r.operation] = problem.Code(code)
		}
	}
	x.round = events.NewRound(ledger, all, reservations, map[events.Seat]id.ID{}, nil)
	return x, nil
}

func (x *eventsReplayer) replay(command *operation.Command, cause bank.Cause) *problem.Problem {
	c, err := events.DecodeCommand(command.Kind, command.Payload)
	if err != nil {
		panic(err)
	}
	defer x.round.Forget()
	if code, unheld := x.unheld[command.ID]; unheld {
		return problem.New(code, "")
	}
	var refusal *problem.Problem
	if command.Kind == events.KindRefund {
		x.checkInBefore(c.Reservation, cause.Stamp)
		_, refusal = x.round.Refund(cause, c.Reservation)
	} else {
		_, refusal = x.round.Pay(cause, c.Reservation, true)
	}
	return refusal
}

// checkInBefore uses the tickets of a reservation that were used before a stamp. The check-in had their rows locked, and the refund read them.
func (x *eventsReplayer) checkInBefore(reservation id.ID, stamp lamport.Stamp) {
	for _, t := range x.used[reservation] {
		if t.stamp < stamp {
			x.round.Use(reservation, t.seat, t.stamp)
		}
	}
}

// compare reports where reservations, tickets and sold seats are not as the replay has left things.
func (x *eventsReplayer) compare(tx database.Tx, c *Check) error {
	for _, reservation := range slices.SortedFunc(maps.Keys(x.recorded), byID) {
		recorded, again := x.recorded[reservation], x.round.Reservation(reservation)
		if recorded.Status == events.StatusReleased && again.Status == events.StatusHeld {
			continue // by its owner, or because its payment was refused
		}
		if recorded.Status != again.Status || recorded.PaidBy != again.PaidBy || recorded.RefundedBy != again.RefundedBy || recorded.Lamport != again.Lamport {
			c.find("reservation %s is %s, paid by %s and refunded by %s, at stamp %d; replayed, %s, %s, %s and %d", reservation,
				recorded.Status, recorded.PaidBy, recorded.RefundedBy, recorded.Lamport, again.Status, again.PaidBy, again.RefundedBy, again.Lamport)
		}
	}
	return x.compareSold(tx, c)
}

func (x *eventsReplayer) compareSold(tx database.Tx, c *Check) error {
	again := x.round.Sold()
	for s, err := range soldRows(tx) {
		if err != nil {
			return err
		}
		seat := events.Seat{Event: s.event, Number: s.seat}
		if again[seat] != s.reservation {
			c.find("seat %d of event %s is sold to reservation %s; replayed, to %s", s.seat, s.event, s.reservation, again[seat])
		}
		delete(again, seat)
	}
	for seat, reservation := range again {
		c.find("seat %d of event %s is not sold; replayed, it is, to reservation %s", seat.Number, seat.Event, reservation)
	}
	return nil
}
