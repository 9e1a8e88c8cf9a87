package events

import (
	"database/sql"
	"maps"
	"slices"
	"strings"

	"guichet/models/bank"
	"guichet/models/database"
	"guichet/models/id"
)

// Concerned is what a round of payments and refunds is about.
type Concerned struct {
	Accounts     []string
	Events       []id.ID
	Reservations []id.ID
	Refunds      []id.ID       // those of the reservations that are to be paid back
	Claimed      []Reservation // as Redis has them
}

// LoadRound reads, and locks in key order, what a round is about. Where the database's row of a reservation is not that of a hold, it counts; else what Redis has
// does, which is ahead of it.
func LoadRound(tx database.Tx, c Concerned) (*Round, error) {
	var events []Event
	var reservations []Reservation
	var tickets []Ticket
	sold := map[Seat]id.ID{}
	ledger, err := bank.Load(tx, append(c.Accounts, HouseAccount), nil, func(tx database.Tx) error {
		if len(c.Reservations) == 0 {
			return nil
		}
		if err := queryEvents(tx, &events, "WHERE id IN "+database.Placeholders(len(c.Events)), sortedIDs(c.Events)...); err != nil {
			return err
		}
		err := queryReservations(tx, &reservations, "WHERE id IN "+database.Placeholders(len(c.Reservations))+" ORDER BY id"+tx.ForUpdate(), sortedIDs(c.Reservations)...)
		if err != nil {
			return err
		}
		if err = querySold(tx, sold, c.Claimed); err != nil || len(c.Refunds) == 0 {
			return err
		}
		return queryTickets(tx, &tickets, "WHERE reservation_id IN "+database.Placeholders(len(c.Refunds))+" ORDER BY reservation_id, seat"+tx.ForUpdate(), sortedIDs(c.Refunds)...)
	})
	if err != nil {
		return nil, err
	}
	return NewRound(ledger, events, mergeReservations(reservations, c.Claimed), sold, tickets), nil
}

// mergeReservations returns each reservation once. Redis may have told of one several times, as often as it is to be paid.
func mergeReservations(stored, claimed []Reservation) []Reservation {
	known := make(map[id.ID]Reservation, len(stored)+len(claimed))
	for i := range claimed {
		known[claimed[i].ID] = claimed[i]
	}
	for i := range stored {
		if _, told := known[stored[i].ID]; !told || stored[i].Status != StatusHeld {
			known[stored[i].ID] = stored[i]
		}
	}
	return slices.Collect(maps.Values(known))
}

// sortedIDs sorts the ids, so that all lock in one order, and makes them arguments.
func sortedIDs(of []id.ID) []any {
	slices.SortFunc(of, func(a, b id.ID) int { return strings.Compare(string(a[:]), string(b[:])) })
	args := make([]any, len(of))
	for i := range of {
		args[i] = of[i][:]
	}
	return args
}

// querySold reads, and locks, which of the seats that the reservations name have been sold.
func querySold(tx database.Tx, into map[Seat]id.ID, reservations []Reservation) error {
	seats := map[id.ID][]any{}
	for i := range reservations {
		for _, number := range reservations[i].Seats {
			seats[reservations[i].EventID] = append(seats[reservations[i].EventID], number)
		}
	}
	var events []id.ID
	for event := range seats {
		events = append(events, event)
	}
	for _, event := range sortedIDs(events) {
		of := seats[id.ID(event.([]byte))]
		err := tx.Query(func(rows *sql.Rows) error {
			for rows.Next() {
				var seat Seat
				var owner id.ID
				if err := rows.Scan(&seat.Event, &seat.Number, &owner); err != nil {
					return err
				}
				into[seat] = owner
			}
			return rows.Err()
		}, "SELECT event_id, seat, reservation_id FROM sold_seats WHERE event_id = ? AND seat IN "+database.Placeholders(len(of))+" ORDER BY seat"+tx.ForUpdate(), append([]any{event}, of...)...)
		if err != nil {
			return err
		}
	}
	return nil
}

// Save stores what the round has made.
func (r *Round) Save(tx database.Tx) error {
	sold := database.Rows{Table: "sold_seats", Columns: []string{"event_id", "seat", "reservation_id"}}
	var changed []Reservation
	var tickets []Ticket
	for _, paid := range r.paid {
		if paid.Status != StatusPaid {
			continue // and refunded in the same round
		}
		for _, seat := range paid.Seats {
			sold.Add(paid.EventID[:], seat, paid.ID[:])
		}
	}
	for _, list := range [][]*Reservation{r.paid, r.refunded} {
		for _, reservation := range list {
			if slices.ContainsFunc(changed, func(c Reservation) bool { return c.ID == reservation.ID }) {
				continue
			}
			changed = append(changed, *reservation)
		}
	}
	ticketed := slices.Clone(r.seen)
	for i := range changed {
		ticketed = append(ticketed, changed[i].ID)
	}
	slices.SortFunc(ticketed, func(a, b id.ID) int { return strings.Compare(string(a[:]), string(b[:])) })
	for _, reservation := range slices.Compact(ticketed) {
		tickets = append(tickets, r.tickets[reservation]...)
	}
	for _, write := range []func(database.Tx) error{r.freeRefunded, sold.Insert, func(tx database.Tx) error { return saveReservations(tx, changed) },
		func(tx database.Tx) error { return saveTickets(tx, tickets) }, r.Ledger.Save} {
		if err := write(tx); err != nil {
			return err
		}
	}
	return nil
}

func (r *Round) freeRefunded(tx database.Tx) error {
	for _, refunded := range r.refunded {
		args := []any{refunded.EventID[:], refunded.ID[:]}
		for _, seat := range refunded.Seats {
			args = append(args, seat)
		}
		statement := "DELETE FROM sold_seats WHERE event_id = ? AND reservation_id = ? AND seat IN " + database.Placeholders(len(refunded.Seats))
		if _, err := tx.Exec(statement, args...); err != nil {
			return err
		}
	}
	return nil
}
