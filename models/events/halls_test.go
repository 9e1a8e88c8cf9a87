package events

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"guichet/models/database"
	"guichet/models/lamport"
	"guichet/models/testbed/stores"
)

// slowLoads has whoever takes the turn to load wait to be let go, and counts who looks whether that is needed.
type slowLoads struct {
	letGo chan struct{}
	looks atomic.Int64
}

func (s *slowLoads) DialHook(next redis.DialHook) redis.DialHook { return next }

func (s *slowLoads) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (s *slowLoads) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		switch cmd.Name() {
		case "exists":
			s.looks.Add(1)
		case "set":
			select {
			case <-s.letGo:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return next(ctx, cmd)
	}
}

// TestLoadedByOne: of all in a process who find that Redis does not know an event, one loads it. Whoever gives up is not kept, also the one whose request began it.
func TestLoadedByOne(t *testing.T) {
	stores.Each(t, func(t *testing.T, db *database.DB) {
		e := insertEvent(t, db, Event{StartsAt: time.Now().Add(time.Hour), MaxPerUser: 6})
		client := connectMini(t)
		defer client.Close() //nolint:errcheck // at the end of the test
		slow := &slowLoads{letGo: make(chan struct{})}
		client.AddHook(slow)
		seats := NewSeats(client)
		halls := NewHalls(db, &lamport.Clock{}, seats)
		hall, err := halls.Of(t.Context(), e.ID)
		must(t, err)
		look := func(ctx context.Context) error {
			return halls.Loaded(ctx, hall, func() error {
				_, err := seats.Map(ctx, hall)
				return err
			})
		}
		ctx, giveUp := context.WithCancel(t.Context())
		gone := make(chan error, 1)
		go func() { gone <- look(ctx) }()
		eventually(t, func() bool { return slow.looks.Load() > 0 })
		giveUp()
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		const callers = 50
		var looking sync.WaitGroup
		for range callers {
			looking.Go(func() {
				if err := look(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		<-time.After(10 * loadPoll) // in which each of them would look by itself
		if n := slow.looks.Load(); n != 1 {
			t.Errorf("%d looks", n)
		}
		close(slow.letGo)
		looking.Wait()
	})
}
