package workers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"

	"guichet/models/database"
	"guichet/models/events"
	"guichet/models/feed"
	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/messages"
	"guichet/models/operation"
	"guichet/models/problem"
)

// messagesCounter executes edits and deletions, and while its lane is held has the table of messages follow the log, which is ahead of it.
type messagesCounter struct {
	redis   redis.UniversalClient
	log     *messages.Log
	poke    chan struct{} // somebody waits for what is not stored yet
	metrics *messageMetrics
}

func newMessagesCounter(w *Workers) *messagesCounter {
	return &messagesCounter{redis: w.Redis, log: messages.NewLog(w.Redis, w.DB, w.Clock), poke: make(chan struct{}, 1), metrics: w.metrics.messages}
}

func (c *messagesCounter) forget() {} // it keeps nothing

type messagesRound struct {
	commands map[id.ID]messagesCommand
	messages map[int64]*messages.Message // by offset
	changed  []*messages.Message
	isNoted  map[int64]bool // as changed
}

type messagesCommand struct {
	messages.Command
	err error // why it cannot be read
}

// errOnItsWay says that a message is on its way to the table. Commands on it wait.
var errOnItsWay = errors.New("a message is not stored yet")

func (c *messagesCounter) load(tx database.Tx, commands []operation.Command) (round, error) {
	r := &messagesRound{commands: make(map[id.ID]messagesCommand, len(commands)), messages: map[int64]*messages.Message{}, isNoted: map[int64]bool{}}
	var offsets []int64
	for i := range commands {
		read, err := messages.DecodeCommand(commands[i].Kind, commands[i].Payload)
		r.commands[commands[i].ID] = messagesCommand{read, err}
		if offset := messages.OffsetOf(read.Message); err == nil && r.messages[offset] == nil {
			r.messages[offset] = &messages.Message{}
			offsets = append(offsets, offset)
		}
	}
	found, stored, err := messages.Lock(tx, offsets)
	if err != nil {
		return nil, err
	}
	clear(r.messages)
	for i := range found {
		r.messages[found[i].Offset] = &found[i]
	}
	for _, offset := range offsets {
		if r.messages[offset] != nil || offset <= stored {
			continue
		}
		if err := c.checkComing(tx.Context(), offset); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// checkComing is an error if a message is on its way to the table. One that is not was lost with Redis, or never was.
func (c *messagesCounter) checkComing(ctx context.Context, offset int64) error {
	coming, err := c.log.IsComing(ctx, offset)
	if err == nil && coming {
		err = errOnItsWay
		select {
		case c.poke <- struct{}{}:
		default:
		}
	}
	if err != nil {
		return &awayError{err}
	}
	return nil
}

func (r *messagesRound) lastStamp() (last lamport.Stamp) {
	for _, m := range r.messages {
		last = max(last, m.Lamport)
	}
	return last
}

func (r *messagesRound) decide(c *operation.Command, stamp lamport.Stamp, at time.Time) decision {
	read := r.commands[c.ID]
	if read.err != nil {
		panic(fmt.Errorf("a payload that did not come through the contract: %w", read.err))
	}
	m := r.messages[messages.OffsetOf(read.Message)]
	if m == nil || m.ID() != read.Message {
		return decision{refusal: problem.New(problem.UnknownMessage, "There is no such message.")}
	}
	change := messages.Change{By: c.UserID, Asked: c.SubmittedAt, At: at, Stamp: stamp}
	entry, refusal := r.change(m, c.Kind, &read.Command, change)
	if refusal != nil {
		return decision{refusal: refusal}
	}
	d := decision{result: m.AppendJSON(make([]byte, 0, 512))}
	if entry != nil {
		d.entries = []feed.Entry{*entry}
		r.note(m)
	}
	return d
}

// change changes a message, and returns what the feed tells of that; nil if nothing has changed.
func (r *messagesRound) change(m *messages.Message, kind string, c *messages.Command, change messages.Change) (*feed.Entry, *problem.Problem) {
	if kind == messages.KindEdit {
		if refusal := m.Edit(change, c.Text); refusal != nil {
			return nil, refusal
		}
		edited := m.Edited()
		return &edited, nil
	}
	changed, refusal := m.Delete(change, c.Admin)
	if refusal != nil || !changed {
		return nil, refusal
	}
	deleted := m.Deleted()
	return &deleted, nil
}

func (r *messagesRound) note(m *messages.Message) {
	if !r.isNoted[m.Offset] {
		r.isNoted[m.Offset] = true
		r.changed = append(r.changed, m)
	}
}

func (r *messagesRound) prepare(database.Tx) error { return nil }

func (r *messagesRound) store(tx database.Tx) ([]feed.Entry, error) {
	return nil, messages.SaveChanged(tx, r.changed)
}

const (
	// gatherFor is for how long messages are gathered before they are stored, where Redis keeps them meanwhile: a commit costs as much as hundreds of them. A second
	// is what is promised.
	gatherFor = 100 * time.Millisecond
	// storeAgain is the pause after storing has failed, or while the lane is paused.
	storeAgain = 100 * time.Millisecond
)

// attend has the table follow the log.
func (c *messagesCounter) attend(ctx context.Context, a *attendance) {
	for failed := false; ctx.Err() == nil; {
		err := guarded(func() error { return c.follow(ctx, a) })
		switch {
		case ctx.Err() != nil, errors.Is(err, messages.ErrMoved):
			continue
		case !failed: // once: a store that is away is told of by many already
			slog.WarnContext(ctx, "messages are not stored; it is tried again", "error", err)
		}
		failed = true
		pause(ctx, storeAgain)
	}
}

// follow stores messages as they come, until something fails, or the log is not where it was.
func (c *messagesCounter) follow(ctx context.Context, a *attendance) error {
	follower, err := c.log.NewFollower(ctx, a.x.db)
	if err != nil {
		return err
	}
	most := time.Duration(0) // who posts waits for the table
	if durable, _ := events.Durable(ctx, c.redis); durable {
		most = gatherFor
	}
	for ctx.Err() == nil {
		first, found, err := follower.Wait(ctx)
		switch {
		case err != nil:
			return err
		case !found:
			c.metrics.unstored.Set(0)
			c.metrics.lag.Set(0)
			continue
		}
		c.gather(ctx, most-time.Since(first))
		if err := c.storeNext(ctx, a, follower); err != nil { // the table is behind by at least this
			c.metrics.lag.Set(time.Since(first).Seconds())
			return err
		}
	}
	return nil
}

// gather waits for others, unless somebody waits for what is there.
func (c *messagesCounter) gather(ctx context.Context, most time.Duration) {
	if most <= 0 {
		return
	}
	timer := time.NewTimer(min(most, gatherFor)) // clocks differ
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.poke:
	case <-ctx.Done():
	}
}

// storeNext stores as much as one transaction may; nothing while the lane is paused.
func (c *messagesCounter) storeNext(ctx context.Context, a *attendance, follower *messages.Follower) error {
	batches, err := follower.Next(ctx)
	if err != nil || len(batches) == 0 {
		return err
	}
	oldest, n := batches[0].At(), 0
	for i := range batches {
		n += len(batches[i].Messages)
	}
	err = a.writeUnlessPaused(ctx, func(tx database.Tx) error { return follower.Store(tx, batches) })
	if errors.Is(err, errPaused) {
		c.metrics.lag.Set(time.Since(oldest).Seconds())
		pause(ctx, storeAgain)
		return nil
	}
	if err != nil {
		return err
	}
	c.metrics.lag.Set(time.Since(oldest).Seconds())
	c.metrics.lags.Observe(time.Since(oldest).Seconds())
	c.metrics.stored.Add(float64(n))
	left, err := follower.Stored(ctx, batches)
	c.metrics.unstored.Set(float64(left))
	a.x.publisher.Publish(ctx, feed.Publication{Lane: a.x.lane, Ended: n}) // what the lane has done
	return err
}
