package audit

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"

	"guichet/models/database"
	"guichet/models/events"
	"guichet/models/id"
)

// checkEvents checks that the tables of events agree with each other and with the ledger, by themselves.
func checkEvents(tx database.Tx) ([]*Check, error) {
	x := &hallCheck{
		sold: &Check{Name: "seats_sold_once"}, tickets: &Check{Name: "tickets_equal_reservations"},
		halls: map[id.ID]*events.Hall{}, paid: map[events.Seat]id.ID{}, wanted: map[ticketKey]wantedTicket{},
	}
	for _, read := range []func(database.Tx) error{x.readHalls, x.readReservations, x.checkSold, x.checkTickets} {
		if err := read(tx); err != nil {
			return nil, err
		}
	}
	till, err := checkTill("payments_equal_entries", eventTillRows(tx))
	return []*Check{x.sold, x.tickets, till}, err
}

func bySeat(a, b events.Seat) int {
	return cmp.Or(id.Compare(a.Event, b.Event), cmp.Compare(a.Number, b.Number))
}

type ticketKey struct {
	reservation id.ID
	seat        int
}

func byTicket(a, b ticketKey) int {
	return cmp.Or(id.Compare(a.reservation, b.reservation), cmp.Compare(a.seat, b.seat))
}

// wantedTicket is what a reservation says of one of its tickets.
type wantedTicket struct {
	event, user id.ID
	status      events.TicketStatus // valid where it may be used as well
}

// hallCheck holds what the reservations say against the seats that are sold and the tickets that were issued.
type hallCheck struct {
	sold, tickets *Check
	halls         map[id.ID]*events.Hall
	paid          map[events.Seat]id.ID
	wanted        map[ticketKey]wantedTicket
}

func (x *hallCheck) readHalls(tx database.Tx) error {
	for e, err := range eventRows(tx) {
		if err != nil {
			return err
		}
		var sections []events.Section
		err := json.Unmarshal([]byte(e.sections), &sections)
		if err == nil {
			x.halls[e.id], err = events.NewHall(e.id, sections)
		}
		if err != nil {
			x.sold.find("event %s has no hall: %v", e.id, err)
		}
	}
	return nil
}

// readReservations takes note of the seats that are paid, each of which is one reservation's.
func (x *hallCheck) readReservations(tx database.Tx) error {
	for r, err := range reservationRows(tx) {
		if err != nil {
			return err
		}
		x.checkState(r)
		seats, err := events.SplitSeats(r.seats)
		if err != nil {
			x.sold.find("reservation %s: %v", r.ID, err)
			continue
		}
		x.checkTerms(r, seats)
		for _, seat := range seats {
			x.want(r, seat)
		}
	}
	return nil
}

// checkState: who has paid and who was refunded is known by the operations.
func (x *hallCheck) checkState(r *reservationRow) {
	paid, refunded := !r.PaidBy.IsZero(), !r.RefundedBy.IsZero()
	var agrees bool
	switch r.Status {
	case events.StatusHeld, events.StatusReleased, events.StatusExpired:
		agrees = !paid && !refunded
	case events.StatusPaid:
		agrees = paid && !refunded
	case events.StatusRefunded:
		agrees = paid && refunded
	}
	if !agrees {
		x.sold.find("reservation %s is %q; paid: %t, refunded: %t", r.ID, r.Status, paid, refunded)
	}
}

// checkTerms: a reservation is of seats that there are, and costs what the hall says.
func (x *hallCheck) checkTerms(r *reservationRow, seats []int) {
	hall := x.halls[r.EventID]
	if hall == nil {
		x.sold.find("reservation %s is of event %s, and there is no such event", r.ID, r.EventID)
		return
	}
	for _, seat := range seats {
		if seat >= hall.Size() {
			x.sold.find("reservation %s has seat %d of a hall of %d", r.ID, seat, hall.Size())
			return
		}
	}
	if total, err := hall.Total(seats); err != nil || total != r.Total {
		x.sold.find("reservation %s costs %d; its seats cost %d", r.ID, r.Total, total)
	}
}

// want takes note of what follows from a seat of a reservation.
func (x *hallCheck) want(r *reservationRow, seat int) {
	ticket := wantedTicket{r.EventID, r.UserID, events.TicketRefunded}
	switch r.Status {
	case events.StatusPaid:
		ticket.status = events.TicketValid
		key := events.Seat{Event: r.EventID, Number: seat}
		if other, twice := x.paid[key]; twice {
			x.sold.find("seat %d of event %s is paid by reservation %s and by %s", seat, r.EventID, other, r.ID)
		}
		x.paid[key] = r.ID
	case events.StatusRefunded:
	default:
		return // nothing was paid
	}
	x.wanted[ticketKey{r.ID, seat}] = ticket
}

func (x *hallCheck) checkSold(tx database.Tx) error {
	for s, err := range soldRows(tx) {
		if err != nil {
			return err
		}
		x.sold.Checked++
		key := events.Seat{Event: s.event, Number: s.seat}
		if x.paid[key] != s.reservation {
			x.sold.find("seat %d of event %s is sold to reservation %s; paid for it has %s", s.seat, s.event, s.reservation, x.paid[key])
		}
		delete(x.paid, key)
	}
	for _, key := range slices.SortedFunc(maps.Keys(x.paid), bySeat) {
		x.sold.find("seat %d of event %s is paid by reservation %s, and not sold", key.Number, key.Event, x.paid[key])
	}
	return nil
}

func (x *hallCheck) checkTickets(tx database.Tx) error {
	for t, err := range ticketRows(tx) {
		if err != nil {
			return err
		}
		x.tickets.Checked++
		key := ticketKey{t.reservation, t.seat}
		want, known := x.wanted[key]
		used := t.status == events.TicketUsed && want.status == events.TicketValid
		switch {
		case !known:
			x.tickets.find("there is a ticket for seat %d of reservation %s, which has not paid for it", t.seat, t.reservation)
		case t.status != want.status && !used:
			x.tickets.find("the ticket for seat %d of reservation %s is %s; by the reservation, %s", t.seat, t.reservation, t.status, want.status)
		case t.event != want.event || t.user != want.user:
			x.tickets.find("the ticket for seat %d of reservation %s is user %s's for event %s; by the reservation, %s's for %s", t.seat, t.reservation, t.user, t.event, want.user, want.event)
		case used != (t.usedUs != 0):
			x.tickets.find("the ticket for seat %d of reservation %s is %s, and was used at %d µs", t.seat, t.reservation, t.status, t.usedUs)
		}
		delete(x.wanted, key)
	}
	for _, key := range slices.SortedFunc(maps.Keys(x.wanted), byTicket) {
		x.tickets.find("reservation %s has paid for seat %d, and there is no ticket", key.reservation, key.seat)
	}
	return nil
}
