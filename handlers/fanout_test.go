package handlers

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"guichet/models/feed"
	"guichet/models/id"
	"guichet/models/identity"
	"guichet/models/lamport"
	"guichet/models/testbed/stores"
)

// station is a server with streams for whoever asks, of whatever topics, and a log that tells what the test says.
type station struct {
	*counter
	address string
	ids     *id.Generator
	told    chan []feed.Entry
	offset  int64

	mu      sync.Mutex
	present map[string]int // streams by room
}

func newStation(t *testing.T) *station {
	t.Helper()
	s := &station{counter: newCounter(t, stores.SQLite(t)), ids: id.NewGenerator(), told: make(chan []feed.Entry), present: map[string]int{}}
	s.roomWatch = s
	s.Hub.FollowAhead(s)
	must(t, s.Hub.Start(t.Context()))
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { s.Hub.Run(ctx, nil) })
	server := httptest.NewServer(http.HandlerFunc(s.open))
	s.address = server.Listener.Addr().String()
	t.Cleanup(func() {
		s.fanout.close()
		server.Close()
		stop()
		running.Wait()
	})
	return s
}

// open is GetFeed without its questions: the path is the session and the user, the query the topics.
func (s *station) open(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(r.URL.Path, "/")
	session, _ := id.Parse(parts[1])
	user, _ := id.Parse(parts[2])
	f := &stream{ctx: r.Context(), closings: s.streams.closings(), listener: &listener{
		Server: s.Server, session: identity.Session{ID: session, UserID: user}, topics: strings.Split(r.URL.RawQuery, ","),
	}}
	if err := f.VisitGetFeedResponse(w); err != nil {
		w.WriteHeader(http.StatusTooManyRequests)
	}
}

func (s *station) Head(context.Context) (int64, error)  { return 0, nil }
func (s *station) Start(context.Context) (int64, error) { return 0, nil }
func (s *station) Follow(ctx context.Context, _ int64, tell func([]feed.Entry)) error {
	for {
		select {
		case entries := <-s.told:
			tell(entries)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *station) Between(context.Context, int64, int64, []string, int) ([]feed.Entry, error) {
	return nil, nil
}

func (s *station) opened(rooms []id.ID, _ id.ID) { s.count(rooms, 1) }
func (s *station) closed(rooms []id.ID, _ id.ID) { s.count(rooms, -1) }

func (s *station) count(rooms []id.ID, by int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, room := range rooms {
		s.present[room.String()] += by
	}
}

// tell tells an entry of a topic and returns its offset.
func (s *station) tell(topic, event, data string) int64 {
	s.offset++
	s.told <- []feed.Entry{{Offset: s.offset, Topic: topic, Event: event, At: time.Now(), Lamport: lamport.Stamp(s.offset), Data: json.RawMessage(data)}}
	return s.offset
}

// tuned is a reader of a station.
type tuned struct {
	net.Conn
	*bufio.Scanner
}

// tune opens a stream and waits until it has begun.
func (s *station) tune(t *testing.T, session, user id.ID, topics ...string) *tuned {
	t.Helper()
	conn, err := net.Dial("tcp", s.address)
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	_, err = fmt.Fprintf(conn, "GET /%v/%v?%s HTTP/1.1\r\nHost: x\r\n\r\n", session, user, strings.Join(topics, ","))
	must(t, err)
	must(t, conn.SetReadDeadline(time.Now().Add(time.Minute)))
	r := &tuned{conn, bufio.NewScanner(conn)}
	r.Buffer(nil, 1<<20)
	for r.Scan() && r.Text() != "retry: 1000" {
		if strings.HasPrefix(strings.ToLower(r.Text()), "transfer-encoding") {
			t.Errorf("%s", r.Text())
		}
	}
	if first := r.Scan(); !first || !r.Scan() {
		t.Fatalf("the stream does not begin: %v", r.Err())
	}
	return r
}

// next is the id of the next entry; empty at the end of the stream.
func (r *tuned) next() string {
	for r.Scan() {
		if at, found := strings.CutPrefix(r.Text(), "id: "); found {
			return at
		}
	}
	return ""
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); <-time.After(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waiting for %s", what)
		}
	}
}

// Readers of all kinds of topics, more than fit into one round, are told what is theirs, in order, each once.
func TestFanoutTellsEachTheirs(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	rng := rand.New(rand.NewPCG(3, 4))
	topics := make([]string, 3*mostAudiences)
	for i := range topics {
		topics[i] = fmt.Sprint("topic", i)
	}
	const crowd, entries = 60, 2000
	readers, follows := make([]*tuned, crowd), make([][]string, crowd)
	for i := range readers {
		for _, n := range rng.Perm(len(topics))[:1+rng.IntN(5)*rng.IntN(20)] {
			follows[i] = append(follows[i], topics[n])
		}
		readers[i] = s.tune(t, s.ids.Next(), s.ids.Next(), follows[i]...)
	}
	want := make([][]string, crowd)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := 0; n < entries; {
			var batch []feed.Entry
			for range 1 + rng.IntN(200) {
				n++
				topic := topics[rng.IntN(len(topics))]
				event := feed.MessagePosted
				if rng.IntN(20) == 0 {
					event = feed.OperationFinished // which readers are told each for themselves
				}
				batch = append(batch, feed.Entry{Offset: int64(n), Topic: topic, Event: event, Data: json.RawMessage(`{"x":"` + strings.Repeat("x", rng.IntN(200)) + `"}`)})
				for i := range readers {
					if slices.Contains(follows[i], topic) {
						want[i] = append(want[i], fmt.Sprint("0-", n))
					}
				}
			}
			s.told <- batch
		}
	}()
	<-done
	for i, r := range readers {
		for _, at := range want[i] {
			if got := r.next(); got != at {
				t.Fatalf("reader %d of %d topics: %q, want %q", i, len(follows[i]), got, at)
			}
		}
	}
	if delivered := s.Hub.Stats().Delivered; delivered == 0 {
		t.Error("nothing counts as delivered")
	}
}

// A reader who does not read keeps nobody waiting, is cut off when too much waits for it, and has had a whole beginning.
func TestFanoutCutsTheStalledOff(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	stalled, quick := s.tune(t, s.ids.Next(), s.ids.Next(), "a"), s.tune(t, s.ids.Next(), s.ids.Next(), "a")
	data := `{"x":"` + strings.Repeat("x", 100_000) + `"}`
	for s.Hub.Stats().CutOff == 0 {
		at := s.tell("a", feed.MessagePosted, data)
		if got := quick.next(); got != fmt.Sprint("0-", at) {
			t.Fatalf("%q after %d", got, at)
		}
		if at > 1000 {
			t.Fatal("nobody is cut off")
		}
	}
	eventually(t, "the stalled to be forgotten", func() bool { return s.Hub.Stats().Subscriptions == 1 })
	for n := int64(1); ; n++ {
		got := stalled.next()
		if got == "" {
			break
		}
		if got != fmt.Sprint("0-", n) {
			t.Fatalf("%q after %d", got, n-1)
		}
	}
}

// A reader who stops for a while is written to again as the others are.
func TestFanoutGoesOnAfterAPause(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	r := s.tune(t, s.ids.Next(), s.ids.Next(), "a")
	data := `{"x":"` + strings.Repeat("x", 3000) + `"}`
	for round := range 20 {
		var last int64
		for range 80 { // less than what may wait
			last = s.tell("a", feed.MessagePosted, data)
		}
		for n := last - 79; n <= last; n++ {
			if got := r.next(); got != fmt.Sprint("0-", n) {
				t.Fatalf("round %d: %q, want %d", round, got, n)
			}
		}
	}
}

// Who has gone is noticed without being written to, at the latest when their session opens one stream too many.
func TestFanoutNoticesWhoHasGone(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	session, user := s.ids.Next(), s.ids.Next()
	for range 5 * mostStreams {
		s.tune(t, session, user, "room:lobby").Close() //nolint:errcheck // a test's
	}
	room := s.ids.Next()
	stays := s.tune(t, session, user, feed.RoomTopic+room.String(), "a")
	eventually(t, "nobody in the lobby", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.present[id.ID{'l', 'o', 'b', 'b', 'y'}.String()] == 0 && s.present[room.String()] == 1
	})
	if stats := s.Hub.Stats(); stats.Subscriptions != 2 {
		t.Errorf("%+v", stats)
	}
	if at := s.tell("a", feed.MessagePosted, "{}"); stays.next() != fmt.Sprint("0-", at) {
		t.Error("who stays is not told")
	}
	stays.Close() //nolint:errcheck // a test's
	eventually(t, "rest", func() bool {
		for _, shard := range s.fanout.shards {
			shard.mu.Lock()
			resting := !shard.running && len(shard.readers) == 0 && len(shard.audiences) == 0
			shard.mu.Unlock()
			if !resting {
				return false
			}
		}
		return true
	})
	again := s.tune(t, session, user, "a") // it begins anew
	if at := s.tell("a", feed.MessagePosted, "{}"); again.next() != fmt.Sprint("0-", at) {
		t.Error("who comes later is not told")
	}
}

// Streams end after their session, when their user may not follow a topic any more, and with the server; the others go on.
func TestFanoutEndsStreams(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	session, user := s.ids.Next(), s.ids.Next()
	mine := s.tune(t, session, user, "user", "room:x")
	banned := s.tune(t, s.ids.Next(), user, "user", "room:lobby")
	other := s.tune(t, s.ids.Next(), s.ids.Next(), "user", "room:lobby")
	s.streams.closeTopic(user, "room:lobby")
	if got := banned.next(); got != "" {
		t.Errorf("who is banned is told %q", got)
	}
	at := s.tell("user", feed.SessionEnded, `{"session_id":"`+session.String()+`"}`)
	for name, r := range map[string]*tuned{"mine": mine, "another": other} {
		if got := r.next(); got != fmt.Sprint("0-", at) {
			t.Errorf("%s: %q", name, got)
		}
	}
	if got := mine.next(); got != "" {
		t.Errorf("%q after the end of the session", got)
	}
	if at = s.tell("user", feed.MessagePosted, "{}"); other.next() != fmt.Sprint("0-", at) {
		t.Error("the stream of another session has ended")
	}
	began := time.Now()
	s.CloseFeeds()
	if got := other.next(); got != "" {
		t.Errorf("%q after the end", got)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the end took %v", took)
	}
	if late := s.tuneLate(t); late != "" {
		t.Errorf("a stream after the end: %q", late)
	}
}

// tuneLate opens a stream when all have been closed, and returns the first id but the one that it begins with.
func (s *station) tuneLate(t *testing.T) string {
	t.Helper()
	return s.tune(t, s.ids.Next(), s.ids.Next(), "user").next()
}

// A user who is banned while a stream of theirs is being opened does not get it.
func TestBannedWhileOpening(t *testing.T) {
	t.Parallel()
	ids := id.NewGenerator()
	streams, session, user := newOpenStreams(), ids.Next(), ids.Next()
	before := streams.closings()
	ended := 0
	early := streams.enter(session, user, []string{"room:x"}, func() { ended++ })
	streams.closeTopic(user, "room:y")
	streams.closeTopic(user, "room:x")
	if ended != 1 || streams.closings() == before {
		t.Errorf("ended %d times; closings %d, then %d", ended, before, streams.closings())
	}
	if streams.passOn(early, func() { ended++ }, nil) {
		t.Error("a stream that has ended is passed on")
	}
	late := streams.enter(session, user, []string{"room:x"}, func() {})
	if !streams.passOn(late, func() { ended++ }, nil) {
		t.Error("a later stream has ended, too")
	}
	streams.closeTopic(user, "room:x")
	if ended != 3 { // the early one once more, which is harmless
		t.Errorf("ended %d times", ended)
	}
}
