package operation

import (
	"errors"
	"slices"
	"testing"

	"guichet/models/database"
	"guichet/models/lamport"
)

func TestLanes(t *testing.T) {
	onBothStores(t, func(f *fixture) {
		ctx := f.Context()
		first, err := SeizeLane(ctx, f.db, lane, "one")
		must(f, err)
		second, err := SeizeLane(ctx, f.db, lane, "two")
		must(f, err)
		if first != (LaneState{Name: lane, Fence: 1, Holder: "one"}) || second != (LaneState{Name: lane, Fence: 2, Holder: "two"}) {
			f.Errorf("seized %+v and %+v", first, second)
		}
		f.write(func(tx database.Tx) error { return AdvanceLane(tx, lane, 7, 70) })
		must(f, PauseLane(ctx, f.db, lane, true))
		must(f, PauseLane(ctx, f.db, lane, true)) // as it is already
		must(f, EnsureLanes(ctx, f.db, []string{lane, "other", "third"}))
		must(f, VacateLane(ctx, f.db, lane, first.Fence)) // not its any more
		states, err := ReadLanes(f.db.Read(ctx))
		must(f, err)
		if want := []LaneState{{lane, 2, "two", true, 7, 70}, {Name: "other"}, {Name: "third"}}; !slices.Equal(states, want) {
			f.Errorf("the lanes are %+v", states)
		}
		must(f, PauseLane(ctx, f.db, lane, false))
		must(f, VacateLane(ctx, f.db, lane, second.Fence))
		if state, err := ReadLane(f.db.Read(ctx), lane); state != (LaneState{lane, 2, "", false, 7, 70}) || err != nil {
			f.Errorf("the lane is %+v, %v", state, err)
		}
		_, seizeErr := SeizeLane(ctx, f.db, "cellar", "one")
		_, readErr := ReadLane(f.db.Read(ctx), "cellar")
		for _, err := range []error{seizeErr, readErr, PauseLane(ctx, f.db, "cellar", true)} {
			if !errors.Is(err, ErrUnknownLane) {
				f.Errorf("of a lane that there is not: %v", err)
			}
		}
	})
}

// TestLaneIsLocked: whoever locks a lane sees what the last one left, however many there are.
func TestLaneIsLocked(t *testing.T) {
	onBothStores(t, func(f *fixture) {
		const writers, each = 4, 10
		done := make(chan error, writers)
		for range writers {
			go func() {
				var err error
				for n := 0; n < each && err == nil; n++ {
					err = f.db.Write(f.Context(), func(tx database.Tx) error {
						state, err := LockLane(tx, lane)
						if err != nil {
							return err
						}
						return AdvanceLane(tx, lane, state.Sequence+1, state.Lamport+2)
					})
				}
				done <- err
			}()
		}
		for range writers {
			must(f, <-done)
		}
		if state, err := ReadLane(f.db.Read(f.Context()), lane); state.Sequence != writers*each || state.Lamport != 2*writers*each || err != nil {
			f.Errorf("the lane is %+v, %v", state, err)
		}
	})
}

func TestLastStamp(t *testing.T) {
	onBothStores(t, func(f *fixture) {
		expect := func(want lamport.Stamp) {
			f.Helper()
			if last, err := LastStamp(f.Context(), f.db); last != want || err != nil {
				f.Errorf("the last stamp is %d, %v; want %d", last, err, want)
			}
		}
		expect(0)
		f.clock.Witness(40)
		f.accept(lane, 2)
		expect(42)
		f.write(func(tx database.Tx) error { return AdvanceLane(tx, "other", 0, 50) })
		expect(50)
		f.write(func(tx database.Tx) error {
			_, err := tx.Exec("INSERT INTO feed_entries (position, topic, event, at_us, lamport) VALUES (1, 'me', 'notice', 0, 60)")
			return err
		})
		expect(60)
	})
}
