package events

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"guichet/models/id"
)

// Snapshot is what the database says of an event.
type Snapshot struct {
	StartsAt   time.Time
	MaxPerUser int
	Room       WaitingRoom
	AnyBefore  bool          // there are reservations, whatever has become of them
	Held       []Reservation // all whose status is held, also those past their time
	Sold       []Sale        // all seats that are sold, and not refunded
	Now        time.Time
}

// Sale is a seat that is sold.
type Sale struct {
	Seat        int
	Reservation id.ID
	UserID      id.ID
}

const (
	loadTurn = 15 * time.Second      // how long one that is loading is waited for: if it has died, another takes its turn
	loadPoll = 20 * time.Millisecond // who waits looks this often
	loadPart = 1000                  // how many members of a key go in one command
)

// Load makes Redis know an event, if it does not: it reads what the database says and puts it there, in one step. Of any number of processes that load an event at
// once, one reads, and the others wait for it. read is called only when Redis does not know the event, and may be called again.
//
// A hold whose seats are not free, because they are sold or held by one before it in the snapshot, is released, and the database hears of that.
func (s *Seats) Load(ctx context.Context, hall *Hall, read func(context.Context) (Snapshot, error)) error {
	tick := time.NewTicker(loadPoll)
	defer tick.Stop()
	for {
		loaded, err := s.tryLoad(ctx, hall, read)
		if loaded || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// tryLoad returns false if another is loading the event, or was in the meantime.
func (s *Seats) tryLoad(ctx context.Context, hall *Hall, read func(context.Context) (Snapshot, error)) (bool, error) {
	if n, err := s.client.Exists(ctx, hall.keys.hall()).Result(); n > 0 || err != nil {
		return n > 0, err
	}
	name := rand.Text()
	// Its turn is taken before it reads: what it then reads is not older than what any other has put in place.
	err := s.client.SetArgs(ctx, hall.keys.loading(), name, redis.SetArgs{Mode: "NX", TTL: loadTurn}).Err()
	if err == redis.Nil { //nolint:errorlint // as go-redis documents it
		return false, nil
	}
	if err != nil {
		return false, err
	}
	loaded, err := s.loadAs(ctx, hall, name, read)
	if err != nil || loaded {
		// Those who wait need not do so for as long as for one that has died.
		err = errors.Join(err, yieldScript.run(context.WithoutCancel(ctx), s.client, hall.keys.all(hall.keys.loading()), time.Time{}, name).Err())
	}
	return loaded, err
}

func (s *Seats) loadAs(ctx context.Context, hall *Hall, name string, read func(context.Context) (Snapshot, error)) (bool, error) {
	if n, err := s.client.Exists(ctx, hall.keys.hall()).Result(); n > 0 || err != nil {
		return n > 0, err // another's turn has just ended
	}
	snapshot, err := read(ctx)
	if err != nil {
		return false, fmt.Errorf("events: reading event %s: %w", hall.event, err)
	}
	p, err := prepare(hall, &snapshot)
	if err != nil {
		return false, err
	}
	return p.put(ctx, s.client, name)
}

// prepared is an event as it is put into Redis.
type prepared struct {
	hall     *Hall
	now      time.Time
	text     []byte
	owners   map[int]id.ID // by seat
	users    map[id.ID]int
	tickets  []any // places and owners
	records  []any // reservations and records
	holds    []any // times and reservations
	counts   []any // users and numbers
	marks    []any
	settings []any
}

// prepare turns what the database says into what Redis has.
func prepare(hall *Hall, snapshot *Snapshot) (*prepared, error) {
	p := &prepared{hall: hall, now: snapshot.Now, text: hall.empty(), owners: make(map[int]id.ID, len(snapshot.Sold)), users: map[id.ID]int{}}
	for _, sale := range snapshot.Sold {
		if err := p.take(sale.Reservation, sale.UserID, charSold, sale.Seat); err != nil {
			return nil, err
		}
	}
	for i := range snapshot.Held {
		if err := p.hold(snapshot.Held[i]); err != nil {
			return nil, err
		}
	}
	for user, n := range p.users {
		p.counts = append(p.counts, user.String(), n)
	}
	var epoch [6]byte
	_, _ = rand.Read(epoch[:]) // never fails: documented in crypto/rand
	room, keysLost := snapshot.Room, "0"
	if snapshot.AnyBefore {
		keysLost = milliText(snapshot.Now)
	}
	p.settings = []any{
		"epoch", hex.EncodeToString(epoch[:]), "synced", 0, "starts_at", milliText(snapshot.StartsAt), "max_per_user", snapshot.MaxPerUser,
		"rate", room.Rate, "window", room.Window.Milliseconds(), "tokens", int64(room.Rate) * 1000, "filled", milliText(snapshot.Now), "arrivals", 0,
		"keys_lost_at", keysLost,
	}
	return p, nil
}

// hold takes a reservation's seats, or none.
func (p *prepared) hold(r Reservation) error {
	r.Status, r.ClaimedBy = StatusHeld, id.ID{}
	for _, seat := range r.Seats {
		if _, taken := p.owners[seat]; taken {
			r.Status = StatusReleased
		}
	}
	switch r.Status {
	case StatusHeld:
		if err := p.take(r.ID, r.UserID, charHeld, r.Seats...); err != nil {
			return err
		}
		p.holds = append(p.holds, milliText(r.ExpiresAt), r.ID.String())
	default:
		p.marks = append(p.marks, fmt.Sprintf("%s %s %s", milliText(p.now), r.ID, p.hall.places(r.Seats)))
	}
	p.records = append(p.records, r.ID.String(), p.hall.record(&r))
	return nil
}

func (p *prepared) take(reservation, user id.ID, char byte, seats ...int) error {
	for _, seat := range seats {
		owner, taken := p.owners[seat]
		if seat < 0 || seat >= p.hall.Size() || taken {
			return fmt.Errorf("events: seat %d of event %s is reservation %s's in the database, and also %s's, or there is no such seat", seat, p.hall.event, reservation, owner)
		}
		p.owners[seat] = reservation
		place := p.hall.place(seat)
		p.text[place] = char
		p.tickets = append(p.tickets, place, reservation.String())
	}
	p.users[user] += len(seats)
	return nil
}

// put puts all under other keys, which go away by themselves if this process does not come to the end of it, and then in place.
func (p *prepared) put(ctx context.Context, client redis.UniversalClient, name string) (bool, error) {
	k := p.hall.keys
	prepared := make([]string, 0, 6)
	for _, key := range k.all()[1:7] {
		prepared = append(prepared, key+":"+name)
	}
	parts := []struct {
		command string
		members []any
		width   int // how many arguments a member is
	}{{"HSET", p.tickets, 2}, {"HSET", p.records, 2}, {"ZADD", p.holds, 2}, {"HSET", p.counts, 2}, {"RPUSH", p.marks, 1}}
	sizes := []any{name, len(p.text)}
	_, err := client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.Set(ctx, prepared[0], p.text, loadTurn)
		for i, part := range parts {
			sizes = append(sizes, len(part.members)/part.width)
			for members := range slices.Chunk(part.members, loadPart*part.width) {
				pipe.Do(ctx, append([]any{part.command, prepared[i+1]}, members...)...)
				pipe.PExpire(ctx, prepared[i+1], loadTurn)
			}
		}
		return nil
	})
	if err != nil {
		return false, err
	}
	outcome, err := loadScript.run(ctx, client, k.all(append([]string{k.loading()}, prepared...)...), p.now, append(sizes, p.settings...)...).Text()
	if outcome == "loaded" {
		slog.InfoContext(ctx, "the seats of an event were read into Redis from the database", "event", p.hall.event)
	}
	return outcome == "loaded" || outcome == "there", err
}
