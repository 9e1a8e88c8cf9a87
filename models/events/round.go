package events

import (
	"fmt"

	"guichet/models/bank"
	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/problem"
)

// Seat is a seat of an event.
type Seat struct {
	Event  id.ID
	Number int
}

// Round is what a round of payments and refunds concerns, and what it has made of it. Its verbs change all or nothing.
type Round struct {
	*bank.Ledger
	events       map[id.ID]*Event
	reservations map[id.ID]*Reservation
	sold         map[Seat]id.ID // of the seats that the reservations name: which reservation has bought them
	tickets      map[id.ID][]Ticket

	// What is to be stored.
	paid, refunded []*Reservation
	seen           []id.ID // reservations whose tickets a refusal depended on
}

// NewRound returns a round on what was loaded.
func NewRound(ledger *bank.Ledger, events []Event, reservations []Reservation, sold map[Seat]id.ID, tickets []Ticket) *Round {
	r := &Round{Ledger: ledger, events: map[id.ID]*Event{}, reservations: map[id.ID]*Reservation{}, sold: sold, tickets: map[id.ID][]Ticket{}}
	for i := range events {
		r.events[events[i].ID] = &events[i]
	}
	for i := range reservations {
		r.reservations[reservations[i].ID] = &reservations[i]
	}
	for _, t := range tickets {
		r.tickets[t.Reservation] = append(r.tickets[t.Reservation], t)
	}
	return r
}

// LastStamp is the largest stamp of what was loaded.
func (r *Round) LastStamp() lamport.Stamp {
	last := r.Ledger.LastStamp()
	for _, e := range r.events {
		last = max(last, e.Lamport)
	}
	for _, reservation := range r.reservations {
		last = max(last, reservation.Lamport)
	}
	for _, tickets := range r.tickets {
		for i := range tickets {
			last = max(last, tickets[i].Lamport)
		}
	}
	return last
}

// Reservation is one that was loaded, as it is now, or nil.
func (r *Round) Reservation(reservation id.ID) *Reservation { return r.reservations[reservation] }

// Tickets are those of a reservation, as far as that was loaded, and as they are now. The slice is not to be changed.
func (r *Round) Tickets(reservation id.ID) []Ticket { return r.tickets[reservation] }

// Sold is which reservation has bought each seat, as far as that was loaded, and as it is now.
func (r *Round) Sold() map[Seat]id.ID { return r.sold }

// Use uses the ticket of a seat, as a check-in at that stamp does, if there is one.
func (r *Round) Use(reservation id.ID, seat int, stamp lamport.Stamp) {
	tickets := r.tickets[reservation]
	for i := range tickets {
		if tickets[i].Seat == seat && tickets[i].Status == TicketValid {
			tickets[i].Status, tickets[i].Lamport = TicketUsed, stamp
		}
	}
}

// Forget drops what is to be stored: a replay stores nothing.
func (r *Round) Forget() { r.paid, r.refunded, r.seen = nil, nil, nil }

// Pay pays a reservation. claimed says whether its seats are still set aside for it, which Redis decides. It refuses, and then changes nothing: unknown_reservation,
// reservation_not_held, event_started, reservation_expired, and what the ledger refuses.
func (r *Round) Pay(c bank.Cause, reservation id.ID, claimed bool) (*Reservation, *problem.Problem) {
	held, event, refusal := r.find(reservation)
	if refusal != nil {
		return nil, refusal
	}
	switch held.Status {
	case StatusHeld:
	case StatusExpired:
		return nil, expired()
	default:
		return nil, problem.Newf(problem.ReservationNotHeld, "The reservation is %s.", held.Status)
	}
	if !c.At.Before(event.StartsAt) {
		return nil, problem.New(problem.EventStarted, "The event has started.")
	}
	if !claimed || r.isTaken(held) {
		return nil, expired()
	}
	if held.Total > 0 {
		_, refusal = r.Post(c, bank.KindPurchase, reservation.String(), []bank.Leg{{Account: held.Account, Amount: -held.Total}, {Account: HouseAccount, Amount: held.Total}})
		if refusal != nil {
			return nil, refusal
		}
	}
	held.Status, held.PaidBy, held.Lamport = StatusPaid, c.OperationID, c.Stamp
	for _, seat := range held.Seats {
		r.sold[Seat{held.EventID, seat}] = held.ID
		r.tickets[held.ID] = append(r.tickets[held.ID], Ticket{Reservation: held.ID, Seat: seat, Event: held.EventID, User: held.UserID, Status: TicketValid, Lamport: c.Stamp})
	}
	r.paid = append(r.paid, held)
	return held, nil
}

func expired() *problem.Problem {
	return problem.New(problem.ReservationExpired, "The seats are not held for this reservation any more.")
}

// isTaken says whether somebody else has bought one of the seats. Redis lets nobody; this is for a Redis that has lost its data.
func (r *Round) isTaken(held *Reservation) bool {
	for _, seat := range held.Seats {
		if owner, sold := r.sold[Seat{held.EventID, seat}]; sold && owner != held.ID {
			return true
		}
	}
	return false
}

// Refund pays a reservation back in full. It refuses, and then changes nothing but stamps: unknown_reservation, reservation_ended, event_started, ticket_used, and
// what the ledger refuses.
func (r *Round) Refund(c bank.Cause, reservation id.ID) (*Reservation, *problem.Problem) {
	paid, event, refusal := r.find(reservation)
	if refusal != nil {
		return nil, refusal
	}
	if paid.Status != StatusPaid {
		return nil, problem.Newf(problem.ReservationEnded, "The reservation is not paid; it is %s.", paid.Status)
	}
	if !c.At.Before(event.StartsAt) {
		return nil, problem.New(problem.EventStarted, "The event has started.")
	}
	tickets := r.tickets[paid.ID]
	for i := range tickets {
		if tickets[i].Status == TicketUsed {
			return nil, problem.New(problem.TicketUsed, "A ticket of the reservation has been used.")
		}
	}
	if paid.Total > 0 {
		_, refusal = r.Post(c, bank.KindRefund, reservation.String(), []bank.Leg{{Account: HouseAccount, Amount: -paid.Total}, {Account: paid.Account, Amount: paid.Total}})
		if refusal != nil {
			r.see(paid.ID, c.Stamp)
			return nil, refusal
		}
	}
	paid.Status, paid.RefundedBy, paid.Lamport = StatusRefunded, c.OperationID, c.Stamp
	for _, seat := range paid.Seats {
		delete(r.sold, Seat{paid.EventID, seat})
	}
	for i := range tickets {
		tickets[i].Status, tickets[i].Lamport = TicketRefunded, c.Stamp
	}
	r.refunded = append(r.refunded, paid)
	return paid, nil
}

// see stamps tickets that were found valid: a refusal depends on that as much as a refund does, and who is let in with one of them later has a greater stamp.
func (r *Round) see(reservation id.ID, stamp lamport.Stamp) {
	tickets := r.tickets[reservation]
	for i := range tickets {
		tickets[i].Lamport = stamp
	}
	r.seen = append(r.seen, reservation)
}

func (r *Round) find(reservation id.ID) (*Reservation, *Event, *problem.Problem) {
	found := r.reservations[reservation]
	if found == nil {
		return nil, nil, problem.New(problem.UnknownReservation, "There is no such reservation any more.")
	}
	event := r.events[found.EventID]
	if event == nil {
		panic(fmt.Sprintf("events: reservation %s is of event %s, which was not loaded", reservation, found.EventID))
	}
	return found, event, nil
}
