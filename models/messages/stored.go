package messages

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"guichet/models/problem"
)

const (
	// storedPatience is how long the database may take to have a message, where it is not answered before.
	storedPatience = 5 * time.Second
	// storedPoll is how often the log is asked while somebody waits, in case what it told was lost.
	storedPoll = 200 * time.Millisecond
)

var errNotStored = problem.New(problem.Unavailable, "The message has not reached the database in time. It may yet.").After(time.Second)

// AwaitStored returns when the database has the message: where Redis does not promise to keep what it has answered, nothing is acknowledged before. Watch must be
// running.
func (l *Log) AwaitStored(ctx context.Context, p *Posted) error {
	stored, forget := l.watch.expect(p.base, p.Offset)
	if forget == nil {
		return l.checkStored(ctx, p)
	}
	defer forget()
	patience := time.NewTimer(storedPatience)
	defer patience.Stop()
	select {
	case kept := <-stored:
		if !kept {
			return errNotStored
		}
		return l.checkStored(ctx, p)
	case <-patience.C:
		return errNotStored
	case <-ctx.Done():
		return ctx.Err()
	}
}

// checkStored looks whether it is this message that the database has by its offset: a Redis that was set back to an earlier state gives the same offsets again.
func (l *Log) checkStored(ctx context.Context, p *Posted) error {
	found, err := tableGet(l.db.Read(ctx), p.Offset)
	if err == nil && (len(found) == 0 || found[0].Room != p.Room || found[0].ID() != p.ID()) {
		err = errNotStored
	}
	return err
}

// watch knows how far the database has followed.
type watch struct {
	mu           sync.Mutex
	base, stored int64
	waiters      map[*waiter]struct{}
}

type waiter struct {
	base, offset int64
	stored       chan bool // false: the log was made anew, and the message is not in it
}

func newWatch() watch { return watch{waiters: map[*waiter]struct{}{}} }

// expect returns a channel that gets a value when the database has followed up to an offset. It returns nothing if it has already.
func (w *watch) expect(base, offset int64) (stored <-chan bool, forget func()) {
	one := &waiter{base, offset, make(chan bool, 1)}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.base == base && w.stored >= offset {
		return nil, nil
	}
	w.waiters[one] = struct{}{}
	return one.stored, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.waiters, one)
	}
}

func (w *watch) note(base, stored int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if base < w.base || base == w.base && stored < w.stored {
		return // late
	}
	w.base, w.stored = base, stored
	for one := range w.waiters {
		if one.base < base || one.base == base && one.offset <= stored {
			one.stored <- one.base == base
			delete(w.waiters, one)
		}
	}
}

func (w *watch) anybody() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.waiters) > 0
}

// Watch keeps AwaitStored informed until ctx ends.
func (l *Log) Watch(ctx context.Context) {
	subscription := l.client.Subscribe(ctx, storedChannel)
	defer func() { _ = subscription.Close() }()
	told := subscription.Channel()
	poll := time.NewTicker(storedPoll)
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case message, open := <-told:
			if !open {
				return
			}
			base, stored, _ := strings.Cut(message.Payload, " ")
			b, err1 := strconv.ParseInt(base, 10, 64)
			s, err2 := strconv.ParseInt(stored, 10, 64)
			if errors.Join(err1, err2) == nil {
				l.watch.note(b, s)
			}
		case <-poll.C:
			if !l.watch.anybody() {
				continue
			}
			if s, err := l.readState(ctx); err == nil {
				l.watch.note(s.base, s.stored)
			} else if ctx.Err() == nil {
				slog.DebugContext(ctx, "the log of messages cannot be asked how far it is stored", "error", err)
			}
		}
	}
}
