package workers

import (
	"context"
	"slices"
	"sync"
	"testing"

	"guichet/models/operation"
)

// What arrives while an envelope is executed is executed together, in the order in which it came, however long each takes to be read; what cannot be read is
// left out, and what is there twice comes after.
func TestArrivalsAreExecutedTogether(t *testing.T) {
	onBothStores(t, func(t *testing.T, r *rig) {
		x := r.executor()
		var parts []*operation.Envelope
		for range 5 {
			parts = append(parts, r.journal(order{Text: "a"}, order{Text: "b"}))
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		brought := []*operation.Envelope{parts[0], parts[1], nil, parts[2], parts[1], parts[3], parts[4]}
		places := make([]*arrival, len(brought))
		for i := range brought {
			places[i] = x.arrivals.arrive()
		}
		var group sync.WaitGroup
		for i, e := range slices.Backward(brought) {
			group.Go(func() {
				if err := x.finish(ctx, places[i]); err != nil {
					t.Error(err)
				}
			})
			places[i].is(e)
		}
		group.Wait()
		r.inOrder(parts...)
		// The repeated one goes with what comes after it: some of that transaction's batches are executed already, and it is tried again with the rest.
		if loads := r.counter.loaded(); len(loads) == 0 || loads[0] != 6 || !slices.Contains(loads, 4) {
			t.Errorf("loaded %v commands at a time", loads)
		}
	})
}
