package events

import (
	"context"
	"errors"
	"log/slog"
	"sync"

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
}

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
	if err := LoadSeats(ctx, h.db, h.seats, hall); err != nil {
		return err
	}
	slog.InfoContext(ctx, "the seats of an event were read into Redis from the database", "event", hall.event)
	return do()
}
