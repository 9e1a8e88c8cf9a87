package feed

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"guichet/models/database"
	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/testbed/stores"
)

// recorder remembers what it is told.
type recorder struct {
	mu        sync.Mutex
	positions []int64
	advanced  []id.ID
}

func (r *recorder) Published(entries []Entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range entries {
		r.positions = append(r.positions, entries[i].Position)
	}
}

func (r *recorder) LaneAdvanced(_ string, batches []id.ID, _ int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.advanced = append(r.advanced, batches...)
}

func (r *recorder) told() []int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.positions)
}

func positions(entries []Entry) []int64 {
	all := make([]int64, len(entries))
	for i := range entries {
		all[i] = entries[i].Position
	}
	return all
}

// catchUp has a hub that does not run read what it was not told.
func catchUp(ctx context.Context, h *Hub) {
	for h.acceptPage(ctx, h.readPage(ctx, h.position.Load())) {
	}
}

// Whatever happens to publications on their way, entries are delivered in the order of their positions, each once.
func TestHubDeliversInOrderExactlyOnce(t *testing.T) {
	t.Parallel()
	db := stores.SQLite(t)
	const topic, entriesInAll = "topic", 60
	user := generator.Next()
	var log []Entry
	for n := 1; n <= entriesInAll; n++ {
		e := plain(topic, n)
		if n%3 == 0 { // an operation's end has two positions
			e = ended(t, db, user, n)
		}
		log = append(log, commit(t, db, e)...)
	}
	setHead := func(position int64) {
		must(t, db.Write(t.Context(), func(tx database.Tx) error {
			_, err := tx.Exec("UPDATE feed_head SET position = ? WHERE id = 1", position)
			return err
		}))
	}
	rapid.Check(t, func(rt *rapid.T) {
		setHead(0)
		heard := &recorder{}
		hub := NewHub(NewLog(db), &lamport.Clock{})
		hub.Listen(heard)
		live := hub.Subscribe([]string{topic, UserTopic(user)})
		committed := 0
		var underway []Publication
		deliver := func(rt *rapid.T) (Publication, int) {
			if len(underway) == 0 {
				rt.Skip()
			}
			n := rapid.IntRange(0, len(underway)-1).Draw(rt, "which")
			return underway[n], n
		}
		rt.Repeat(map[string]func(*rapid.T){
			"commit": func(rt *rapid.T) {
				size := min(rapid.IntRange(1, 4).Draw(rt, "size"), len(log)-committed)
				if size == 0 {
					rt.Skip()
				}
				underway = append(underway, Publication{Entries: log[committed : committed+size]})
				committed += size
				setHead(log[committed-1].Position)
			},
			"arrive": func(rt *rapid.T) {
				p, n := deliver(rt)
				underway = slices.Delete(underway, n, n+1)
				hub.accept(p)
			},
			"arrive, and come again later": func(rt *rapid.T) {
				p, _ := deliver(rt)
				hub.accept(p)
			},
			"get lost": func(rt *rapid.T) {
				_, n := deliver(rt)
				underway = slices.Delete(underway, n, n+1)
			},
			"catch up": func(rt *rapid.T) { catchUp(rt.Context(), hub) },
			"": func(rt *rapid.T) {
				told := heard.told()
				if want := positions(log[:len(told)]); !slices.Equal(told, want) {
					rt.Fatalf("told %v, want %v", told, want)
				}
				if len(told) > committed {
					rt.Fatalf("%d entries told, %d committed", len(told), committed)
				}
			},
		})
		catchUp(rt.Context(), hub)
		if told, want := heard.told(), positions(log[:committed]); !slices.Equal(told, want) {
			rt.Fatalf("in the end told %v, want %v", told, want)
		}
		if len(hub.early) > 0 {
			rt.Fatalf("%d entries are still held back", len(hub.early))
		}
		frames, err := live.Take()
		if err != nil {
			rt.Fatal(err)
		}
		if len(frames) != committed {
			rt.Fatalf("a subscription got %d entries of %d", len(frames), committed)
		}
		for i, f := range frames {
			if f.Position != log[i].Position {
				rt.Fatalf("the subscription's entry %d has position %d, want %d", i, f.Position, log[i].Position)
			}
		}
	})
}

// A lost publication must not wait for a pause in the traffic.
func TestHubFillsAHoleWhileTrafficGoesOn(t *testing.T) {
	t.Parallel()
	db := stores.SQLite(t)
	const busy = 200 // a publication every millisecond
	var log []Entry
	for n := range busy {
		log = append(log, plain("topic", n))
	}
	log = commit(t, db, log...)
	synctest.Test(t, func(t *testing.T) {
		heard := &recorder{}
		hub := NewHub(NewLog(db), &lamport.Clock{})
		hub.Listen(heard)
		go hub.Run(t.Context(), nil)
		began := time.Now()
		for _, e := range log[1:] { // the first is lost
			hub.Offer(Publication{Entries: []Entry{e}})
			time.Sleep(time.Millisecond) //nolint:forbidigo // the clock of this bubble is not that of the machine
			synctest.Wait()
			if len(heard.told()) > 0 {
				break
			}
		}
		if took := time.Since(began); took > 20*holePatience {
			t.Errorf("the hole was filled after %v, want about %v", took, holePatience)
		}
	})
}

// Entries that nobody can have any more, because they were trimmed, must not stop the feed.
func TestHubGoesOnBehindTrimmedEntries(t *testing.T) {
	stores.Each(t, func(t *testing.T, db *database.DB) {
		heard := &recorder{}
		hub := NewHub(NewLog(db), &lamport.Clock{})
		hub.Listen(heard)
		commit(t, db, plain("topic", 1), plain("topic", 2))
		n, err := NewLog(db).Trim(t.Context(), time.Now(), 100)
		must(t, err)
		if n != 2 {
			t.Fatalf("%d entries trimmed, want 2", n)
		}
		third := commit(t, db, plain("topic", 3))
		hub.accept(Publication{Entries: third})
		catchUp(t.Context(), hub)
		if told := heard.told(); !slices.Equal(told, []int64{3}) {
			t.Fatalf("told %v, want the third", told)
		}
		commit(t, db, plain("topic", 4))
		if n, err = NewLog(db).Trim(t.Context(), time.Now(), 100); err != nil || n != 2 {
			t.Fatal(n, err)
		}
		catchUp(t.Context(), hub)
		fifth := commit(t, db, plain("topic", 5))
		hub.accept(Publication{Entries: fifth})
		if told := heard.told(); !slices.Equal(told, []int64{3, 5}) || len(hub.early) > 0 {
			t.Fatalf("told %v, want the third and the fifth; %d are held back", told, len(hub.early))
		}
	})
}

func TestHubWaiters(t *testing.T) {
	t.Parallel()
	db := stores.SQLite(t)
	hub := NewHub(NewLog(db), &lamport.Clock{})
	user := generator.Next()
	entry := commit(t, db, ended(t, db, user, 7))[0]
	first, forgetFirst := hub.Expect(entry.OperationID)
	second, forgetSecond := hub.Expect(entry.OperationID)
	_, forgetThird := hub.Expect(entry.OperationID)
	forgetThird()
	hub.accept(Publication{Entries: []Entry{entry}})
	hub.accept(Publication{Entries: []Entry{entry}}) // once more
	for _, waiter := range []<-chan Entry{first, second} {
		select {
		case e := <-waiter:
			if e.Position != entry.Position {
				t.Errorf("got %+v", e)
			}
		default:
			t.Error("a waiter was not told")
		}
	}
	forgetFirst()
	forgetSecond()
	if n := hub.Stats().Waiters; n != 0 {
		t.Errorf("%d waiters are left", n)
	}
}

func TestHubKnowsWhatIsRunning(t *testing.T) {
	t.Parallel()
	hub := NewHub(nil, &lamport.Clock{})
	heard := &recorder{}
	hub.Listen(heard)
	batch, other := generator.Next(), generator.Next()
	hub.accept(Publication{Lane: "bank", Running: []id.ID{batch}})
	if hub.RunningSince("bank", batch.WithIndex(200)).IsZero() {
		t.Error("an operation of the batch is not known to be running")
	}
	if !hub.RunningSince("bank", other).IsZero() || !hub.RunningSince("trips", batch).IsZero() {
		t.Error("an operation of another batch or lane is taken to be running")
	}
	hub.accept(Publication{Lane: "bank", Running: []id.ID{other.WithIndex(3)}}) // one that is replayed alone
	if hub.RunningSince("bank", other.WithIndex(3)).IsZero() || !hub.RunningSince("bank", other.WithIndex(4)).IsZero() {
		t.Error("a replayed operation is not told from its former neighbours")
	}
	hub.accept(Publication{Lane: "bank", Ended: 7})
	if hub.RunningSince("bank", other.WithIndex(3)).IsZero() {
		t.Error("what the lane has done beside takes an operation for ended")
	}
	hub.accept(Publication{Lane: "bank"})
	if !hub.RunningSince("bank", other.WithIndex(3)).IsZero() {
		t.Error("the lane executes nothing, and an operation is taken to be running")
	}
	hub.accept(Publication{Lane: "bank", Running: []id.ID{other.WithIndex(3)}})
	heard.advanced = nil
	hub.accept(Publication{Lane: "bank", Batches: []id.ID{other.WithIndex(3)}, Ended: 1})
	if !hub.RunningSince("bank", other.WithIndex(3)).IsZero() {
		t.Error("an operation that ended is taken to be running")
	}
	if !slices.Equal(heard.advanced, []id.ID{other.WithIndex(3)}) {
		t.Errorf("listeners were told of %v", heard.advanced)
	}
}

func TestHubMergesStamps(t *testing.T) {
	t.Parallel()
	var clock lamport.Clock
	hub := NewHub(nil, &clock)
	e := plain("topic", 1)
	e.Position, e.Lamport = 1, 4711
	hub.accept(Publication{Entries: []Entry{e}})
	if now := clock.Now(); now < 4711 {
		t.Errorf("the clock reads %d after an entry of 4711", now)
	}
}

func TestSubscriptionCutsASlowReaderOff(t *testing.T) {
	t.Parallel()
	hub := NewHub(nil, &lamport.Clock{})
	slow, quick, other := hub.Subscribe([]string{"a"}), hub.Subscribe([]string{"a", "b"}), hub.Subscribe([]string{"b"})
	defer quick.Close()
	defer other.Close()
	big := strings.Repeat("x", 1000)
	const entries = 2 * MaxPending / 1000
	var got int
	for n := 1; n <= entries; n++ {
		e := Entry{Position: int64(n), Topic: "a", Event: NoticeGiven, Data: []byte(`{"x":"` + big + `"}`)}
		hub.accept(Publication{Entries: []Entry{e}})
		frames, err := quick.Take()
		must(t, err)
		got += len(frames)
		slow.mu.Lock()
		if slow.size > MaxPending+2000 && slow.pending != nil {
			t.Fatalf("%d bytes wait for the slow reader", slow.size)
		}
		slow.mu.Unlock()
	}
	if got != entries {
		t.Errorf("the quick reader got %d entries of %d", got, entries)
	}
	if frames, err := slow.Take(); err != ErrTooSlow || frames != nil { //nolint:errorlint // it is this very value
		t.Errorf("the slow reader got %d frames and %v", len(frames), err)
	}
	if frames, err := other.Take(); err != nil || len(frames) != 0 {
		t.Errorf("a reader of another topic got %v, %v", frames, err)
	}
	stats := hub.Stats()
	if stats.CutOff != 1 || stats.Subscriptions != 3 { // quick has two topics
		t.Errorf("%+v", stats)
	}
	slow.Close() // as its owner will
	if _, err := slow.Take(); err == nil {
		t.Error("a closed subscription gives no error")
	}
}

func TestSubscriptionNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hub := NewHub(nil, &lamport.Clock{})
		reader := hub.Subscribe([]string{"a"})
		got := make(chan string, 2)
		go func() {
			frames, err := reader.Next(t.Context())
			got <- fmt.Sprint(len(frames), err)
			_, err = reader.Next(t.Context())
			got <- fmt.Sprint(err)
		}()
		synctest.Wait()
		hub.accept(Publication{Entries: []Entry{{Position: 1, Topic: "a", Event: NoticeGiven, Data: []byte("{}")}}})
		if g := <-got; g != "1 <nil>" {
			t.Error(g)
		}
		synctest.Wait()
		reader.Close()
		hub.accept(Publication{Entries: []Entry{{Position: 2, Topic: "a", Event: NoticeGiven, Data: []byte("{}")}}})
		reader.more <- struct{}{} // Close itself wakes nobody: the reader is its only user
		if g := <-got; g != ErrClosed.Error() {
			t.Error(g)
		}
		if n := hub.Stats().Subscriptions; n != 0 {
			t.Errorf("%d subscriptions are left", n)
		}
	})
}
