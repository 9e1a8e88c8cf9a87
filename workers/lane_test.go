package workers

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"guichet/models/database"
	"guichet/models/id"
	"guichet/models/operation"
)

// A command that runs into a bug is parked, wherever that happens; its neighbours are executed, in order.
func TestBrokenCommandIsParked(t *testing.T) {
	tests := []struct {
		name  string
		order order
		cause string
	}{
		{"panic in decide", order{Bug: "decide", Text: "boom"}, "boom"},
		{"panic with a cause that no column takes", order{Bug: "decide at length"}, "panic"},
		{"panic in load", order{Bug: "load"}, "a bug in load"},
		{"panic in store", order{Bug: "store"}, "a bug in store"},
		{"cannot be stored", order{Text: "much too long"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			onBothStores(t, func(t *testing.T, r *rig) {
				x := r.executor()
				first, second := r.journal(order{Text: "a"}, tt.order, order{Bug: "refuse"}), r.journal(order{Text: "b"}, tt.order, order{Text: "c"})
				alone, last := r.journal(tt.order), r.journal(order{Text: "d"})
				r.mustExecute(x, merge(first, second))
				r.mustExecute(x, alone)
				r.mustExecute(x, last)
				r.expectStatuses("succeeded", "failed", "rejected", "succeeded", "failed", "succeeded", "failed", "succeeded")
				r.inOrder(first, second, alone, last)
				var causes []string
				if err := r.db.Read(t.Context()).Gorm().Raw("SELECT cause FROM parked_operations").Scan(&causes).Error; err != nil {
					t.Fatal(err)
				}
				if len(causes) != 3 {
					t.Fatalf("%d are parked, want 3", len(causes))
				}
				for _, cause := range causes {
					if cause == "" || !strings.Contains(cause, tt.cause) {
						t.Errorf("the cause is %q, want %q in it", cause, tt.cause)
					}
				}
			})
		})
	}
}

// Every envelope is delivered twice and more, at once, cut differently each time: every command is executed once, and in order.
func TestDeliveredTwice(t *testing.T) {
	onBothStores(t, func(t *testing.T, r *rig) {
		random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test that can be repeated
		x := r.executor()
		var parts []*operation.Envelope
		for i := range 24 {
			orders := []order{{Text: "a"}, {Bug: "refuse"}, {Text: "b"}}[:1+i%3]
			if i%8 == 5 {
				orders = append(slices.Clone(orders), order{Text: "much too long"}, order{Bug: "decide"})
			}
			parts = append(parts, r.journal(orders...))
		}
		var group sync.WaitGroup
		for range 6 { // each goroutine delivers all of them in order, packed in its own way
			var packs []*operation.Envelope
			for from := 0; from < len(parts); {
				n := min(1+random.IntN(5), len(parts)-from)
				packs = append(packs, merge(parts[from:from+n]...))
				from += n
			}
			group.Go(func() {
				for _, e := range packs {
					if err := x.execute(t.Context(), e); err != nil {
						t.Error(err)
					}
					if random := len(e.Batches)%2 == 0; random { // and again at once
						if err := x.execute(t.Context(), e); err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
		group.Wait()
		if err := r.check(r.outcomes()); err != nil {
			t.Error(err)
		}
		r.inOrder(parts...)
	})
}

// A task that comes back late finds a batch of its id waiting that is another one: the first command of it alone, replayed or executed one by one.
// It must not take that for its own.
func TestLateTaskAndPartOfItsBatch(t *testing.T) {
	onBothStores(t, func(t *testing.T, r *rig) {
		x := r.executor()
		e := r.journal(order{Bug: "decide"}, order{Text: "b"}, order{Text: "c"})
		r.mustExecute(x, e)
		r.expectStatuses("failed", "succeeded", "succeeded")
		if _, err := operation.NewJournal(r.db).Replay(t.Context(), e.ID(), nil); err != nil {
			t.Fatal(err)
		}
		r.mustExecute(x, e)
		if n := r.query("SELECT COUNT(*) FROM journal_batches"); n != 1 {
			t.Fatalf("%d batches wait, want the replayed one", n)
		}
		if err := x.drain(t.Context(), everything); err != nil {
			t.Fatal(err)
		}
		r.expectStatuses("succeeded", "succeeded", "failed")
	})
}

// Should a batch wait whose operation has an outcome, by whatever fault, then it is not executed again and holds nothing up.
func TestWaitingThoughExecuted(t *testing.T) {
	onBothStores(t, func(t *testing.T, r *rig) {
		x := r.executor()
		e := r.journal(order{Text: "a"})
		r.mustExecute(x, e)
		err := r.db.Write(t.Context(), func(tx database.Tx) error { return operation.AppendBatch(tx, fakeLane, e.Batches[0]) })
		if err != nil {
			t.Fatal(err)
		}
		next := r.journal(order{Text: "b"})
		r.mustExecute(x, merge(e, next))
		if n := r.query("SELECT COUNT(*) FROM journal_batches"); n != 0 {
			t.Errorf("%d batches wait", n)
		}
		r.expectStatuses("succeeded", "succeeded")
	})
}

// A holder that has been fenced off writes nothing, in whatever it is doing.
func TestFencedHolderWritesNothing(t *testing.T) {
	onBothStores(t, func(t *testing.T, r *rig) {
		old := r.executor()
		first := r.journal(order{Text: "a"}, order{Text: "much too long"})
		present := r.executor()
		for name, work := range map[string]func() error{
			"execute": func() error { return old.execute(t.Context(), first) },
			"isolate": func() error { return old.isolate(t.Context(), first) },
			"drain":   func() error { return old.drain(t.Context(), everything) },
		} {
			if err := work(); !errors.Is(err, errFenced) {
				t.Errorf("%s: %v, want errFenced", name, err)
			}
		}
		if n := len(r.outcomes()); n != 0 {
			t.Errorf("%d outcomes", n)
		}
		r.mustExecute(present, first)
		r.expectStatuses("succeeded", "failed")
		if err := old.execute(t.Context(), first); !errors.Is(err, errFenced) { // though there is nothing left to write
			t.Errorf("%v, want errFenced", err)
		}
	})
}

// A paused lane executes nothing, and goes on where it was.
func TestPausedLane(t *testing.T) {
	onBothStores(t, func(t *testing.T, r *rig) {
		x := r.executor()
		e := r.journal(order{Text: "a"}, order{Text: "b"})
		r.pause(true)
		done := make(chan error, 1)
		go func() { done <- x.execute(t.Context(), e) }()
		select {
		case err := <-done:
			t.Fatalf("executed, with %v", err)
		case <-time.After(2 * retryMost):
		}
		if n := len(r.counter.loaded()); n != 0 {
			t.Errorf("loaded %d times", n)
		}
		r.pause(false)
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
		case <-time.After(patience):
			t.Fatal("not executed")
		}
		r.expectStatuses("succeeded", "succeeded")
	})
}

// What is in hand when a paused lane's process is to stop stays in the journal, and the process stops at once.
func TestPausedLaneStops(t *testing.T) {
	onBothStores(t, func(t *testing.T, r *rig) {
		x := r.executor()
		stopping := make(chan struct{})
		x.stopping = stopping
		r.pause(true)
		e := r.journal(order{Text: "a"})
		done := make(chan error, 1)
		go func() { done <- x.execute(t.Context(), e) }()
		close(stopping)
		select {
		case err := <-done:
			if !errors.Is(err, errPaused) {
				t.Fatalf("%v, want errPaused", err)
			}
		case <-time.After(patience):
			t.Fatal("it does not stop")
		}
		r.pause(false)
		r.mustExecute(r.executor(), e)
		r.expectStatuses("succeeded")
	})
}

func (r *rig) pause(paused bool) {
	r.Helper()
	if err := operation.PauseLane(r.Context(), r.db, fakeLane, paused); err != nil {
		r.Fatal(err)
	}
}

// An envelope whose predecessors were lost with the queue does not overtake them.
func TestNothingOvertakes(t *testing.T) {
	onBothStores(t, func(t *testing.T, r *rig) {
		x := r.executor()
		first, lost, lostToo := r.journal(order{Text: "a"}), r.journal(order{Text: "b"}, order{Text: "c"}), r.journal(order{Text: "d"})
		next := r.journal(order{Text: "e"})
		later := r.journal(order{Text: "f"})
		next.After, later.After = lostToo.ID(), next.ID()
		r.mustExecute(x, first)
		r.mustExecute(x, next)
		if n := r.query("SELECT COUNT(*) FROM journal_batches"); n != 1 {
			t.Errorf("%d batches wait, want the one that comes after", n)
		}
		r.mustExecute(x, later)
		r.mustExecute(x, lost) // comes late
		r.expectStatuses("succeeded", "succeeded", "succeeded", "succeeded", "succeeded", "succeeded")
		r.inOrder(first, lost, lostToo, next, later)
	})
}

// A new holder does not know what was executed before it, and need not.
func TestNothingOvertakesAtANewHolder(t *testing.T) {
	onBothStores(t, func(t *testing.T, r *rig) {
		first, second, third := r.journal(order{Text: "a"}), r.journal(order{Text: "b"}), r.journal(order{Text: "c"})
		second.After, third.After = first.ID(), second.ID()
		r.mustExecute(r.executor(), first)
		x := r.executor()
		r.mustExecute(x, third)
		r.mustExecute(x, second)
		r.expectStatuses("succeeded", "succeeded", "succeeded")
		r.inOrder(first, second, third)
	})
}

func everything(id.ID) bool { return true }
