package events

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"guichet/models/database"
	"guichet/models/id"
	"guichet/models/operation"
)

// ErrUnknownReservation says that no reservation has the id, or none that the user may see.
var ErrUnknownReservation = errors.New("events: no such reservation")

var reservationColumns = []string{"id", "event_id", "user_id", "account", "seats", "total", "status", "reserved_at_us", "expires_at_us", "paid_by", "refunded_by", "lamport"}

// StoreReservations writes reservations as Redis has them. A row whose reservation is not held any more stays as it is, so that to write one late, or twice, is
// harmless.
func StoreReservations(tx database.Tx, reservations []Reservation) error {
	inOrder := slices.Clone(reservations) // in which everybody locks the rows
	slices.SortStableFunc(inOrder, func(a, b Reservation) int { return id.Compare(a.ID, b.ID) })
	rows := reservationRows(inOrder)
	return rows.UpsertWhere(tx, []string{"id"}, []string{"lamport", "status"}, "reservations.status = '"+string(StatusHeld)+"'")
}

// saveReservations writes reservations as the lane has made them.
func saveReservations(tx database.Tx, reservations []Reservation) error {
	rows := reservationRows(reservations)
	return rows.Upsert(tx, []string{"id"}, []string{"status", "paid_by", "refunded_by", "lamport"})
}

func reservationRows(reservations []Reservation) database.Rows {
	rows := database.Rows{Table: "reservations", Columns: reservationColumns}
	for i := range reservations {
		r := &reservations[i]
		rows.Add(r.ID[:], r.EventID[:], r.UserID[:], r.Account, joinSeats(r.Seats), int64(r.Total), string(r.Status), operation.Micro(r.ReservedAt), operation.Micro(r.ExpiresAt),
			r.PaidBy, r.RefundedBy, int64(r.Lamport))
	}
	return rows
}

func joinSeats(seats []int) string {
	b := make([]byte, 0, 6*len(seats))
	for i, seat := range seats {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(seat), 10)
	}
	return string(b)
}

// SplitSeats reads the numbers of seats as rows of reservations have them.
func SplitSeats(joined string) ([]int, error) {
	seats := make([]int, 0, strings.Count(joined, ",")+1)
	for text := range strings.SplitSeq(joined, ",") {
		seat, err := strconv.Atoi(text)
		if err != nil || seat < 0 {
			return nil, fmt.Errorf("events: seats %q", joined)
		}
		seats = append(seats, seat)
	}
	return seats, nil
}

// GetReservation reads one reservation, or ErrUnknownReservation. What is held is as of its last synchronisation.
func GetReservation(tx database.Tx, reservation id.ID) (Reservation, error) {
	var found []Reservation
	err := queryReservations(tx, &found, "WHERE id = ?", reservation[:])
	if err != nil {
		return Reservation{}, err
	}
	if len(found) == 0 {
		return Reservation{}, ErrUnknownReservation
	}
	return found[0], nil
}

// ReservationFilter says which reservations of a user are listed: newest first, older than Before unless that is zero.
type ReservationFilter struct {
	User   id.ID
	Event  id.ID  // zero for all
	Status Status // empty for all
	Before id.ID
	Limit  int
}

// Reservations lists reservations of a user.
func Reservations(tx database.Tx, f ReservationFilter) (found []Reservation, err error) {
	where, args := "WHERE user_id = ?", []any{f.User[:]}
	add := func(condition string, value any) {
		where += " AND " + condition
		args = append(args, value)
	}
	if !f.Before.IsZero() {
		add("id < ?", f.Before[:])
	}
	if !f.Event.IsZero() {
		add("event_id = ?", f.Event[:])
	}
	if f.Status != "" {
		add("status = ?", string(f.Status))
	}
	args = append(args, f.Limit)
	err = queryReservations(tx, &found, where+" ORDER BY id DESC LIMIT ?", args...)
	return found, err
}

func queryReservations(tx database.Tx, into *[]Reservation, where string, args ...any) error {
	return tx.Query(func(rows *sql.Rows) error {
		for rows.Next() {
			var r Reservation
			var seats string
			var reservedAt, expiresAt int64
			err := rows.Scan(&r.ID, &r.EventID, &r.UserID, &r.Account, &seats, &r.Total, &r.Status, &reservedAt, &expiresAt, &r.PaidBy, &r.RefundedBy, &r.Lamport)
			if err != nil {
				return err
			}
			if r.Seats, err = SplitSeats(seats); err != nil {
				return err
			}
			r.ReservedAt, r.ExpiresAt = operation.FromMicro(reservedAt), operation.FromMicro(expiresAt)
			*into = append(*into, r)
		}
		return rows.Err()
	}, "SELECT "+strings.Join(reservationColumns, ", ")+" FROM reservations "+where, args...)
}

// LoadSeats has Redis know an event's seats as the database has them.
func LoadSeats(ctx context.Context, db *database.DB, seats *Seats, hall *Hall) error {
	return seats.Load(ctx, hall, func(ctx context.Context) (s Snapshot, err error) {
		err = db.Snapshot(ctx, func(tx database.Tx) error {
			s, err = readSnapshot(tx, hall.Event())
			return err
		})
		return s, err
	})
}

func readSnapshot(tx database.Tx, event id.ID) (Snapshot, error) {
	e, err := GetEvent(tx, event)
	if err != nil {
		return Snapshot{}, err
	}
	s := Snapshot{StartsAt: e.StartsAt, MaxPerUser: e.MaxPerUser, Room: e.Waiting, Now: time.Now()}
	if s.AnyBefore, err = tx.Any("SELECT 1 FROM reservations WHERE event_id = ? LIMIT 1", event[:]); err != nil {
		return s, err
	}
	if s.Held, err = heldOf(tx, event); err == nil {
		s.Sold, err = soldOf(tx, event)
	}
	return s, err
}

func heldOf(tx database.Tx, event id.ID) (held []Reservation, err error) {
	err = queryReservations(tx, &held, "WHERE event_id = ? AND status = ?", event[:], string(StatusHeld))
	return held, err
}

func soldOf(tx database.Tx, event id.ID) (sold []Sale, err error) {
	err = tx.Query(func(rows *sql.Rows) error {
		for rows.Next() {
			var sale Sale
			if err := rows.Scan(&sale.Seat, &sale.Reservation, &sale.UserID); err != nil {
				return err
			}
			sold = append(sold, sale)
		}
		return rows.Err()
	}, "SELECT s.seat, s.reservation_id, r.user_id FROM sold_seats s JOIN reservations r ON r.id = s.reservation_id WHERE s.event_id = ?", event[:])
	return sold, err
}

// ReadTruth reads what the database says of the seats of an event; who has decided what of claims is for the caller to add.
func ReadTruth(tx database.Tx, event id.ID) (truth Truth, err error) {
	if truth.Held, err = heldOf(tx, event); err == nil {
		truth.Sold, err = soldOf(tx, event)
	}
	return truth, err
}

// NewlyExpired picks the reservations that have expired and whose rows do not say so yet.
func NewlyExpired(tx database.Tx, reservations []Reservation) (news []Reservation, err error) {
	var args []any
	for i := range reservations {
		if reservations[i].Status == StatusExpired {
			args = append(args, reservations[i].ID[:])
		}
	}
	if len(args) == 0 {
		return nil, nil
	}
	heard := map[id.ID]bool{}
	err = tx.Query(func(rows *sql.Rows) error {
		for rows.Next() {
			var known id.ID
			if err := rows.Scan(&known); err != nil {
				return err
			}
			heard[known] = true
		}
		return rows.Err()
	}, "SELECT id FROM reservations WHERE status <> '"+string(StatusHeld)+"' AND id IN "+database.Placeholders(len(args)), args...)
	for i := range reservations {
		if reservations[i].Status == StatusExpired && !heard[reservations[i].ID] {
			news = append(news, reservations[i])
		}
	}
	return news, err
}
