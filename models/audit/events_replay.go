package audit

import (
	"maps"
	"slices"

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
	refused  map[id.ID]problem.Code        // by operation
	used     map[id.ID][]ticketRow         // by reservation
	recorded map[id.ID]*events.Reservation // as the table has them
}

func newEventsReplayer(tx database.Tx, ledger *bank.Ledger) (replayer, error) {
	refused, err := readRefused(tx, events.Lane)
	if err != nil {
		return nil, err
	}
	x := &eventsReplayer{refused: refused, used: map[id.ID][]ticketRow{}, recorded: map[id.ID]*events.Reservation{}}
	var all []events.Event
	for e, err := range eventRows(tx) {
		if err != nil {
			return nil, err
		}
		all = append(all, events.Event{ID: e.id, StartsAt: operation.FromMicro(e.startsUs), Lamport: e.stamp})
	}
	reservations, err := x.readReservations(tx)
	if err != nil {
		return nil, err
	}
	for t, err := range ticketRows(tx) {
		if err != nil {
			return nil, err
		}
		if t.status == events.TicketUsed {
			x.used[t.reservation] = append(x.used[t.reservation], *t)
		}
	}
	x.round = events.NewRound(ledger, all, reservations, map[events.Seat]id.ID{}, nil)
	return x, nil
}

// readReservations returns the reservations as they were before the lane did anything to them.
func (x *eventsReplayer) readReservations(tx database.Tx) (made []events.Reservation, err error) {
	for r, err := range reservationRows(tx) {
		if err != nil {
			return nil, err
		}
		r.Seats, _ = events.SplitSeats(r.seats) // what cannot be read has no seats; seats_sold_once reports it
		recorded := r.Reservation
		x.recorded[r.ID] = &recorded
		r.Status, r.PaidBy, r.RefundedBy = events.StatusHeld, id.ID{}, id.ID{}
		made = append(made, r.Reservation)
	}
	return made, nil
}

func (x *eventsReplayer) replay(command *operation.Command, cause bank.Cause) *problem.Problem {
	c, err := events.DecodeCommand(command.Kind, command.Payload)
	if err != nil {
		panic(err)
	}
	defer x.round.Forget()
	if code, refused := x.refused[command.ID]; refused && x.wasDecidedInRedis(command.Kind, c.Reservation, code) {
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

// wasDecidedInRedis says whether nothing in the database can tell why a payment or a refund was refused so. Of what the lane has paid, the database knows all.
func (x *eventsReplayer) wasDecidedInRedis(kind string, reservation id.ID, code problem.Code) bool {
	r := x.round.Reservation(reservation)
	switch {
	case r == nil:
		return true // there never was one, or its row is still to come: the refusal may be as fresh
	case r.Status != events.StatusHeld:
		return false
	case kind == events.KindRefund:
		return code == problem.UnknownReservation // its row has come since
	default:
		return code == problem.ReservationExpired || code == problem.ReservationNotHeld || code == problem.UnknownReservation
	}
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
	for _, reservation := range id.Keys(x.recorded) {
		recorded, again := x.recorded[reservation], *x.round.Reservation(reservation)
		if again.Status == events.StatusHeld && (recorded.Status == events.StatusReleased || recorded.Status == events.StatusExpired) {
			again.Status = recorded.Status // by its owner, by time, or because its payment was refused
		}
		if recorded.Status != again.Status || recorded.PaidBy != again.PaidBy || recorded.RefundedBy != again.RefundedBy || recorded.Lamport != again.Lamport {
			c.find("reservation %s is %s, paid by %s and refunded by %s, at stamp %d; replayed, %s, %s, %s and %d", reservation,
				recorded.Status, recorded.PaidBy, recorded.RefundedBy, recorded.Lamport, again.Status, again.PaidBy, again.RefundedBy, again.Lamport)
		}
	}
	if err := x.compareTickets(tx, c); err != nil {
		return err
	}
	return x.compareSold(tx, c)
}

// compareTickets compares when tickets were last changed, and what they are good for since. Whose they are follows from the reservations.
func (x *eventsReplayer) compareTickets(tx database.Tx, c *Check) error {
	again := map[ticketKey]events.Ticket{}
	for reservation := range x.recorded {
		for _, t := range x.round.Tickets(reservation) {
			again[ticketKey{reservation, t.Seat}] = t
		}
	}
	for t, err := range ticketRows(tx) {
		if err != nil {
			return err
		}
		key := ticketKey{t.reservation, t.seat}
		is, known := again[key]
		delete(again, key)
		switch admits := t.status == events.TicketUsed && is.Status == events.TicketValid; {
		case !known:
			c.find("there is a ticket for seat %d of reservation %s; replayed, there is none", t.seat, t.reservation)
		case admits && t.stamp <= is.Lamport:
			c.find("the ticket for seat %d of reservation %s was used at stamp %d; replayed, it was valid at %d", t.seat, t.reservation, t.stamp, is.Lamport)
		case !admits && (t.status != is.Status || t.stamp != is.Lamport):
			c.find("the ticket for seat %d of reservation %s is %s at stamp %d; replayed, %s at %d", t.seat, t.reservation, t.status, t.stamp, is.Status, is.Lamport)
		}
	}
	for _, key := range slices.SortedFunc(maps.Keys(again), byTicket) {
		c.find("there is no ticket for seat %d of reservation %s; replayed, there is", key.seat, key.reservation)
	}
	return nil
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
	for _, seat := range slices.SortedFunc(maps.Keys(again), bySeat) {
		c.find("seat %d of event %s is not sold; replayed, it is, to reservation %s", seat.Number, seat.Event, again[seat])
	}
	return nil
}
