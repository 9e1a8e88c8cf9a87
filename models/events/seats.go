package events

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"guichet/models/id"
)

// ErrNotLoaded says that Redis does not know the event: it is new there, or Redis has lost its data. Load it, and try again.
var ErrNotLoaded = errors.New("events: the event is not in Redis")

// ErrNotInRedis says that Redis does not have the reservation (of that user): it never was, or it has ended or is paid and the database has it.
var ErrNotInRedis = errors.New("events: the reservation is not in Redis")

// Seats is the seats of all events in Redis. Whatever changes an event is done in one step, by a script. It is safe for concurrent use, by any number of processes.
//
// The keys of an event E, which share a hash tag, so that they are on one node of a cluster:
//
//	event:{E}:hall          hash: epoch, how many marks were synced, starts_at, max_per_user, the waiting room's settings and tokens; keys_lost_at, when
//	                        idempotency keys may have been lost, which is when the event was loaded, in milliseconds since 1970, or 0 if there was nothing to lose.
//	                        Without it, Redis does not know the event
//	event:{E}:map           a character for each seat: free, held or sold
//	event:{E}:tickets       hash: place in the map → the reservation that holds the seat or has bought it
//	event:{E}:reservations  hash: reservation → its record, until the database has what became of it
//	event:{E}:holds         sorted set: reservations that are held, and that no payment has claimed, by when they expire
//	event:{E}:users         hash: user → how many seats, held and sold
//	event:{E}:unsynced      list of marks: what the database has not heard of yet
//	event:{E}:keys:DAY      hash: user and idempotency key → the reservation made with it; kept for two days
//	event:{E}:waiting       sorted set: users in line, by arrival
//	event:{E}:admitted      sorted set: users who have been let in, by until when
//	event:{E}:loading       who is loading the event
//
// Time is what the caller says it is; to the millisecond. No key's time to live decides anything about seats.
type Seats struct {
	client   redis.UniversalClient
	combiner combiner
}

// NewSeats returns the seats in a Redis.
func NewSeats(client redis.UniversalClient) *Seats { return &Seats{client: client} }

// Get reads a reservation that Redis has. One that is held and past its time is expired, whether or not that has been noted. It is not found either if Redis does not
// know the event.
func (s *Seats) Get(ctx context.Context, hall *Hall, reservation id.ID, now time.Time) (r Reservation, found bool, err error) {
	return s.Find(ctx, []*Hall{hall}, reservation, now)
}

// Find is Get for who does not know which of the events the reservation is of.
func (s *Seats) Find(ctx context.Context, halls []*Hall, reservation id.ID, now time.Time) (r Reservation, found bool, err error) {
	records := make([]*redis.StringCmd, len(halls))
	_, err = s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, hall := range halls {
			records[i] = p.HGet(ctx, hall.keys.reservations(), reservation.String())
		}
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return Reservation{}, false, err
	}
	for i, hall := range halls {
		record, err := records[i].Result()
		if errors.Is(err, redis.Nil) {
			continue
		}
		if err != nil {
			return Reservation{}, false, err
		}
		r, err := hall.reservation(reservation, record)
		if r.Status == StatusHeld && r.ClaimedBy.IsZero() && !now.Before(r.ExpiresAt) {
			r.Status = StatusExpired
		}
		return r, err == nil, err
	}
	return Reservation{}, false, nil
}

// Map is the seats of an event at one instant.
type Map struct {
	Epoch   string // versions are of one epoch; loading the event begins another
	Version int64
	Text    string // as Hall.View reads it
}

// Map reads the map. The error is ErrNotLoaded if Redis does not know the event.
func (s *Seats) Map(ctx context.Context, hall *Hall) (Map, error) {
	var head *redis.SliceCmd
	var text *redis.StringCmd
	var marks *redis.IntCmd
	_, err := s.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
		head, text, marks = p.HMGet(ctx, hall.keys.hall(), "epoch", "synced"), p.Get(ctx, hall.keys.text()), p.LLen(ctx, hall.keys.unsynced())
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return Map{}, err
	}
	epoch, version, err := readHead(head.Val(), marks.Val())
	if err == nil && len(text.Val()) != hall.length() {
		err = fmt.Errorf("%w: the map of event %s has %d characters, and not %d", ErrMalformed, hall.event, len(text.Val()), hall.length())
	}
	if err != nil {
		return Map{}, err
	}
	return Map{Epoch: epoch, Version: version, Text: text.Val()}, nil
}

// readHead reads what the hall says of its epoch and version: as many marks were made as are there and have been taken out.
func readHead(head []any, marks int64) (epoch string, version int64, err error) {
	if len(head) < 2 || head[0] == nil {
		return "", 0, ErrNotLoaded
	}
	epoch, _ = head[0].(string)
	text, _ := head[1].(string)
	synced, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return "", 0, fmt.Errorf("%w: %q marks have been taken out", ErrMalformed, text)
	}
	return epoch, synced + marks, nil
}

// Pending is what there is to do for an event.
type Pending struct {
	Event    id.ID
	Unsynced int64 // marks that the database has not heard of
	Due      bool  // Expire has something to do: a hold is past its time, or somebody waits to be let in
}

// Pending says, for each of the events in their order, what there is to do. There is nothing for one that Redis does not know.
func (s *Seats) Pending(ctx context.Context, events []id.ID, now time.Time) ([]Pending, error) {
	type answers struct {
		unsynced, waiting *redis.IntCmd
		due               *redis.StringSliceCmd
	}
	asked, due := make([]answers, len(events)), &redis.ZRangeBy{Min: "-inf", Max: milliText(now), Count: 1}
	_, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, event := range events {
			k := keysOf(event)
			asked[i] = answers{p.LLen(ctx, k.unsynced()), p.ZCard(ctx, k.waiting()), p.ZRangeByScore(ctx, k.holds(), due)}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	pending := make([]Pending, len(events))
	for i, a := range asked {
		pending[i] = Pending{Event: events[i], Unsynced: a.unsynced.Val(), Due: a.waiting.Val() > 0 || len(a.due.Val()) > 0}
	}
	return pending, nil
}

// Forget drops an event that is over. It does nothing, and returns false, while something is held, or the database has not heard of everything. Should the event be
// asked for later, it is loaded as any that Redis does not know.
func (s *Seats) Forget(ctx context.Context, event id.ID) (bool, error) {
	done, err := forgetScript.run(ctx, s.client, keysOf(event).all(), time.Time{}).Int()
	return done == 1, err
}
