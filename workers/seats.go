package workers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"guichet/models/beat"
	"guichet/models/database"
	"guichet/models/events"
	"guichet/models/feed"
	"guichet/models/id"
	"guichet/models/operation"
)

const (
	// syncEvery is how often the database is brought up to what Redis has decided. A second is what is promised.
	syncEvery = 250 * time.Millisecond
	// restEvery is how often it is looked for a new event while there is none, should nobody have told of it.
	restEvery = time.Second
	// syncAtOnce is how many marks are written in one transaction, which keeps payments waiting.
	syncAtOnce = 1000
	// expireAtOnce is how many holds one script ends, which keeps Redis busy.
	expireAtOnce = 200
	// pokedAfter is how long the database may be behind what a payment has changed.
	pokedAfter = 20 * time.Millisecond
	// reconcileEvery is how often Redis and the database are compared, of each event at a time of its own.
	reconcileEvery = 30 * time.Second
	// overFor is how long after an event has started its seats are kept in Redis, and forgetting how long it is tried to drop them.
	overFor    = 24 * time.Hour
	forgetting = 24 * time.Hour
)

// attend has the database follow what Redis decides, ends holds whose time is up, and mends what the two do not agree on.
func (c *eventsCounter) attend(ctx context.Context, a *attendance) {
	next := time.NewTimer(syncEvery)
	defer next.Stop()
	var failed bool
	followed, care := time.Now(), upkeep{}
	for {
		round := time.Now()
		c.resting.Store(true) // until it is known better: an event that is announced from here on may be overlooked
		var open []id.ID
		err := guarded(func() (err error) {
			open, err = c.follow(ctx, a)
			return err
		})
		if err == nil {
			followed = time.Now()
		} else { // the database is behind by at least this
			c.metrics.lag.Set(time.Since(followed).Seconds())
		}
		if err == nil || len(open) > 0 { // neither store is away as a whole
			c.keepUp(ctx, a, &care, open)
		}
		if err != nil && ctx.Err() == nil && !failed { // once: a store that is away is told of by many already
			slog.WarnContext(ctx, "the seats in Redis and in the database are not brought together; it is tried again", "error", err)
		}
		failed = err != nil
		until := syncEvery - time.Since(round) // at once, if there was much to do: there is more by now
		resting := err == nil && len(open) == 0
		if resting {
			until = beat.Until(restEvery)
		}
		c.resting.Store(resting)
		next.Reset(until)
		select {
		case <-ctx.Done():
			return
		case <-next.C:
		case <-c.poke:
			pause(ctx, pokedAfter) // others are paying, too
		}
	}
}

// wake has a new event followed at once. While there are events payments wake the lane all the time, and see to it themselves.
func (c *eventsCounter) wake() {
	if !c.resting.Load() {
		return
	}
	select {
	case c.poke <- struct{}{}:
	default:
	}
}

// guarded keeps a bug from ending the process, which would end the next one as well.
func guarded(do func() error) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("panic: %v\n%s", cause, debug.Stack())
		}
	}()
	return do()
}

// follow does what is due for every event that is not long over, and says which those are; none if a store is away.
func (c *eventsCounter) follow(ctx context.Context, a *attendance) ([]id.ID, error) {
	now := time.Now()
	open, err := events.OpenEvents(c.db.Read(ctx), now.Add(-overFor))
	if err != nil {
		return nil, err
	}
	pending, err := c.seats.Pending(ctx, open, now)
	if err != nil {
		return nil, err
	}
	var marks int64
	for _, p := range pending {
		marks += p.Unsynced
	}
	c.metrics.unsynced.Set(float64(marks))
	if marks == 0 {
		c.metrics.lag.Set(0)
	}
	var errs []error
	for _, p := range pending { // an event that cannot be served keeps no other waiting
		err := guarded(func() error { return c.followOne(ctx, a, p) })
		if err != nil {
			errs = append(errs, fmt.Errorf("event %s: %w", p.Event, err))
		}
	}
	return open, errors.Join(errs...)
}

func (c *eventsCounter) followOne(ctx context.Context, a *attendance, p events.Pending) error {
	if p.Due {
		if err := c.expire(ctx, p.Event); err != nil {
			return err
		}
	}
	if p.Due || p.Unsynced > 0 {
		return c.sync(ctx, a, p.Event)
	}
	return nil
}

func (c *eventsCounter) expire(ctx context.Context, event id.ID) error {
	for more := true; more; {
		var err error
		if _, more, err = c.seats.Expire(ctx, event, time.Now(), expireAtOnce); err != nil {
			return err
		}
	}
	return nil
}

// sync writes what the database has not heard of an event, in batches. A batch is read while the lane is locked, so that no payment changes what it is about. Should
// the process die before Redis is told, the batch is written again, which changes nothing.
func (c *eventsCounter) sync(ctx context.Context, a *attendance, event id.ID) error {
	hall, err := c.halls.Of(ctx, event)
	if err != nil {
		return err
	}
	for more := true; more; {
		var batch events.Batch
		err := a.write(ctx, func(tx database.Tx) (entries []feed.Entry, err error) {
			if batch, err = c.seats.Unsynced(ctx, hall, syncAtOnce); err != nil || batch.Marks == 0 {
				return nil, err
			}
			return c.storeBatch(tx, a, hall, &batch)
		})
		if errors.Is(err, events.ErrNotLoaded) {
			return nil // Redis has lost it; whoever needs it next loads it
		}
		if err != nil {
			return err
		}
		if batch.Marks == 0 {
			return nil
		}
		lag := time.Since(batch.Oldest)
		c.metrics.lag.Set(lag.Seconds())
		c.metrics.lags.Observe(lag.Seconds())
		if err := c.seats.Synced(ctx, hall, batch); err != nil {
			return err
		}
		more = batch.More
	}
	return nil
}

// storeBatch writes a batch, and returns what the feed tells of it. That a reservation has expired is told when its row learns of it, so that it is told once.
func (c *eventsCounter) storeBatch(tx database.Tx, a *attendance, hall *events.Hall, batch *events.Batch) ([]feed.Entry, error) {
	now := time.Now().UTC().Truncate(time.Microsecond)
	expired, err := events.NewlyExpired(tx, batch.Reservations)
	if err != nil {
		return nil, err
	}
	if err := events.StoreReservations(tx, batch.Reservations); err != nil {
		return nil, err
	}
	for i := range batch.Reservations {
		a.x.clock.Witness(batch.Reservations[i].Lamport)
	}
	stamp := a.x.clock.Tick()
	entries := make([]feed.Entry, 0, len(expired)+1)
	for i := range expired {
		entries = append(entries, feed.Entry{Topic: feed.UserTopic(expired[i].UserID), Event: feed.ReservationExpired, At: now, Lamport: stamp, Data: expired[i].AppendJSON(nil, hall, c.tickets)})
	}
	if len(batch.Seats) > 0 {
		entries = append(entries, feed.Entry{Topic: feed.EventTopic + hall.Event().String(), Event: feed.SeatChanged, At: now, Lamport: stamp,
			Data: events.AppendSeatsChanged(nil, hall, batch.Epoch, batch.Version, batch.Seats)})
	}
	return entries, nil
}

// upkeep is what is due now and then. It may take a while for one event, so it is done for one at a time, and in between all are followed.
type upkeep struct {
	reconcile map[id.ID]time.Time // when each event is due. One that is not there is due at once
	forget    time.Time
}

// next is the event that has been due for longest. It is due again after the usual time, whatever comes of it.
func (u *upkeep) next(open []id.ID, now time.Time) (event id.ID, found bool) {
	times := make(map[id.ID]time.Time, len(open))
	for _, each := range open {
		at := u.reconcile[each]
		times[each] = at
		if !at.After(now) && (!found || at.Before(times[event])) {
			event, found = each, true
		}
	}
	if found {
		times[event] = now.Add(reconcileEvery)
	}
	u.reconcile = times
	return event, found
}

// keepUp compares Redis with the database for the event that is due, if one is, and drops the events that are long over. What fails is told, and tried again when it
// is due again: it keeps nothing else waiting.
func (c *eventsCounter) keepUp(ctx context.Context, a *attendance, u *upkeep, open []id.ID) {
	now := time.Now()
	if event, due := u.next(open, now); due {
		if err := guarded(func() error { return c.reconcile(ctx, a, event) }); err != nil && ctx.Err() == nil {
			slog.WarnContext(ctx, "an event's seats in Redis and in the database are not compared; it is tried again", "event", event, "error", err)
		}
	}
	if now.Before(u.forget) {
		return
	}
	u.forget = now.Add(reconcileEvery)
	if err := guarded(func() error { return c.forgetOver(ctx, now) }); err != nil && ctx.Err() == nil {
		slog.WarnContext(ctx, "events that are over are not dropped from Redis; it is tried again", "error", err)
	}
}

// forgetOver drops the events that are long over.
func (c *eventsCounter) forgetOver(ctx context.Context, now time.Time) error {
	known, err := events.OpenEvents(c.db.Read(ctx), now.Add(-overFor-forgetting))
	if err != nil {
		return err
	}
	open, err := events.OpenEvents(c.db.Read(ctx), now.Add(-overFor)) // after the others: one that is announced meanwhile is not over
	if err != nil {
		return err
	}
	stillOpen := make(map[id.ID]bool, len(open))
	for _, event := range open {
		stillOpen[event] = true
	}
	var errs []error
	for _, event := range known {
		if stillOpen[event] {
			continue
		}
		if _, err := c.seats.Forget(ctx, event); err != nil {
			errs = append(errs, fmt.Errorf("event %s: %w", event, err))
			continue
		}
		c.halls.Forget(event)
	}
	return errors.Join(errs...)
}

// reconcile mends what Redis and the database do not agree on about an event: a crash after a commit leaves claims that are not settled, and a Redis that was set back
// to an earlier state has forgotten sales. What it mends is told in the log and counted.
func (c *eventsCounter) reconcile(ctx context.Context, a *attendance, event id.ID) error {
	hall, err := c.halls.Of(ctx, event)
	if err != nil {
		return err
	}
	err = c.halls.Loaded(ctx, hall, func() error { // before anything is locked: it may take a while
		_, err := c.seats.Map(ctx, hall)
		return err
	})
	if err != nil {
		return err
	}
	return a.locked(ctx, func(tx database.Tx) error {
		state, err := c.seats.State(ctx, hall)
		if errors.Is(err, events.ErrNotLoaded) {
			return nil // lost again; the next time
		}
		if err != nil {
			return err
		}
		truth, err := c.truth(tx, event, &state)
		if err != nil {
			return err
		}
		if err := c.setWaitingRoom(ctx, tx, event); err != nil {
			return err
		}
		for _, difference := range events.Compare(&state, &truth) {
			if err := a.x.checkFence(tx); err != nil { // the lock is still had; else what was read is no truth any more
				return err
			}
			mended, err := c.seats.Mend(ctx, hall, difference, time.Now())
			if err != nil {
				return err
			}
			if mended {
				c.metrics.mended.WithLabelValues(string(difference.Kind)).Inc()
				slog.WarnContext(ctx, "Redis and the database did not agree on seats; it is mended", "event", event, "kind", difference.Kind,
					"reservation", difference.Reservation.ID, "operation_id", difference.Operation, "seats", hall.Names(difference.Seats))
			}
		}
		return nil
	})
}

// setWaitingRoom has Redis know the waiting room as the database has it: whoever changed it last may not have reached Redis.
func (c *eventsCounter) setWaitingRoom(ctx context.Context, tx database.Tx, event id.ID) error {
	e, err := events.GetEvent(tx, event)
	if err != nil {
		return err
	}
	err = c.seats.SetWaitingRoom(ctx, event, e.Waiting, time.Now())
	if errors.Is(err, events.ErrNotLoaded) {
		return nil
	}
	return err
}

// truth reads what the database says, payments that have claimed reservations included.
func (c *eventsCounter) truth(tx database.Tx, event id.ID, state *events.State) (events.Truth, error) {
	truth, err := events.ReadTruth(tx, event)
	truth.Decided = map[id.ID]events.SettledTo{}
	for _, claim := range state.Claims() {
		if err != nil {
			break
		}
		var status operation.Status
		payment := claim.Operation
		status, err = operation.StatusOf(tx, payment)
		switch {
		case errors.Is(err, operation.ErrNotFound):
			truth.Decided[payment], err = events.Unclaimed, nil
		case status == operation.Succeeded:
			truth.Decided[payment] = events.Sold
		case status == operation.Rejected:
			truth.Decided[payment] = events.Freed
		case status == operation.Failed: // an operator may have it executed yet
			truth.Decided[payment] = events.Unclaimed
		}
	}
	return truth, err
}
