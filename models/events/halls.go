package events

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"

	"golang.org/x/sync/singleflight"

	"guichet/models/database"
	"guichet/models/id"
	"guichet/models/lamport"
)

// Halls knows halls, which never change, without asking for them twice. It is safe for concurrent use.
type Halls struct {
	db    *database.DB
	clock *lamport.Clock
	seats *Seats
	known sync.Map // *Hall by id.ID
	loads singleflight.Group
}

// loadPatience is how long it is tried to load an event: another that is loading it, and has died, is waited for.
const loadPatience = 2 * loadTurn

// NewHalls returns the halls of the events in db. The clock is told the stamps of what is read.
func NewHalls(db *database.DB, clock *lamport.Clock, seats *Seats) *Halls {
	return &Halls{db: db, clock: clock, seats: seats}
}

// Of is the hall of an event, or ErrUnknownEvent, which is not remembered, so that a new event is seen at once.
func (h *Halls) Of(ctx context.Context, event id.ID) (*Hall, error) {
	if known, ok := h.known.Load(event); ok {
		return known.(*Hall), nil
	}
	found, err := GetEvent(h.db.Read(ctx), event)
	if err != nil {
		return nil, err
	}
	hall, err := NewHall(found.ID, found.Sections)
	if err != nil {
		return nil, err
	}
	h.clock.Witness(found.Lamport)
	known, _ := h.known.LoadOrStore(event, hall)
	return known.(*Hall), nil
}

// Forget forgets a hall that is not asked for any more.
func (h *Halls) Forget(event id.ID) { h.known.Delete(event) }

// Loaded does something with the seats of an event in Redis, and has them made anew from the database if do says ErrNotLoaded.
func (h *Halls) Loaded(ctx context.Context, hall *Hall, do func() error) error {
	err := do()
	if !errors.Is(err, ErrNotLoaded) {
		return err
	}
	if err := h.Load(ctx, hall); err != nil {
		return err
	}
	return do()
}

// Load has Redis know an event's seats as the database has them. Of all in this process who need that at once, one does it, and goes on for the others if its own
// request is given up.
func (h *Halls) Load(ctx context.Context, hall *Hall) error {
	loaded := h.loads.DoChan(hall.event.String(), func() (_ any, err error) {
		defer func() {
			if cause := recover(); cause != nil { // it would end the process, where a handler's would not
				err = fmt.Errorf("events: loading event %s: panic: %v\n%s", hall.event, cause, debug.Stack())
			}
		}()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadPatience)
		defer cancel()
		return nil, LoadSeats(ctx, h.db, h.seats, hall)
	})
	select {
	case result := <-loaded:
		return result.Err
	case <-ctx.Done():
		return ctx.Err()
	}
}
