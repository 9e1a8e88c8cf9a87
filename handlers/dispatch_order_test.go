package handlers

import (
	"testing"
	"time"

	"guichet/models/id"
	"guichet/models/operation"
)

// Each envelope names the batch that its intake packed before it, so that a lane does not let it overtake one whose task was lost. What is replayed is no
// part of that chain: it may be anybody's, and older.
func TestEnvelopesNameTheirPredecessor(t *testing.T) {
	t.Parallel()
	ids, others := id.NewGenerator(), id.NewGenerator()
	d := newTestDispatcher(nil, nil)
	add := func() id.ID {
		batch, commands := batchOf(ids.Next(), id.MaxBatch)
		d.add(batch, commands)
		return batch.ID
	}
	expect := func(what string, after id.ID) *operation.Envelope {
		t.Helper()
		e := d.pack()
		if e == nil || e.After != after {
			t.Fatalf("%s: packed %+v, want it after %s", what, e, after)
		}
		return e
	}
	first, second := add(), add()
	expect("the first", id.ID{})
	e := expect("the second", first)
	d.unpack(e)
	expect("the second again", first)
	d.advanced([]id.ID{first, second})

	replayed, commands := batchOf(others.Next(), id.MaxBatch)
	d.addReplayed(replayed, commands)
	own, commands := batchOf(first.WithIndex(3), 1)
	d.addReplayed(own, commands)
	third := add()
	expect("somebody else's replay", second)
	e = expect("a replay of an older one", second)
	if len(e.Batches) != 1 {
		t.Fatalf("packed %d batches", len(e.Batches))
	}
	expect("what comes after the replays", second)
	d.advanced([]id.ID{replayed.ID, own.ID, third})
	add()
	expect("the last", third)
}

// The longer a busy lane takes for an envelope, the longer a batch is kept open for it, within bounds; times in which nothing was on its way do not count.
func TestPatienceFollowsTheLane(t *testing.T) {
	t.Parallel()
	d := newTestDispatcher(nil, nil)
	now := time.Now()
	run := func(every time.Duration, left int) time.Duration {
		for range 50 {
			now = now.Add(every)
			d.notePace(now, left)
		}
		return d.patience()
	}
	if got := d.patience(); got != gatherLeast {
		t.Errorf("%v before anything was executed", got)
	}
	if got := run(20*time.Millisecond, 1); got < 7*time.Millisecond || got > 8*time.Millisecond {
		t.Errorf("%v for envelopes of 20 ms", got)
	}
	now = now.Add(20 * time.Millisecond)
	d.notePace(now, 0)
	if got := run(time.Second, 0); got < 7*time.Millisecond || got > 8*time.Millisecond {
		t.Errorf("%v after idle times", got)
	}
	if got := run(time.Second, 1); got != gatherMost {
		t.Errorf("%v for envelopes of 1 s", got)
	}
	if got := run(time.Millisecond, 1); got != gatherLeast {
		t.Errorf("%v for envelopes of 1 ms", got)
	}
}
