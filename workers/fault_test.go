package workers

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"guichet/models/database"
	"guichet/models/operation"
	"guichet/models/testbed"
	"guichet/models/testbed/stores"
)

// privateRig has a MariaDB that can be killed.
func privateRig(t *testing.T) (*rig, *testbed.MariaDB) {
	t.Helper()
	server := testbed.PrivateMariaDB(t, testbed.Options{})
	if err := server.CreateDatabase(t.Context(), "guichet"); err != nil {
		t.Fatal(err)
	}
	return newRig(t, stores.MySQL(t, server.DSN("guichet"))), server
}

// The database is killed in the middle of transactions: each is tried again in its place, and nothing overtakes it.
func TestDatabaseKilledInTransaction(t *testing.T) {
	t.Parallel()
	r, server := privateRig(t)
	x := r.executor()
	var parts []*operation.Envelope
	for range 6 {
		parts = append(parts, r.journal(order{Text: "a"}, order{Bug: "decide"}, order{Text: "b"}))
	}
	var stores atomic.Int64
	var restarting sync.WaitGroup
	r.counter.onStore = func(database.Tx) {
		if n := stores.Add(1); n == 2 || n == 9 {
			if err := server.Kill(); err != nil {
				t.Error(err)
			}
			restarting.Go(func() {
				if err := server.Restart(context.WithoutCancel(t.Context())); err != nil {
					t.Error(err)
				}
			})
		}
	}
	for _, e := range parts {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		if err := x.execute(ctx, e); err != nil {
			t.Fatal(err)
		}
		cancel()
	}
	restarting.Wait()
	if err := r.check(r.outcomes()); err != nil {
		t.Error(err)
	}
	r.inOrder(parts...)
	if n := r.query("SELECT COUNT(*) FROM outcomes WHERE status = 'failed'"); n != 6 {
		t.Errorf("%d have failed, want those 6 that have a bug", n)
	}
}

// A deadlock with somebody else rolls the lane's transaction back, which is tried again.
func TestDeadlock(t *testing.T) {
	t.Parallel()
	r := newRig(t, stores.MySQL(t, testbed.MySQL(t)))
	r.exec("CREATE TABLE locks (id INT PRIMARY KEY, n INT NOT NULL DEFAULT 0)")
	r.exec("INSERT INTO locks (id) VALUES (1), (2)")
	x := r.executor()
	first, second := r.journal(order{Text: "a"}), r.journal(order{Text: "b"}, order{Text: "c"})
	others, theirs := make(chan struct{}), make(chan error, 1)
	var loads int
	r.counter.onLoad = func(tx database.Tx, _ []operation.Command) {
		if loads++; loads != 1 {
			return
		}
		if _, err := tx.Exec("UPDATE locks SET n = n + 1 WHERE id = 1"); err != nil {
			t.Error(err)
		}
		go func() {
			theirs <- r.db.Write(t.Context(), func(tx database.Tx) error {
				rows := database.Rows{Table: "effects", Columns: []string{"operation_id", "text"}}
				for range 2000 { // whoever has changed more wins
					rows.Add(make([]byte, 16), "theirs")
				}
				if err := rows.Insert(tx); err != nil {
					return err
				}
				if _, err := tx.Exec("UPDATE locks SET n = n + 1 WHERE id = 2"); err != nil {
					return err
				}
				close(others)
				if _, err := tx.Exec("UPDATE locks SET n = n + 1 WHERE id = 1"); err != nil {
					return err
				}
				return errors.New("not to be kept")
			})
		}()
		<-others
		if _, err := tx.Exec("UPDATE locks SET n = n + 1 WHERE id = 2"); err != nil {
			panic(sqlError{err})
		}
		t.Error("there was no deadlock")
	}
	x.counter = passErrors{r.counter}
	r.mustExecute(x, merge(first, second))
	if err := <-theirs; err == nil || err.Error() != "not to be kept" {
		t.Errorf("theirs: %v", err)
	}
	if loads != 2 {
		t.Errorf("tried %d times, want 2", loads)
	}
	r.expectStatuses("succeeded", "succeeded", "succeeded")
	r.inOrder(first, second)
}

// sqlError is an error of the store on its way out of a hook.
type sqlError struct{ error }

// passErrors returns as errors of load what its hook panics with.
type passErrors struct{ *fakeCounter }

func (p passErrors) load(tx database.Tx, commands []operation.Command) (made round, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = cause.(sqlError).error
		}
	}()
	return p.fakeCounter.load(tx, commands)
}

// A worker whose database is away, or frozen, stops when its time is up, with an envelope in hand and without.
func TestHolderStopsWithoutDatabase(t *testing.T) {
	for name, away := range map[string]func(*testbed.MariaDB) error{
		"killed": (*testbed.MariaDB).Kill, "frozen": (*testbed.MariaDB).Pause,
	} {
		for what, drained := range map[string]bool{"in the queue": false, "in the journal": true} {
			t.Run(name+", with an envelope "+what, func(t *testing.T) {
				t.Parallel()
				r, server := privateRig(t)
				h := r.withQueue(miniredis.RunT(t).Addr())
				inHand := make(chan struct{})
				var stores atomic.Int64
				strike := int64(2)
				if drained {
					strike = 1
				}
				r.counter.onStore = func(database.Tx) {
					if stores.Add(1) == strike {
						if err := away(server); err != nil {
							t.Error(err)
						}
						close(inHand)
					}
				}
				r.journal(order{Text: "a"})
				w := h.work(time.Second)
				if !drained {
					h.awaitOutcomes(1)
					h.enqueue(r.journal(order{Text: "b"}))
				}
				<-inHand
				w.stop()
				w.awaitStopped(15 * time.Second)
				if err := server.Resume(); err != nil {
					t.Fatal(err)
				}
				if err := server.Restart(t.Context()); err != nil {
					t.Fatal(err)
				}
				h.work(time.Second)
				h.awaitOutcomes(int(strike))
				h.expectStatuses([]string{"succeeded", "succeeded"}[:strike]...)
			})
		}
	}
}

// Another store than the database answers with errors for a while: what waits for it is tried again in its place, and nothing is parked for that.
func TestOtherStoreAway(t *testing.T) {
	onBothStores(t, func(t *testing.T, r *rig) {
		x := r.executor()
		left := 5
		r.counter.loadErr = func() error {
			if left--; left >= 0 {
				return &awayError{errors.New("LOADING Redis is loading the dataset in memory")}
			}
			return nil
		}
		r.mustExecute(x, r.journal(order{Text: "a"}, order{Bug: "refuse"}, order{Text: "b"}))
		r.expectStatuses("succeeded", "rejected", "succeeded")
		if loads := r.counter.loaded(); len(loads) != 6 || loads[5] != 3 {
			t.Errorf("loaded %v", loads)
		}
	})
}
