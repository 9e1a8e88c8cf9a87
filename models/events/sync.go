package events

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"guichet/models/id"
)

// SeatStatus is what a seat is, as the contract spells it.
type SeatStatus string

// The states of seats.
const (
	SeatFree SeatStatus = "free"
	SeatHeld SeatStatus = "held"
	SeatSold SeatStatus = "sold"
)

// SeatState is a seat and what it is.
type SeatState struct {
	Seat   int
	Status SeatStatus
}

// Batch is what the database has not heard of yet: the beginning of it.
type Batch struct {
	Epoch        string
	Version      int64         // of the map when this was read
	Last         int64         // the version that the last mark of the batch made
	Oldest       time.Time     // when the first mark was made; zero if there is none
	Marks        int           // how many there are in the batch
	More         bool          // there are others behind it
	Reservations []Reservation // that were changed, as they are now, each once. Those that a payment has claimed are left out: what becomes of them makes a mark
	Seats        []SeatState   // that were changed, as they are now, ascending

	last  string   // the last mark
	ended []string // the reservations in Reservations that Redis need not keep, each followed by its record
}

const maxMarks = 1000 // that one script reads, so that none takes long

// Unsynced reads up to limit marks (at most 1,000), the oldest first, and what they are about. The error is ErrNotLoaded if Redis does not know the event.
func (s *Seats) Unsynced(ctx context.Context, hall *Hall, limit int) (Batch, error) {
	r := replyOf(unsyncedScript.run(ctx, s.client, hall.keys.all(), time.Time{}, min(max(limit, 1), maxMarks)))
	if r.err == nil && len(r.rest) == 0 {
		return Batch{}, ErrNotLoaded
	}
	b := Batch{Epoch: r.text()}
	synced, length, marks := r.number(), r.number(), r.texts()
	records, places, chars := r.texts(), r.text(), r.text()
	if r.err != nil {
		return Batch{}, r.err
	}
	b.Marks, b.Version, b.Last, b.More = len(marks), synced+length, synced+int64(len(marks)), length > int64(len(marks))
	if b.Marks > 0 {
		b.last = marks[b.Marks-1]
		first, _, err := readMark(marks[0])
		if err != nil {
			return Batch{}, err
		}
		b.Oldest = first
	}
	if err := b.readRecords(hall, records); err != nil {
		return Batch{}, err
	}
	err := b.readSeats(hall, places, chars)
	return b, err
}

// readMark reads when a mark was made, and of which reservation it is.
func readMark(mark string) (made time.Time, reservation id.ID, err error) {
	f := strings.Split(mark, " ")
	if len(f) != 3 {
		return made, reservation, fmt.Errorf("%w: mark %q", ErrMalformed, mark)
	}
	ms, err1 := strconv.ParseInt(f[0], 10, 64)
	reservation, err2 := id.Parse(f[1])
	if err := errors.Join(err1, err2); err != nil {
		return made, reservation, fmt.Errorf("%w: mark %q: %w", ErrMalformed, mark, err)
	}
	return time.UnixMilli(ms).UTC(), reservation, nil
}

// readRecords reads ids, each followed by its record, which is empty for what Redis no longer has.
func (b *Batch) readRecords(hall *Hall, records []string) error {
	for i := 0; i+1 < len(records); i += 2 {
		if records[i+1] == "" {
			continue
		}
		reservation, err := id.Parse(records[i])
		if err != nil {
			return fmt.Errorf("%w: a reservation has the id %q", ErrMalformed, records[i])
		}
		r, err := hall.reservation(reservation, records[i+1])
		if err != nil {
			return err
		}
		if !r.ClaimedBy.IsZero() {
			continue
		}
		b.Reservations = append(b.Reservations, r)
		if r.Status != StatusHeld {
			b.ended = append(b.ended, records[i], records[i+1])
		}
	}
	return nil
}

func (b *Batch) readSeats(hall *Hall, places, chars string) error {
	seats, err := hall.seatsAt(places)
	if err != nil {
		return err
	}
	if len(seats) != len(chars) {
		return fmt.Errorf("%w: %d seats in %d characters", ErrMalformed, len(seats), len(chars))
	}
	b.Seats = make([]SeatState, len(seats))
	for i, seat := range seats {
		status, known := seatStatuses[chars[i]]
		if !known {
			return fmt.Errorf("%w: seat %d is %q", ErrMalformed, seat, chars[i])
		}
		b.Seats[i] = SeatState{seat, status}
	}
	slices.SortFunc(b.Seats, func(a, b SeatState) int { return a.Seat - b.Seat })
	return nil
}

var seatStatuses = map[byte]SeatStatus{charFree: SeatFree, charHeld: SeatHeld, charSold: SeatSold}

// Synced takes out what a batch was about, once the database has it: its marks, and the reservations that have ended or are paid and have not changed since the
// batch was read. To do it twice, late, or not at all, loses nothing.
func (s *Seats) Synced(ctx context.Context, hall *Hall, batch Batch) error {
	if batch.Marks == 0 {
		return nil
	}
	arguments := []any{batch.Epoch, batch.Last, batch.last}
	for _, text := range batch.ended {
		arguments = append(arguments, text)
	}
	return syncedScript.run(ctx, s.client, hall.keys.all(), time.Time{}, arguments...).Err()
}
