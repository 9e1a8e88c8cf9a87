package operation

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"guichet/models/id"
)

// Who waits, and where, is found as Get finds it.
func TestLongWaiting(t *testing.T) {
	onBothStores(t, func(f *fixture) {
		grace := f.ids.Next()
		ada := f.user
		at := func(user id.ID, lane string, n int) []Command {
			f.user = user
			return f.accept(lane, n)
		}
		look := func(by time.Time, users ...id.ID) []Operation {
			f.Helper()
			found, err := f.journal.LongWaiting(f.Context(), users, by)
			must(f, err)
			return found
		}
		expect := func(what string, found []Operation, want ...[]Command) {
			f.Helper()
			all := slices.Concat(want...)
			slices.SortFunc(all, func(a, b Command) int { return slices.Compare(a.ID[:], b.ID[:]) })
			if len(found) != len(all) {
				f.Fatalf("%s: %d wait, want %d", what, len(found), len(all))
			}
			for i := range all {
				o := f.get(all[i].ID)
				o.Payload, o.Traceparent = nil, ""
				if fmt.Sprint(found[i]) != fmt.Sprint(*o) {
					f.Errorf("%s: found %+v\nwant %+v", what, found[i], *o)
				}
			}
		}
		later := func() time.Time { return time.Now().Add(time.Hour) }
		expect("at first", look(later(), ada, grace))
		first, others, third := at(ada, lane, 3), at(grace, lane, 256), at(ada, lane, 2)
		elsewhere := at(ada, "other", 2)
		expect("all", look(later(), ada), first, third, elsewhere)
		expect("of somebody else", look(later(), grace), others)
		expect("of both", look(later(), grace, ada), first, others, third, elsewhere)
		expect("of nobody", look(later()))
		expect("of a stranger", look(later(), f.ids.Next()))
		strangers := make([]id.ID, askAtOnce)
		for i := range strangers {
			strangers[i] = f.ids.Next()
		}
		expect("of very many", look(later(), append([]id.ID{ada}, strangers...)...), first, third, elsewhere)
		if found := look(first[0].SubmittedAt.Add(-time.Minute), ada, grace); len(found) != 0 {
			f.Errorf("before anybody came: %v", found)
		}
		f.end(first, Succeeded, Failed, Rejected)
		expect("after the first batch", look(later(), ada), third, elsewhere)
		if _, err := f.journal.Replay(f.Context(), first[1].ID, nil); err != nil {
			f.Fatal(err)
		}
		expect("with one that is replayed", look(later(), ada), first[1:2], third, elsewhere)
		expect("behind it", look(later(), grace), others)
		f.end(elsewhere, Succeeded, Succeeded)
		expect("one lane", look(later(), ada), first[1:2], third)
	})
}

// Only what has waited for so long is told of, though it counts where it is ahead.
func TestLongWaitingIsLong(t *testing.T) {
	onBothStores(t, func(f *fixture) {
		early := f.accept(lane, 2)
		by := time.Now()
		for !time.Now().After(by.Add(2 * time.Millisecond)) { // ids tell milliseconds
			<-time.After(time.Millisecond)
		}
		f.accept(lane, 2)
		f.accept("other", 2)
		found, err := f.journal.LongWaiting(f.Context(), []id.ID{f.user}, by)
		must(f, err)
		if len(found) != 2 || found[0].ID != early[0].ID || found[1].Position != 1 {
			f.Errorf("%v", found)
		}
	})
}

// place says the same as ahead, which walks the line.
func TestPlaceIsHowManyAreAhead(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	g := id.NewGenerator()
	for range 200 {
		var bases []id.ID
		for range 1 + random.IntN(8) {
			bases = append(bases, g.Next())
		}
		var l line
		for _, base := range bases {
			for index := 0; index < 20; {
				index += random.IntN(6)
				n := 1 + random.IntN(5)
				if random.IntN(3) > 0 {
					l.add(Batch{base.WithIndex(index), n})
				}
				index += n
			}
		}
		for _, base := range bases {
			for index := range 40 {
				operation := base.WithIndex(index)
				position, waits := l.place(operation)
				contained := slices.ContainsFunc(l.batches, func(b Batch) bool {
					return b.ID.Base() == base && b.ID.Index() <= index && index < b.ID.Index()+b.Operations
				})
				if waits != contained || waits && position != ahead(l.batches, operation) {
					t.Fatalf("%v in %v: %d, %t; ahead are %d", operation, l.batches, position, waits, ahead(l.batches, operation))
				}
			}
		}
	}
}
