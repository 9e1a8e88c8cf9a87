package workers

import (
	"slices"
	"testing"
	"time"

	"guichet/models/id"
	"guichet/models/operation"
)

// A drain executes what waits, in order, packed as an intake would.
func TestDrain(t *testing.T) {
	onBothStores(t, func(t *testing.T, r *rig) {
		x := r.executor()
		full := make([]order, drainPack)
		var parts []*operation.Envelope
		for i, n := range []int{200, 56, 1, 256, 255, 2, 3} {
			parts = append(parts, r.journal(full[:n]...))
			if i == 0 {
				parts[0].Commands[0].Kind = "order"
			}
		}
		for range drainPage + 5 { // more than a page
			parts = append(parts, r.journal(order{Text: "s"}))
		}
		if err := x.drain(t.Context(), everything); err != nil {
			t.Fatal(err)
		}
		if got, want := r.counter.loaded(), []int{256, 1, 256, 255, 5 + drainPage + 5}; !slices.Equal(got, want) {
			t.Errorf("packed as %v, want %v", got, want)
		}
		if err := r.check(r.outcomes()); err != nil {
			t.Error(err)
		}
		r.inOrder(parts...)
	})
}

// A drain stops at what it is to leave alone, and executes nothing behind that.
func TestDrainStops(t *testing.T) {
	onBothStores(t, func(t *testing.T, r *rig) {
		x := r.executor()
		first, second := r.journal(order{Text: "a"}), r.journal(order{Text: "b"})
		third := r.journal(order{Text: "c"})
		if err := x.drain(t.Context(), func(batch id.ID) bool { return batch != third.ID() }); err != nil {
			t.Fatal(err)
		}
		r.inOrder(first, second)
		if n := r.query("SELECT COUNT(*) FROM journal_batches"); n != 1 {
			t.Errorf("%d batches wait, want 1", n)
		}
		if err := x.drain(t.Context(), everything); err != nil {
			t.Fatal(err)
		}
		r.expectStatuses("succeeded", "succeeded", "succeeded")
	})
}

// A new holder drains all that waits when it comes, whatever the clock of the process says that accepted it.
func TestTakeoverDrainsWhatIsAheadOfTheClock(t *testing.T) {
	onBothStores(t, func(t *testing.T, r *rig) {
		x := r.executor()
		future := idAt(r.ids.Next(), time.Now().Add(time.Hour))
		e := r.journalAs(future, order{Text: "a"}, order{Text: "b"})
		if err := x.drainAll(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.expectStatuses("succeeded", "succeeded")
		r.inOrder(e)
	})
}

// idAt is an id like i of another time.
func idAt(i id.ID, at time.Time) id.ID {
	ms := at.UnixMilli()
	for n := range 6 {
		i[n] = byte(ms >> (8 * (5 - n)))
	}
	return i
}
