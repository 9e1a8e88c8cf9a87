package events

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"guichet/models/database"
	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/operation"
)

var (
	// ErrUnknownTicket says that no ticket was issued for the seat of the reservation.
	ErrUnknownTicket = errors.New("events: no such ticket")
	// ErrTicketUsed says that somebody was let in with the ticket.
	ErrTicketUsed = errors.New("events: the ticket is used")
	// ErrTicketRefunded says that the ticket's reservation was refunded.
	ErrTicketRefunded = errors.New("events: the ticket is refunded")
)

// TicketStatus is what a ticket is good for.
type TicketStatus string

// The states of a ticket. Only a valid one lets in, and only a valid one can be refunded.
const (
	TicketValid    TicketStatus = "valid"
	TicketUsed     TicketStatus = "used"
	TicketRefunded TicketStatus = "refunded"
)

// Ticket is a seat of a reservation that was paid. Its code is computed: see package ticket.
type Ticket struct {
	Reservation id.ID
	Seat        int // its number in the hall
	Event       id.ID
	User        id.ID
	Status      TicketStatus
	UsedAt      time.Time // zero unless used
	UsedWhere   string    // empty if the door did not say
	Lamport     lamport.Stamp
}

// TicketFilter selects tickets; a zero Event selects those of all.
type TicketFilter struct {
	User  id.ID
	Event id.ID
	// Only what comes after this ticket in the list; a zero reservation is none.
	AfterReservation id.ID
	AfterSeat        int
	Limit            int
}

const selectTicket = "SELECT reservation_id, seat, event_id, user_id, status, used_at_us, COALESCE(used_where, ''), lamport FROM tickets "

// Tickets reads the tickets of a user, those of the newest reservation first, and in a reservation those of the last seats.
func Tickets(tx database.Tx, f TicketFilter) (tickets []Ticket, err error) {
	where, args := "WHERE user_id = ?", []any{f.User[:]}
	if !f.AfterReservation.IsZero() {
		// The first comparison is what the stores find the rows by.
		where += " AND reservation_id <= ? AND (reservation_id < ? OR seat < ?)"
		args = append(args, f.AfterReservation[:], f.AfterReservation[:], f.AfterSeat)
	}
	if !f.Event.IsZero() {
		where += " AND event_id = ?"
		args = append(args, f.Event[:])
	}
	err = queryTickets(tx, &tickets, where+" ORDER BY user_id DESC, reservation_id DESC, seat DESC LIMIT ?", append(args, f.Limit)...)
	return tickets, err
}

// GetTicket reads one ticket, or ErrUnknownTicket.
func GetTicket(tx database.Tx, reservation id.ID, seat int) (Ticket, error) {
	return oneTicket(tx, reservation, seat, "")
}

// CheckIn lets somebody in with a ticket, once, and returns the ticket as it is then: with ErrTicketUsed or ErrTicketRefunded, as it was. gate may be empty.
// The row is locked from the look to the commit, as a refund's are, so that of the two one comes first, and the stamps say which.
func CheckIn(tx database.Tx, clock *lamport.Clock, reservation id.ID, seat int, gate string, at time.Time) (Ticket, error) {
	t, err := oneTicket(tx, reservation, seat, tx.ForUpdate())
	if err != nil {
		return t, err
	}
	switch t.Status {
	case TicketUsed:
		return t, ErrTicketUsed
	case TicketRefunded:
		return t, ErrTicketRefunded
	case TicketValid:
	}
	t.Status, t.UsedAt, t.UsedWhere, t.Lamport = TicketUsed, at.UTC().Truncate(time.Microsecond), gate, clock.Receive(t.Lamport)
	var where any
	if gate != "" {
		where = gate
	}
	n, err := tx.Exec("UPDATE tickets SET status = ?, used_at_us = ?, used_where = ?, lamport = ? WHERE reservation_id = ? AND seat = ? AND status = ?",
		string(t.Status), operation.Micro(t.UsedAt), where, int64(t.Lamport), reservation[:], seat, string(TicketValid))
	if err == nil && n != 1 {
		err = fmt.Errorf("events: a ticket that is locked has changed: %s, seat %d", reservation, seat)
	}
	return t, err
}

func oneTicket(tx database.Tx, reservation id.ID, seat int, lock string) (Ticket, error) {
	var tickets []Ticket
	if err := queryTickets(tx, &tickets, "WHERE reservation_id = ? AND seat = ?"+lock, reservation[:], seat); err != nil {
		return Ticket{}, err
	}
	if len(tickets) == 0 {
		return Ticket{}, ErrUnknownTicket
	}
	return tickets[0], nil
}

func queryTickets(tx database.Tx, into *[]Ticket, where string, args ...any) error {
	return tx.Query(func(rows *sql.Rows) error {
		for rows.Next() {
			var t Ticket
			var usedAt int64
			if err := rows.Scan(&t.Reservation, &t.Seat, &t.Event, &t.User, &t.Status, &usedAt, &t.UsedWhere, &t.Lamport); err != nil {
				return err
			}
			t.UsedAt = operation.FromMicro(usedAt)
			*into = append(*into, t)
		}
		return rows.Err()
	}, selectTicket+where, args...)
}

// saveTickets writes tickets that were issued or refunded. Nobody has used them: the lane has them locked.
func saveTickets(tx database.Tx, tickets []Ticket) error {
	rows := database.Rows{Table: "tickets", Columns: []string{"reservation_id", "seat", "event_id", "user_id", "status", "lamport"}}
	for i := range tickets {
		t := &tickets[i]
		rows.Add(t.Reservation[:], t.Seat, t.Event[:], t.User[:], string(t.Status), int64(t.Lamport))
	}
	return rows.Upsert(tx, []string{"reservation_id", "seat"}, []string{"status", "lamport"})
}

// SeatNames are the names of the tickets' seats, in the order of the tickets.
func SeatNames(tx database.Tx, tickets []Ticket) ([]string, error) {
	halls, err := ticketHalls(tx, tickets)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(tickets))
	for i := range tickets {
		hall := halls[tickets[i].Event]
		if hall == nil || tickets[i].Seat < 0 || tickets[i].Seat >= hall.Size() {
			return nil, fmt.Errorf("events: a ticket for seat %d of event %s, which there is not", tickets[i].Seat, tickets[i].Event)
		}
		names[i] = hall.Name(tickets[i].Seat)
	}
	return names, nil
}

// ticketHalls reads the halls that the tickets are for.
func ticketHalls(tx database.Tx, tickets []Ticket) (map[id.ID]*Hall, error) {
	halls := map[id.ID]*Hall{}
	var args []any
	for i := range tickets {
		if _, asked := halls[tickets[i].Event]; !asked {
			halls[tickets[i].Event] = nil
			args = append(args, tickets[i].Event[:])
		}
	}
	if len(args) == 0 {
		return halls, nil
	}
	return halls, tx.Query(func(rows *sql.Rows) error {
		for rows.Next() {
			var event id.ID
			var text []byte
			if err := rows.Scan(&event, &text); err != nil {
				return err
			}
			var sections []Section
			err := json.Unmarshal(text, &sections)
			if err == nil {
				halls[event], err = NewHall(event, sections)
			}
			if err != nil {
				return fmt.Errorf("events: the sections of %s: %w", event, err)
			}
		}
		return rows.Err()
	}, "SELECT id, sections FROM events WHERE id IN "+database.Placeholders(len(args)), args...)
}

// HoldsTicket says whether a user has a ticket for an event that was not refunded, be it used or not.
func HoldsTicket(tx database.Tx, event, user id.ID) (holds bool, err error) {
	err = tx.Query(func(rows *sql.Rows) error {
		for rows.Next() {
			holds = true
		}
		return rows.Err()
	}, "SELECT seat FROM tickets WHERE user_id = ? AND event_id = ? AND status IN ('"+string(TicketValid)+"','"+string(TicketUsed)+"') LIMIT 1", user[:], event[:])
	return holds, err
}
