package handlers

import (
	"fmt"
	"slices"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"guichet/models/bank"
	"guichet/models/database"
	"guichet/models/id"
	"guichet/models/operation"
)

// newTestDispatcher is a dispatcher that does not run.
func newTestDispatcher(s *Server, client *asynq.Client) *dispatcher {
	d := newDispatcher(bank.Lane, s, client, &depth{})
	d.credit = 3 // so that there is one between the first and the last
	return d
}

// batchOf makes a batch of n commands.
func batchOf(base id.ID, n int) (operation.Batch, []operation.Command) {
	commands := make([]operation.Command, n)
	for i := range commands {
		commands[i] = operation.Command{ID: base.WithIndex(i), Lane: bank.Lane, Kind: bank.KindDeposit, Payload: []byte(`{}`)}
	}
	return operation.Batch{ID: base, Operations: n}, commands
}

func sizes(e *operation.Envelope) string {
	if e == nil {
		return "none"
	}
	var n []int
	for _, b := range e.Batches {
		n = append(n, b.Operations)
	}
	return fmt.Sprint(n, len(e.Commands))
}

func TestDispatcherPacksWithinCredit(t *testing.T) {
	t.Parallel()
	ids := id.NewGenerator()
	d := newTestDispatcher(nil, nil)
	var batches []id.ID
	add := func(n int) {
		batch, commands := batchOf(ids.Next(), n)
		batches = append(batches, batch.ID)
		d.add(batch, commands)
	}
	expect := func(want string) *operation.Envelope {
		t.Helper()
		e := d.pack()
		if got := sizes(e); got != want {
			t.Fatalf("packed %s, want %s", got, want)
		}
		return e
	}
	expect("none")
	add(1)
	expect("[1] 1")
	add(200)
	add(56)
	add(1)
	expect("[200 56] 256") // as full as may be
	add(256)
	expect("[1] 1")                                      // the next is too large to go with it
	expect("none")                                       // three are on their way: no credit
	d.advanced([]id.ID{batches[1]})                      // half of the second
	expect("none")                                       //
	d.advanced([]id.ID{batches[2], ids.Next()})          // the other half, and somebody else's
	expect("[256] 256")                                  //
	d.advanced([]id.ID{batches[0], batches[0]})          // told twice
	d.advanced([]id.ID{batches[3], batches[4]})          //
	if len(d.outstanding)+len(d.sizes)+len(d.done) > 0 { // nothing is left behind
		t.Errorf("outstanding %v, sizes %v, done %v", d.outstanding, d.sizes, d.done)
	}
}

// What could not be enqueued goes back to its place, except what the lane found in the journal meanwhile.
func TestDispatcherUnpacks(t *testing.T) {
	t.Parallel()
	ids := id.NewGenerator()
	for _, c := range []struct {
		name string
		done []int // of the envelope's batches, before it comes back
		want string
	}{
		{"nothing happened", nil, "[1 2 3 4] 10"},
		{"one was executed", []int{1}, "[1 3 4] 8"},
		{"all were executed", []int{0, 1, 2}, "[4] 4"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := newTestDispatcher(nil, nil)
			first, commands := batchOf(ids.Next(), 9)
			d.add(first, commands)
			if sizes(d.pack()) != "[9] 9" { // on its way all the time
				t.Fatal("not packed")
			}
			var batches []id.ID
			for n := 1; n <= 3; n++ {
				batch, commands := batchOf(ids.Next(), n)
				batches = append(batches, batch.ID)
				d.add(batch, commands)
			}
			e := d.pack()
			batch, commands := batchOf(ids.Next(), 4)
			d.add(batch, commands)
			for _, n := range c.done {
				d.advanced([]id.ID{batches[n]})
			}
			d.unpack(e)
			if len(d.outstanding) != 1 || d.outstanding[0][0] != first.ID {
				t.Errorf("outstanding: %v", d.outstanding)
			}
			again := d.pack()
			if got := sizes(again); got != c.want {
				t.Errorf("packed %s, want %s", got, c.want)
			}
			d.advanced([]id.ID{first.ID, batches[0], batches[1], batches[2], batch.ID})
			if len(d.outstanding)+len(d.sizes)+len(d.done)+len(d.waiting) > 0 {
				t.Errorf("outstanding %v, sizes %v, done %v, waiting %d", d.outstanding, d.sizes, d.done, len(d.waiting))
			}
		})
	}
}

// Whatever comes in whatever order: order is kept, credit is neither exceeded nor lost, and nothing is left behind when all is done.
func TestDispatcherKeepsOrderAndCredit(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		ids := id.NewGenerator()
		d := newTestDispatcher(nil, nil)
		var all []id.ID
		done := map[id.ID]bool{}
		var inHand *operation.Envelope
		var sent []*operation.Envelope
		finish := func(b id.ID) {
			d.advanced([]id.ID{b})
			done[b] = true
		}
		rt.Repeat(map[string]func(*rapid.T){
			"accept": func(rt *rapid.T) {
				batch, commands := batchOf(ids.Next(), rapid.IntRange(1, id.MaxBatch).Draw(rt, "operations"))
				all = append(all, batch.ID)
				d.add(batch, commands)
				d.depth.added.Add(int64(batch.Operations))
			},
			"pack": func(rt *rapid.T) {
				if inHand != nil {
					rt.Skip()
				}
				if inHand = d.pack(); inHand != nil && len(inHand.Commands) > id.MaxBatch {
					rt.Fatalf("%d commands in an envelope", len(inHand.Commands))
				}
			},
			"enqueue": func(rt *rapid.T) {
				if inHand == nil {
					rt.Skip()
				}
				sent, inHand = append(sent, inHand), nil
			},
			"fail to enqueue": func(rt *rapid.T) {
				if inHand == nil {
					rt.Skip()
				}
				d.unpack(inHand)
				inHand = nil
			},
			"execute what was sent": func(rt *rapid.T) {
				if len(sent) == 0 {
					rt.Skip()
				}
				for _, b := range sent[0].Batches {
					finish(b.ID)
				}
				sent = sent[1:]
			},
			"execute the oldest, from the journal": func(*rapid.T) {
				for _, b := range all {
					if !done[b] {
						finish(b)
						return
					}
				}
			},
			"": func(rt *rapid.T) {
				if len(d.outstanding) > d.credit {
					rt.Fatalf("%d envelopes outstanding", len(d.outstanding))
				}
				if !slices.IsSortedFunc(d.waiting, func(a, b journaled) int { return slices.Compare(a.ID[:], b.ID[:]) }) {
					rt.Fatal("what waits is out of order")
				}
			},
		})
		if inHand != nil {
			d.unpack(inHand)
		}
		for _, b := range all {
			finish(b)
		}
		if len(d.outstanding)+len(d.waiting)+len(d.sizes)+len(d.done) > 0 || d.depth.added.Load() != 0 {
			rt.Fatalf("in the end: outstanding %v, waiting %d, sizes %v, done %v, depth %d", d.outstanding, len(d.waiting), d.sizes, d.done, d.depth.added.Load())
		}
	})
}

// The queue is away while the lane executes the envelope from the journal: no credit is lost, and the next one is enqueued when the queue is back.
func TestDispatcherOutlivesTheQueue(t *testing.T) {
	onBothStores(t, func(t *testing.T, c *counter) {
		queue := miniredis.RunT(t)
		client := redis.NewClient(&redis.Options{Addr: queue.Addr(), MaxRetries: -1})
		t.Cleanup(func() { _ = client.Close() })
		d := newTestDispatcher(c.Server, asynq.NewClientFromRedisClient(client))
		journal := func(n int) (operation.Batch, []operation.Command) {
			batch, commands := batchOf(c.IDs.Next(), n)
			for i := range commands {
				commands[i].UserID = batch.ID
			}
			must(t, c.DB.Write(t.Context(), func(tx database.Tx) error { return operation.Append(tx, bank.Lane, commands) }))
			d.depth.added.Add(int64(n))
			d.add(batch, commands)
			return batch, commands
		}
		queue.SetError("LOADING not now")
		first, _ := journal(2)
		d.dispatch(t.Context())
		if len(d.outstanding) != 0 || len(d.waiting) != 1 {
			t.Fatalf("outstanding %v, waiting %d", d.outstanding, len(d.waiting))
		}
		if d.reckon(t.Context()); d.depth.ahead() != 1 {
			t.Errorf("%d ahead of the second operation", d.depth.ahead())
		}
		must(t, c.DB.Write(t.Context(), func(tx database.Tx) error {
			_, err := operation.Take(tx, bank.Lane, []operation.Batch{first})
			return err
		}))
		d.reckon(t.Context()) // the news was lost
		if len(d.waiting)+len(d.sizes)+len(d.done) > 0 || d.depth.added.Load() != 0 {
			t.Fatalf("waiting %d, sizes %v, done %v", len(d.waiting), d.sizes, d.done)
		}
		queue.SetError("")
		second, _ := journal(3)
		d.dispatch(t.Context())
		if tasks := queue.Keys(); !slices.Contains(tasks, "asynq:{bank}:t:"+second.ID.String()) {
			t.Errorf("the queue has %v", tasks)
		}
		if len(d.outstanding) != 1 {
			t.Errorf("outstanding %v", d.outstanding)
		}
	})
}
