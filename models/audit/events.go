package audit

import (
	"encoding/json"
	"fmt"

	"guichet/models/database"
	"guichet/models/events"
	"guichet/models/id"
)

// checkEvents checks that the tables of events agree with each other and with the ledger, by themselves.
func checkEvents(tx database.Tx) ([]*Check, error) {
	x := &hallCheck{
		sold: &Check{Name: "seats_sold_once"}, tickets: &Check{Name: "tickets_equal_reservations"},
		halls: map[id.ID]*events.Hall{}, paid: map[seatKey]id.ID{}, wanted: map[ticketKey]events.TicketStatus{},
	}
	for _, read := range []func(database.Tx) error{x.readHalls, x.readReservations, x.checkSold, x.checkTickets} {
		if err := read(tx); err != nil {
			return nil, err
		}
	}
	till, err := checkTill("payments_equal_entries", eventTillRows(tx))
	return []*Check{x.sold, x.tickets, till}, err
}

type seatKey struct {
	event id.ID
	seat  int
}

type ticketKey struct {
	reservation id.ID
	seat        int
}

// hallCheck holds what the reservations say against the seats that are sold and the tickets that were issued.
type hallCheck struct {
	sold, tickets *Check
	halls         map[id.ID]*events.Hall
	paid          map[seatKey]id.ID
	wanted        map[ticketKey]events.TicketStatus // valid where it may be used as well
}

func (x *hallCheck) readHalls(tx database.Tx) error {
	for e, err := range eventRows(tx) {
		if err != nil {
			return err
		}
		var sections []events.Section
		if err := json.Unmarshal([]byte(e.sections), &sections); err != nil {
			return fmt.Errorf("audit: the sections of event %s: %w", e.id, err)
		}
		if x.halls[e.id], err = events.NewHall(e.id, sections); err != nil {
			return err
		}
	}
	return nil
}

// readReservations takes note of the seats that are paid, each of which is one reservation's, and costs what the hall says.
func (x *hallCheck) readReservations(tx database.Tx) error {
	for r, err := range settledReservations(tx) {
		if err != nil {
			return err
		}
		if r.Status != events.StatusPaid && r.Status != events.StatusRefunded {
			continue
		}
		seats, err := events.SplitSeats(r.seats)
		if err != nil {
			return err
		}
		x.checkTerms(r, seats)
		for _, seat := range seats {
			if r.Status == events.StatusRefunded {
				x.wanted[ticketKey{r.ID, seat}] = events.TicketRefunded
				continue
			}
			x.wanted[ticketKey{r.ID, seat}] = events.TicketValid
			key := seatKey{r.EventID, seat}
			if other, twice := x.paid[key]; twice {
				x.sold.find("seat %d of event %s is paid by reservation %s and by %s", seat, r.EventID, other, r.ID)
			}
			x.paid[key] = r.ID
		}
	}
	return nil
}

func (x *hallCheck) checkTerms(r *settledReservation, seats []int) {
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
	if paid, refunded := !r.PaidBy.IsZero(), !r.RefundedBy.IsZero(); !paid || refunded != (r.Status == events.StatusRefunded) {
		x.sold.find("reservation %s is %s; paid: %t, refunded: %t", r.ID, r.Status, paid, refunded)
	}
}

func (x *hallCheck) checkSold(tx database.Tx) error {
	for s, err := range soldRows(tx) {
		if err != nil {
			return err
		}
		x.sold.Checked++
		key := seatKey{s.event, s.seat}
		if x.paid[key] != s.reservation {
			x.sold.find("seat %d of event %s is sold to reservation %s; paid for it has %s", s.seat, s.event, s.reservation, x.paid[key])
		}
		delete(x.paid, key)
	}
	for key, reservation := range x.paid {
		x.sold.find("seat %d of event %s is paid by reservation %s, and not sold", key.seat, key.event, reservation)
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
		used := t.status == events.TicketUsed && want == events.TicketValid
		switch {
		case !known:
			x.tickets.find("there is a ticket for seat %d of reservation %s, which has not paid for it", t.seat, t.reservation)
		case t.status != want && !used:
			x.tickets.find("the ticket for seat %d of reservation %s is %s; by the reservation, %s", t.seat, t.reservation, t.status, want)
		case used != (t.usedUs != 0):
			x.tickets.find("the ticket for seat %d of reservation %s is %s, and was used at %d µs", t.seat, t.reservation, t.status, t.usedUs)
		}
		delete(x.wanted, key)
	}
	for key := range x.wanted {
		x.tickets.find("reservation %s has paid for seat %d, and there is no ticket", key.reservation, key.seat)
	}
	return nil
}
