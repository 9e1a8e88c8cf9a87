package events

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

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

const maxMarks = 1000 // that are read at once, so that Redis keeps nobody waiting

// Unsynced reads up to limit marks (at most 1,000), the oldest first, and then what they are about. The error is ErrNotLoaded if Redis does not know the event, or knows
// it anew since the marks were read.
func (s *Seats) Unsynced(ctx context.Context, hall *Hall, limit int) (Batch, error) {
	b, marks, err := s.readMarks(ctx, hall, min(max(limit, 1), maxMarks))
	if err != nil || b.Marks == 0 {
		return b, err
	}
	epoch := b.Epoch
	ids, seats, err := hall.concerned(marks)
	if err != nil {
		return Batch{}, err
	}
	if err := s.readConcerned(ctx, hall, &b, ids, seats); err != nil {
		return Batch{}, err
	}
	if b.Epoch != epoch {
		return Batch{}, ErrNotLoaded
	}
	b.More = b.Version > b.Last
	return b, nil
}

func (s *Seats) readMarks(ctx context.Context, hall *Hall, limit int) (b Batch, marks []string, err error) {
	var head *redis.SliceCmd
	var list *redis.StringSliceCmd
	_, err = s.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
		head, list = p.HMGet(ctx, hall.keys.hall(), "epoch", "synced"), p.LRange(ctx, hall.keys.unsynced(), 0, int64(limit)-1)
		return nil
	})
	if err != nil {
		return b, nil, err
	}
	marks = list.Val()
	b.Marks = len(marks)
	if b.Epoch, b.Last, err = readHead(head.Val(), int64(b.Marks)); err != nil || b.Marks == 0 {
		b.Version = b.Last
		return b, nil, err
	}
	b.last = marks[b.Marks-1]
	b.Oldest, _, err = readMark(marks[0])
	return b, marks, err
}

// concerned are the reservations and the seats that marks are about, each once, and ascending.
func (h *Hall) concerned(marks []string) (ids []string, seats []int, err error) {
	ids, seats = make([]string, 0, len(marks)), make([]int, 0, len(marks))
	for _, mark := range marks {
		_, rest, _ := strings.Cut(mark, " ")
		reservation, places, _ := strings.Cut(rest, " ")
		of, err := h.seatsAt(places)
		if err == nil && len(of) == 0 {
			err = ErrMalformed
		}
		if err != nil {
			return nil, nil, fmt.Errorf("mark %q: %w", mark, err)
		}
		ids, seats = append(ids, reservation), append(seats, of...)
	}
	slices.Sort(ids)
	slices.Sort(seats)
	return slices.Compact(ids), slices.Compact(seats), nil
}

// fewSeats is how many characters of the map are asked for one by one. The whole map costs less than more of them.
const fewSeats = 50

// readConcerned reads the records of reservations, what seats are, and of which epoch and version that is.
func (s *Seats) readConcerned(ctx context.Context, hall *Hall, b *Batch, ids []string, seats []int) error {
	var head, records *redis.SliceCmd
	var length *redis.IntCmd
	var text *redis.StringCmd
	var chars []*redis.StringCmd
	_, err := s.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
		head, length = p.HMGet(ctx, hall.keys.hall(), "epoch", "synced"), p.LLen(ctx, hall.keys.unsynced())
		records = p.HMGet(ctx, hall.keys.reservations(), ids...)
		if len(seats) > fewSeats {
			text = p.Get(ctx, hall.keys.text())
			return nil
		}
		for _, seat := range seats {
			at := int64(hall.place(seat))
			chars = append(chars, p.GetRange(ctx, hall.keys.text(), at, at))
		}
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return err
	}
	if b.Epoch, b.Version, err = readHead(head.Val(), length.Val()); err != nil {
		return err
	}
	if err := b.readRecords(hall, ids, records.Val()); err != nil {
		return err
	}
	return b.readSeats(seats, func(i int) string {
		if at := hall.place(seats[i]); text == nil {
			return chars[i].Val()
		} else if at < len(text.Val()) {
			return text.Val()[at : at+1]
		}
		return ""
	})
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

// readRecords reads the records of reservations, which Redis may no longer have.
func (b *Batch) readRecords(hall *Hall, ids []string, records []any) error {
	for i, text := range ids {
		record, found := records[i].(string)
		if !found {
			continue
		}
		reservation, err := id.Parse(text)
		if err != nil {
			return fmt.Errorf("%w: a reservation has the id %q", ErrMalformed, text)
		}
		r, err := hall.reservation(reservation, record)
		if err != nil {
			return err
		}
		if !r.ClaimedBy.IsZero() {
			continue
		}
		b.Reservations = append(b.Reservations, r)
		if r.Status != StatusHeld {
			b.ended = append(b.ended, text, record)
		}
	}
	return nil
}

// readSeats reads the characters of seats, which ascend.
func (b *Batch) readSeats(seats []int, char func(i int) string) error {
	b.Seats = make([]SeatState, len(seats))
	for i, seat := range seats {
		text := char(i)
		if len(text) != 1 || seatStatuses[text[0]] == "" {
			return fmt.Errorf("%w: seat %d is %q", ErrMalformed, seat, text)
		}
		b.Seats[i] = SeatState{seat, seatStatuses[text[0]]}
	}
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
