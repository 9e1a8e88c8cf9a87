package operation

import (
	"errors"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"guichet/models/database"
	"guichet/models/id"
	"guichet/models/problem"
)

func TestJournalKeepsCommands(t *testing.T) {
	onBothStores(t, func(f *fixture) {
		commands := f.accept(lane, 256)
		tx := f.db.Read(f.Context())
		read, err := Commands(tx, batchOf(commands))
		must(f, err)
		if !reflect.DeepEqual(read, commands) {
			f.Errorf("wrote %+v …\nread  %+v …", commands[0], read[0])
		}
		part, err := Commands(tx, Batch{commands[7].ID, 3})
		must(f, err)
		if !reflect.DeepEqual(part, commands[7:10]) {
			f.Errorf("three from the eighth on are %+v", part)
		}
		neighbour := f.accept(lane, 1)
		if read, err := Commands(tx, batchOf(neighbour)); err != nil || len(read) != 1 {
			f.Errorf("a batch of one is read as %d commands, %v", len(read), err)
		}
		for operation, want := range map[id.ID]bool{commands[0].ID: true, commands[255].ID: true, f.ids.Next(): false} {
			if has, err := Has(tx, operation); has != want || err != nil {
				f.Errorf("%s: Has = %t, %v", operation, has, err)
			}
		}
		err = f.db.Write(f.Context(), func(tx database.Tx) error { return Append(tx, lane, commands) })
		if !database.IsDuplicate(err) {
			f.Errorf("writing a batch again gave %v", err)
		}
	})
}

func TestTakeOnce(t *testing.T) {
	onBothStores(t, func(f *fixture) {
		first, second, other := batchOf(f.accept(lane, 3)), batchOf(f.accept(lane, 1)), batchOf(f.accept("other", 2))
		for _, tt := range []struct {
			name    string
			batches []Batch
			want    int
		}{
			{"of another lane", []Batch{other}, 0},
			{"its first operation alone", []Batch{{first.ID, 1}}, 0},
			{"more than it was", []Batch{{first.ID, 4}}, 0},
			{"one's id with another's size", []Batch{{first.ID, second.Operations}, {second.ID, first.Operations}}, 0},
			{"one that waits and one that never was", []Batch{first, {f.ids.Next(), 1}}, 1},
			{"that and another", []Batch{first, second}, 1},
			{"both again", []Batch{first, second}, 0},
		} {
			f.write(func(tx database.Tx) error {
				n, err := Take(tx, lane, tt.batches)
				if n != tt.want {
					f.Errorf("%s: took %d, want %d", tt.name, n, tt.want)
				}
				return err
			})
		}
		if left := f.waiting("other"); !slices.Equal(left, []Batch{other}) {
			f.Errorf("the other lane has %v waiting", left)
		}
	})
}

// TestTakeRolledBack: what a transaction took waits again if it fails.
func TestTakeRolledBack(t *testing.T) {
	onBothStores(t, func(f *fixture) {
		batch := batchOf(f.accept(lane, 2))
		fault := errors.New("fault")
		err := f.db.Write(f.Context(), func(tx database.Tx) error {
			n, err := Take(tx, lane, []Batch{batch})
			if n != 1 || err != nil {
				f.Errorf("took %d, %v", n, err)
			}
			return fault
		})
		if !errors.Is(err, fault) || !slices.Equal(f.waiting(lane), []Batch{batch}) {
			f.Errorf("%v; %v waits", err, f.waiting(lane))
		}
	})
}

// TestTakeTogether has many take the same batch at once.
func TestTakeTogether(t *testing.T) {
	onBothStores(t, func(f *fixture) {
		batch := batchOf(f.accept(lane, 2))
		var mu sync.Mutex
		total := 0
		var takers sync.WaitGroup
		for range 8 {
			takers.Go(func() {
				err := f.db.Write(f.Context(), func(tx database.Tx) error {
					n, err := Take(tx, lane, []Batch{batch})
					mu.Lock()
					defer mu.Unlock()
					total += n
					return err
				})
				if err != nil {
					f.Error(err)
				}
			})
		}
		takers.Wait()
		if total != 1 {
			f.Errorf("the batch was taken %d times", total)
		}
	})
}

func TestWaiting(t *testing.T) {
	onBothStores(t, func(f *fixture) {
		tx := f.db.Read(f.Context())
		look := func(lane string) (LaneLook, error) {
			looks, err := LookAtLanes(tx)
			must(f, err)
			return looks.Of(lane)
		}
		if found, err := look(lane); !found.Newest.IsZero() || err != nil || found.Name != lane {
			f.Errorf("the newest of none is %+v, %v", found, err)
		}
		if _, err := look("nowhere"); !errors.Is(err, ErrUnknownLane) {
			f.Errorf("a lane that there is not: %v", err)
		}
		var want []Batch
		for n := range 5 {
			want = append(want, batchOf(f.accept(lane, n+1)))
		}
		f.accept("other", 9)
		if got := f.waiting(lane); !slices.Equal(got, want) {
			f.Errorf("%v waits, want %v", got, want)
		}
		page, err := Waiting(tx, lane, want[1].ID, 2)
		must(f, err)
		if !slices.Equal(page, want[2:4]) {
			f.Errorf("the page after the second is %v", page)
		}
		must(f, PauseLane(f.Context(), f.db, lane, true))
		seized, err := SeizeLane(f.Context(), f.db, lane, "somebody")
		must(f, err)
		if found, err := look(lane); found.Newest != want[4].ID || err != nil || found.LaneState != seized || !found.Paused || found.Holder != "somebody" {
			f.Errorf("the newest is %+v, %v", found, err)
		}
		gone := f.ids.Next()
		asked, total, err := f.journal.WaitingOf(f.Context(), lane, []id.ID{want[0].ID, want[3].ID, gone})
		if err != nil || total != 15 || len(asked) != 2 || !asked[want[0].ID] || !asked[want[3].ID] {
			f.Errorf("WaitingOf = %v, %d, %v", asked, total, err)
		}
		for batch, expected := range map[Batch]bool{want[2]: true, {want[2].ID, 1}: false, {gone, 1}: false} {
			if waits, err := IsWaiting(tx, lane, batch); waits != expected || err != nil {
				f.Errorf("IsWaiting(%v) = %t, %v", batch, waits, err)
			}
		}
		for bounds, expected := range map[[2]id.ID]bool{
			{want[1].ID, want[1].ID}: true, {want[1].ID, want[3].ID}: true, {want[1].ID.WithIndex(1), want[1].ID.WithIndex(255)}: false, {gone, gone}: false,
		} {
			if waits, err := IsAnyWaiting(tx, lane, bounds[0], bounds[1]); waits != expected || err != nil {
				f.Errorf("IsAnyWaiting(%v) = %t, %v", bounds, waits, err)
			}
		}
		depths, err := f.journal.Depths(f.Context())
		must(f, err)
		if len(depths) != 2 || depths[lane] != (Depth{15, want[0].ID.Time()}) || depths["other"].Operations != 9 {
			f.Errorf("the depths are %v", depths)
		}
	})
}

func TestConclude(t *testing.T) {
	onBothStores(t, func(f *fixture) {
		commands := f.accept(lane, 3)
		outcomes := f.end(commands, Succeeded, Rejected, Failed)
		for i, c := range commands {
			o := f.get(c.ID)
			if !reflect.DeepEqual(o.Command, c) || !reflect.DeepEqual(*o.Outcome, outcomes[i]) || o.Position != 0 {
				f.Errorf("wrote %+v %+v\nread  %+v %+v", c, outcomes[i], o.Command, o.Outcome)
			}
			ended, err := HasEnded(f.db.Read(f.Context()), c.ID)
			if !ended || err != nil {
				f.Errorf("HasEnded = %t, %v", ended, err)
			}
		}
		err := f.db.Write(f.Context(), func(tx database.Tx) error { return Conclude(tx, lane, outcomes[1:2]) })
		if !database.IsDuplicate(err) {
			f.Errorf("a second outcome gave %v", err)
		}
		if ended, err := HasEnded(f.db.Read(f.Context()), f.accept(lane, 1)[0].ID); ended || err != nil {
			f.Errorf("of one that waits HasEnded = %t, %v", ended, err)
		}
	})
}

// TestProblemsAreKept: what was refused is told again as it was told first.
func TestProblemsAreKept(t *testing.T) {
	onBothStores(t, func(f *fixture) {
		for _, detail := range []string{"", "plain", "two\nlines", "\n", "é \U0001F600 \u2028 \"quoted\" \\ %d ? @name", "a\x00b"} {
			c := f.accept(lane, 1)
			f.write(func(tx database.Tx) error {
				_, err := Take(tx, lane, []Batch{batchOf(c)})
				must(f, err)
				return Conclude(tx, lane, []Outcome{{OperationID: c[0].ID, Sequence: 1, Status: Rejected, Lamport: 9, Problem: problem.New(problem.BalanceLimit, detail)}})
			})
			if got := f.get(c[0].ID).Outcome.Problem; got.Code != problem.BalanceLimit || got.Detail != detail {
				f.Errorf("%q is read as %q", detail, got.Detail)
			}
		}
	})
}

func TestList(t *testing.T) {
	onBothStores(t, func(f *fixture) {
		mine := f.accept(lane, 3)
		f.end(mine, Succeeded, Rejected, Failed)
		mine = append(mine, f.accept(lane, 2)...)
		me := f.user
		f.user = f.ids.Next()
		others := f.accept("other", 1)
		mine = append(mine, func() []Command { f.user = me; return f.accept("other", 1) }()...)
		for name, tt := range map[string]struct {
			filter Filter
			want   []int // indexes into mine
		}{
			"all":              {Filter{}, []int{5, 4, 3, 2, 1, 0}},
			"the newest two":   {Filter{Limit: 2}, []int{5, 4}},
			"before the third": {Filter{Before: mine[2].ID}, []int{1, 0}},
			"queued":           {Filter{Status: Queued}, []int{5, 4, 3}},
			"succeeded":        {Filter{Status: Succeeded}, []int{0}},
			"rejected":         {Filter{Status: Rejected}, []int{1}},
			"failed":           {Filter{Status: Failed}, []int{2}},
			"a kind":           {Filter{Kind: "deposit", Status: Rejected}, []int{1}},
			"no such kind":     {Filter{Kind: "robbery"}, nil},
			"by id":            {Filter{IDs: []id.ID{mine[4].ID, mine[0].ID, others[0].ID, f.ids.Next()}}, []int{4, 0}},
		} {
			tt.filter.User = me
			if tt.filter.Limit == 0 {
				tt.filter.Limit = 100
			}
			found, err := f.journal.List(f.Context(), tt.filter)
			must(f, err)
			var got, want []id.ID
			for i := range found {
				got = append(got, found[i].ID)
			}
			for _, i := range tt.want {
				want = append(want, mine[i].ID)
			}
			if !slices.Equal(got, want) {
				f.Errorf("%s: %v, want %v", name, got, want)
			}
		}
		for i, position := range map[int]int64{0: 0, 3: 0, 4: 1, 5: 1} {
			if o := f.get(mine[i].ID); o.Position != position {
				f.Errorf("operation %d is at position %d, want %d", i, o.Position, position)
			}
		}
		if _, err := f.journal.Get(f.Context(), others[0].ID, me); !errors.Is(err, ErrNotFound) {
			f.Errorf("somebody else's operation: %v", err)
		}
		if _, err := f.journal.Get(f.Context(), f.ids.Next(), id.ID{}); !errors.Is(err, ErrNotFound) {
			f.Errorf("no operation: %v", err)
		}
	})
}

func TestReplay(t *testing.T) {
	onBothStores(t, func(f *fixture) {
		commands := f.accept(lane, 3)
		f.end(commands, Succeeded, Failed, Rejected)
		for name, operation := range map[string]id.ID{"succeeded": commands[0].ID, "rejected": commands[2].ID, "waiting": f.accept("other", 1)[0].ID} {
			if _, err := f.journal.Replay(f.Context(), operation, nil); !errors.Is(err, ErrNotReplayable) {
				f.Errorf("replaying what is %s gave %v", name, err)
			}
		}
		if _, err := f.journal.Replay(f.Context(), f.ids.Next(), nil); !errors.Is(err, ErrNotFound) {
			f.Errorf("replaying nothing gave %v", err)
		}
		for round := range 2 { // it fails again, and is replayed again
			replayed, err := f.journal.Replay(f.Context(), commands[1].ID, nil)
			must(f, err)
			if replayed.Lane != lane || replayed.Batch != (Batch{commands[1].ID, 1}) || !reflect.DeepEqual(replayed.Commands, commands[1:2]) || replayed.Repeated {
				f.Errorf("replayed %+v", replayed)
			}
			if o := f.get(commands[1].ID); o.Status() != Queued {
				f.Errorf("after the replay it is %s", o.Status())
			}
			if _, err := f.journal.Replay(f.Context(), commands[1].ID, nil); !errors.Is(err, ErrNotReplayable) {
				f.Errorf("replaying it twice gave %v", err)
			}
			outcome := f.end(replayed.Commands, Failed)[0]
			if outcome.Sequence != int64(4+round) {
				f.Errorf("round %d has sequence %d", round, outcome.Sequence)
			}
		}
		var replays int
		must(f, f.db.Read(f.Context()).Gorm().Raw("SELECT replays FROM parked_operations").Row().Scan(&replays))
		if replays != 2 {
			f.Errorf("%d replays are counted", replays)
		}
	})
}

func TestReplayTogether(t *testing.T) {
	onBothStores(t, func(f *fixture) {
		commands := f.accept(lane, 1)
		f.end(commands, Failed)
		var mu sync.Mutex
		counts := map[error]int{}
		var askers sync.WaitGroup
		for range 6 {
			askers.Go(func() {
				_, err := f.journal.Replay(f.Context(), commands[0].ID, nil)
				mu.Lock()
				defer mu.Unlock()
				counts[err]++
			})
		}
		askers.Wait()
		if counts[nil] != 1 || counts[ErrNotReplayable] != 5 || len(f.waiting(lane)) != 1 {
			f.Errorf("the answers are %v, and %v waits", counts, f.waiting(lane))
		}
	})
}

func TestReplayKey(t *testing.T) {
	onBothStores(t, func(f *fixture) {
		commands := f.accept(lane, 2)
		f.end(commands, Failed, Failed)
		key := Key{User: f.user, Hash: HashKey("once"), Request: [32]byte{1}}
		for n, want := range []bool{false, true, true} {
			replayed, err := f.journal.Replay(f.Context(), commands[0].ID, &key)
			must(f, err)
			if replayed.Repeated != want || len(f.waiting(lane)) != 1 {
				f.Errorf("time %d: repeated: %t; %v waits", n, replayed.Repeated, f.waiting(lane))
			}
		}
		other := key
		other.Request = [32]byte{2}
		if _, err := f.journal.Replay(f.Context(), commands[1].ID, &other); !errors.Is(err, ErrKeyReused) {
			f.Errorf("the key for another request gave %v", err)
		}
		if f.get(commands[1].ID).Status() != Failed {
			f.Error("the refused replay changed something")
		}
	})
}

func TestIdempotencyKeys(t *testing.T) {
	onBothStores(t, func(f *fixture) {
		mine, anonymous, late := Key{f.user, HashKey("a"), [32]byte{1}}, Key{id.ID{}, HashKey("a"), [32]byte{2}}, Key{f.user, HashKey("b"), [32]byte{3}}
		operation := f.ids.Next()
		answers := []Answer{{Request: mine.Request, Operation: operation}, {Request: anonymous.Request, Status: 201, Body: []byte("{\"a\":\"\x00\"}")}}
		at := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
		f.write(func(tx database.Tx) error { return KeepAnswers(tx, []Key{mine, anonymous}, answers, at) })
		f.write(func(tx database.Tx) error {
			return KeepAnswers(tx, []Key{late}, []Answer{{Request: late.Request, Status: 204}}, at.Add(time.Hour))
		})

		unused := Key{f.ids.Next(), HashKey("a"), [32]byte{1}}
		found, err := FindAnswers(f.db.Read(f.Context()), []Key{mine, anonymous, unused})
		must(f, err)
		if len(found) != 2 || !reflect.DeepEqual(found[mine.Bare()], answers[0]) || !reflect.DeepEqual(found[anonymous.Bare()], answers[1]) {
			f.Errorf("found %+v", found)
		}
		if none, err := FindAnswers(f.db.Read(f.Context()), nil); len(none) != 0 || err != nil {
			f.Errorf("found %v for no keys, %v", none, err)
		}
		again := mine
		again.Request = [32]byte{9}
		for _, key := range []Key{mine, again, anonymous} {
			err := f.db.Write(f.Context(), func(tx database.Tx) error { return KeepAnswers(tx, []Key{key}, answers[:1], at) })
			if !database.IsDuplicate(err) {
				f.Errorf("using a key again gave %v", err)
			}
		}
		f.write(func(tx database.Tx) error {
			n, err := ForgetAnswers(tx, at.Add(time.Microsecond), 100)
			if n != 2 {
				f.Errorf("forgot %d answers", n)
			}
			return err
		})
		if found, err = FindAnswers(f.db.Read(f.Context()), []Key{mine, anonymous, late}); err != nil || len(found) != 1 || found[late.Bare()].Status != 204 {
			f.Errorf("after forgetting: %v, %v", found, err)
		}
	})
}
