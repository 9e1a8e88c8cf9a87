package handlers

import (
	"testing"

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
