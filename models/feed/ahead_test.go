package feed

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"guichet/models/lamport"
	"guichet/models/testbed/stores"
)

// fakeAhead is a log in memory.
type fakeAhead struct {
	mu      sync.Mutex
	changed *sync.Cond
	entries []Entry
	start   int64
	away    int // how often Follow and Between fail before they work
	follows []int64
}

func newFakeAhead() *fakeAhead {
	f := &fakeAhead{}
	f.changed = sync.NewCond(&f.mu)
	return f
}

func (f *fakeAhead) add(entries ...Entry) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.entries = append(f.entries, entries...)
	f.changed.Broadcast()
}

func (f *fakeAhead) Head(context.Context) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.entries) == 0 {
		return 0, nil
	}
	return f.entries[len(f.entries)-1].Offset, nil
}

func (f *fakeAhead) Start(context.Context) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.start, nil
}

var errAway = errors.New("away")

func (f *fakeAhead) Follow(ctx context.Context, after int64, tell func([]Entry)) error {
	defer context.AfterFunc(ctx, f.changed.Broadcast)()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.follows = append(f.follows, after)
	for ctx.Err() == nil {
		if f.away > 0 {
			f.away--
			return errAway
		}
		news := f.after(after, 3)
		if len(news) == 0 {
			f.changed.Wait()
			continue
		}
		after = news[len(news)-1].Offset
		f.mu.Unlock()
		tell(news)
		f.mu.Lock()
	}
	return ctx.Err()
}

func (f *fakeAhead) after(offset int64, limit int) (found []Entry) {
	for _, e := range f.entries {
		if e.Offset > offset && len(found) < limit {
			found = append(found, e)
		}
	}
	return found
}

func (f *fakeAhead) Between(_ context.Context, after, until int64, topics []string, limit int) (found []Entry, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.entries {
		if e.Offset > after && e.Offset <= until && slices.Contains(topics, e.Topic) && len(found) < limit {
			found = append(found, e)
		}
	}
	return found, nil
}

// said is an entry of the log.
func said(topic string, offset int64, n int) Entry {
	e := plain(topic, n)
	e.Offset, e.Event = offset, MessagePosted
	return e
}

// browser is a reader who keeps what it was told, and resumes by the last id.
type browser struct {
	topics []string
	last   string
	told   []string // "topic number"
	live   *Subscription
	at     Place
}

// connect is what a stream does at its beginning.
func (b *browser) connect(ctx context.Context, h *Hub) error {
	b.live = h.Subscribe(b.topics)
	at, known := ParsePlace(b.last)
	if !known {
		return fmt.Errorf("id %q", b.last)
	}
	backlog := h.Backlog(b.topics, at, b.live.From())
	var gap bool
	var err error
	if b.at, gap, err = backlog.Begin(ctx); err != nil || gap {
		return fmt.Errorf("resuming at %s: gap %t, %w", b.last, gap, err)
	}
	for {
		entries, err := backlog.Next(ctx)
		if err != nil {
			return err
		}
		if len(entries) == 0 {
			b.at = backlog.End()
			b.last = b.at.String()
			return nil
		}
		var text []byte
		for i := range entries {
			text, b.at = entries[i].Frames(text, b.at)
		}
		b.read(text)
	}
}

// take reads some of what is pending; the rest is lost with the connection.
func (b *browser) take(some func(n int) int) error {
	frames, err := b.live.Take()
	if err != nil {
		return err
	}
	var text []byte
	for _, f := range frames[:some(len(frames))] {
		text, b.at = f.After(text, b.at)
	}
	b.read(text)
	return nil
}

func (b *browser) read(text []byte) {
	for frame := range strings.SplitSeq(strings.TrimSuffix(string(text), "\n\n"), "\n\n") {
		if frame == "" {
			continue
		}
		id, rest, _ := strings.Cut(strings.TrimPrefix(frame, "id: "), "\n")
		_, n, _ := strings.Cut(rest, `"n":`)
		kind := "table"
		if strings.Contains(rest, "event: "+MessagePosted+"\n") {
			kind = "log"
		}
		b.last = id
		b.told = append(b.told, kind+" "+strings.TrimSuffix(n, "}"))
	}
}

// Whatever a reader goes through, it is told the entries of its topics of both logs, each log in its order, without a gap or a repeat: hubs that lag behind each
// other in either log, connections that end after any entry, and resuming at any hub.
func TestResumingInBothLogs(t *testing.T) {
	t.Parallel()
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			resumeInBothLogs(t, rand.New(rand.NewPCG(seed, 1)))
		})
	}
}

func resumeInBothLogs(t *testing.T, rng *rand.Rand) {
	db, log := stores.SQLite(t), newFakeAhead()
	topics := []string{"room:lobby", "room:x", "room:y", "user:1", "event:1"}
	hubs := make([]*Hub, 3)
	for i := range hubs {
		hubs[i] = NewHub(NewLog(db), &lamport.Clock{})
		hubs[i].FollowAhead(log)
		must(t, hubs[i].Start(t.Context()))
	}
	var written []Entry // by what happened
	crowd := make([]*browser, 6)
	for i := range crowd {
		rng.Shuffle(len(topics), func(i, j int) { topics[i], topics[j] = topics[j], topics[i] })
		crowd[i] = &browser{topics: slices.Clone(topics[:1+rng.IntN(4)]), last: "0"}
		must(t, crowd[i].connect(t.Context(), hubs[i%len(hubs)]))
	}
	offset := int64(0)
	advance := func(h *Hub) {
		if rng.IntN(2) == 0 {
			catchUp(t.Context(), h)
			return
		}
		news := log.after(max(0, h.offset.Load()-int64(rng.IntN(3))), 1+rng.IntN(20)) // some again
		h.deliverAhead(news)
	}
	some := func(n int) int { return rng.IntN(n + 1) }
	all := func(n int) int { return n }
	for n := 1; n <= 400; n++ {
		topic := topics[rng.IntN(len(topics))]
		if strings.HasPrefix(topic, RoomTopic) && rng.IntN(4) > 0 {
			offset += 1 + int64(rng.IntN(3))
			log.add(said(topic, offset, n))
			written = append(written, said(topic, offset, n))
		} else {
			written = append(written, commit(t, db, plain(topic, n))...)
		}
		if rng.IntN(3) == 0 {
			advance(hubs[rng.IntN(len(hubs))])
		}
		b := crowd[rng.IntN(len(crowd))]
		switch rng.IntN(6) {
		case 0:
			must(t, b.take(all))
		case 1:
			must(t, b.take(some))
			b.live.Close()
			must(t, b.connect(t.Context(), hubs[rng.IntN(len(hubs))]))
		}
	}
	for _, h := range hubs {
		catchUp(t.Context(), h)
		h.deliverAhead(log.after(0, len(log.entries)))
	}
	for i, b := range crowd {
		must(t, b.take(all))
		for _, kind := range []string{"table", "log"} {
			var want, got []string
			for _, e := range written {
				if slices.Contains(b.topics, e.Topic) && (e.Offset > 0) == (kind == "log") {
					want = append(want, fmt.Sprintf("%s %d", kind, e.Lamport))
				}
			}
			for _, told := range b.told {
				if strings.HasPrefix(told, kind+" ") {
					got = append(got, told)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("reader %d of %v was told\n%v\nof the %s, want\n%v", i, b.topics, got, kind, want)
			}
		}
	}
}

// The backlog is told in the order of the stamps, however many pages it takes.
func TestBacklogMergesByStamps(t *testing.T) {
	t.Parallel()
	db, log := stores.SQLite(t), newFakeAhead()
	hub := NewHub(NewLog(db), &lamport.Clock{})
	hub.FollowAhead(log)
	rng := rand.New(rand.NewPCG(7, 7))
	const entries = 5 * backlogPage
	var rows []Entry
	for n := 1; n <= entries; n++ {
		if rng.IntN(3) == 0 {
			rows = append(rows, plain("room:x", n))
		} else {
			log.add(said("room:x", int64(n), n))
		}
	}
	commit(t, db, rows...)
	must(t, hub.Start(t.Context()))
	b := &browser{topics: []string{"room:x"}, last: "0"}
	must(t, b.connect(t.Context(), hub))
	if len(b.told) != entries {
		t.Fatalf("%d entries of %d", len(b.told), entries)
	}
	for i, told := range b.told {
		if !strings.HasSuffix(told, fmt.Sprintf(" %d", i+1)) {
			t.Fatalf("entry %d is %s", i+1, told)
		}
	}
	newest, err := log.Head(t.Context())
	must(t, err)
	if want := (Place{int64(len(rows)), newest}); b.at != want {
		t.Errorf("then at %v, want %v", b.at, want)
	}
}

// What is older than what is kept of either log, and what neither has had yet, is a gap. Who follows no room does not depend on the log.
func TestBacklogBegins(t *testing.T) {
	t.Parallel()
	db, log := stores.SQLite(t), newFakeAhead()
	hub := NewHub(NewLog(db), &lamport.Clock{})
	hub.FollowAhead(log)
	for n := range 10 {
		commit(t, db, plain("user:1", 10+n))
		log.add(said("room:x", int64(10+n), n))
	}
	must(t, hub.Start(t.Context()))
	_, err := NewLog(db).Trim(t.Context(), time.UnixMicro(14), 4)
	must(t, err)
	log.start = 12
	behind := Place{8, 16} // the hub has not heard of the newest
	for _, c := range []struct {
		topic    string
		at, want Place
		gap      bool
	}{
		{"room:x", Place{4, 12}, Place{4, 12}, false},
		{"room:x", Place{3, 12}, Place{4, 12}, true},
		{"room:x", Place{4, 11}, Place{4, 12}, true},
		{"room:x", Place{6, 0}, Place{6, 12}, true},
		{"room:x", Place{10, 19}, Place{10, 19}, false}, // told by another process
		{"room:x", Place{11, 14}, Place{8, 14}, true},
		{"room:x", Place{10, 20}, Place{10, 16}, true},
		{"room:x", Place{5, 1 << 40}, Place{5, 16}, true},
		{"user:1", Place{4, 0}, Place{4, 0}, false},
		{"user:1", Place{3, 0}, Place{4, 0}, true},
	} {
		at, gap, err := hub.Backlog([]string{c.topic}, c.at, behind).Begin(t.Context())
		if at != c.want || gap != c.gap || err != nil {
			t.Errorf("%s at %v: %v, gap %t, %v; want %v, %t", c.topic, c.at, at, gap, err, c.want, c.gap)
		}
	}
}

// The hub follows the log from where it is, through times when that is away, and its one goroutine tells entries of both.
func TestHubFollowsTheLog(t *testing.T) {
	t.Parallel()
	db := stores.SQLite(t)
	synctest.Test(t, func(t *testing.T) {
		log := newFakeAhead()
		log.add(said("room:x", 5, 5))
		hub := NewHub(NewLog(db), &lamport.Clock{})
		hub.FollowAhead(log)
		must(t, hub.Start(t.Context()))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go hub.Run(ctx, nil)
		reader := hub.Subscribe([]string{"room:x", "user:1"})
		if reader.From() != (Place{0, 5}) {
			t.Errorf("it begins at %v", reader.From())
		}
		log.add(said("room:x", 7, 7))
		synctest.Wait()
		hub.Offer(Publication{Entries: []Entry{{Position: 1, Topic: "user:1", Event: NoticeGiven, Data: []byte("{}")}}})
		synctest.Wait()
		log.mu.Lock()
		log.away = 3
		log.mu.Unlock()
		log.add(said("room:x", 8, 8), said("room:x", 9, 9))
		time.Sleep(4 * followPause) //nolint:forbidigo // the clock of this bubble is not that of the machine
		synctest.Wait()
		frames, err := reader.Take()
		must(t, err)
		var places []string
		for _, f := range frames {
			places = append(places, f.At.String())
		}
		if got := strings.Join(places, " "); got != "0-7 1-7 1-8 1-9" {
			t.Errorf("told at %s", got)
		}
		if !slices.Equal(log.follows, []int64{5, 7, 7, 7}) {
			t.Errorf("followed after %v", log.follows)
		}
	})
}

// A trunk is handed each entry once, counts its readers, and takes over from a subscription without a gap or a repeat.
func TestTrunk(t *testing.T) {
	t.Parallel()
	hub := NewHub(nil, &lamport.Clock{})
	trunk := hub.NewTrunk()
	tell := func(position int64, topic string) {
		hub.accept(Publication{Entries: []Entry{{Position: position, Topic: topic, Event: NoticeGiven, Data: []byte("{}")}}})
	}
	first, second := hub.Subscribe([]string{"a", AnnouncementTopic}), hub.Subscribe([]string{"a", "b", AnnouncementTopic})
	tell(1, "a")
	pending, err := trunk.Join(first)
	must(t, err)
	if len(pending) != 1 || pending[0].Position != 1 {
		t.Errorf("%d entries were pending", len(pending))
	}
	tell(2, "a")
	pending, err = trunk.Join(second)
	must(t, err)
	if len(pending) != 2 {
		t.Errorf("%d entries were pending", len(pending))
	}
	tell(3, "a")
	tell(4, "b")
	if taken := trunk.Take(nil); len(taken) != 3 || taken[0].Position != 2 || taken[2].Position != 4 {
		t.Errorf("taken %v", taken)
	}
	if stats := hub.Stats(); stats.Subscriptions != 3 || stats.Delivered != 2+2+2+1 {
		t.Errorf("%+v", stats)
	}
	trunk.Leave(second.topics)
	tell(5, "b")
	tell(6, "a")
	if taken := trunk.Take(nil); len(taken) != 1 || taken[0].Position != 6 {
		t.Errorf("taken %v", taken)
	}
	trunk.Leave(first.topics)
	if len(hub.subscriptions) != 0 {
		t.Errorf("%v are followed", hub.subscriptions)
	}
	slow := hub.Subscribe([]string{"a"})
	hub.accept(Publication{Entries: []Entry{{Position: 7, Topic: "a", Event: NoticeGiven, Data: []byte(`{"x":"` + strings.Repeat("x", MaxPending) + `"}`)}}})
	if _, err := trunk.Join(slow); !errors.Is(err, ErrTooSlow) {
		t.Errorf("a reader who was cut off joins: %v", err)
	}
}

var _ Ahead = (*fakeAhead)(nil)
