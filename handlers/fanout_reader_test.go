package handlers

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"guichet/models/chat"
	"guichet/models/feed"
	"guichet/models/id"
	"guichet/models/identity"
	"guichet/models/operation"
)

// loneShard has one shard for all readers of a station.
func (s *station) loneShard() *shard {
	s.fanout.shards = s.fanout.shards[:1]
	return s.fanout.shards[0]
}

// freezeReads has the database answer no question until it is thawed.
func (s *station) freezeReads(t *testing.T) (thaw func()) {
	t.Helper()
	reads := s.DB.Pools()["read"]
	reads.SetMaxOpenConns(1)
	only, err := reads.Conn(t.Context())
	must(t, err)
	return func() { must(t, only.Close()) }
}

// sweepAt sweeps as if it were later.
func (s *shard) sweepAt(beats int) { s.sweep(time.Now().Add(time.Duration(beats) * heartbeat)) }

func (s *shard) isTouching() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.touching
}

// While the database does not answer, readers are held up by one question about a room at the most, and their streams go on; when it is back, they are asked about again.
func TestFrozenDatabaseHoldsFewUp(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	shard := s.loneShard()
	s.expect(s.ask("POST", "/v1/users", ada), 201, "")
	session, err := s.Identity.Authenticate(t.Context(), s.signIn(ada))
	must(t, err)
	var readers []*tuned
	for range 12 {
		readers = append(readers, s.tune(t, session.ID, session.UserID, "a", chat.Topic(s.ids.Next()))) // rooms that nobody knows
	}
	thaw := s.freezeReads(t)
	began := time.Now()
	shard.sweepAt(1)
	eventually(t, "the sweep", func() bool { return !shard.isTouching() })
	if took := time.Since(began); took < roomPatience/2 || took > 8*roomPatience { // twelve, if each waited
		t.Errorf("the readers were looked after for %v", took)
	}
	at := s.tell("a", feed.MessagePosted, "{}")
	for _, r := range readers {
		if got := r.next(); got != (feed.Place{Offset: at}).String() {
			t.Errorf("%q, want %d", got, at)
		}
	}
	thaw()
	shard.sweepAt(2)
	for _, r := range readers {
		if got := r.next(); got != "" || r.Err() != nil {
			t.Errorf("%q in a room that there is not, %v", got, r.Err())
		}
	}
}

// Readers whose heartbeat is due while others are being looked at are looked at after them.
func TestDueMeanwhile(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	shard := s.loneShard()
	first := s.tune(t, s.ids.Next(), s.ids.Next(), "a") // of sessions that have ended
	thaw := s.freezeReads(t)
	shard.sweepAt(1)
	second := s.tune(t, s.ids.Next(), s.ids.Next(), "a")
	gone := s.tune(t, s.ids.Next(), s.ids.Next(), "a")
	shard.sweepAt(2)
	if !shard.isTouching() {
		t.Fatal("the database has answered")
	}
	must(t, gone.Close())
	eventually(t, "who is gone to be forgotten", func() bool { return s.Hub.Stats().Subscriptions == 2 })
	thaw()
	for name, r := range map[string]*tuned{"the first": first, "the second": second} {
		if got := r.next(); got != "" || r.Err() != nil {
			t.Errorf("%s is told %q, %v", name, got, r.Err())
		}
	}
	eventually(t, "the sweep", func() bool { return !shard.isTouching() })
}

// That a stream is looked after is no sign of life of its user; a call is.
func TestHeartbeatIsNoSignOfLife(t *testing.T) {
	onBothStores(t, func(t *testing.T, c *counter) {
		who := c.as("ada", identity.RoleUser)
		c.enters(who)
		l := &listener{Server: c.Server, session: *sessionOf(who), topics: []string{chat.Topic(chat.Lobby)}}
		for name, look := range map[string]func() bool{
			"heartbeat": func() bool { admitted, err := l.stillAdmitted(t.Context()); return admitted && err == nil },
			"call":      func() bool { _, err := c.admitted(who, "lobby"); return err == nil },
		} {
			clear(c.presence.called)
			if !look() {
				t.Errorf("%s: refused", name)
			}
			if _, noted := c.presence.called[there{chat.Lobby, l.session.UserID}]; noted != (name == "call") {
				t.Errorf("%s: noted: %t", name, noted)
			}
		}
	})
}

// Who is yet to read why the stream ends is told nothing after that, and is not turned away before.
func TestLastWordsAreLast(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	shard := s.loneShard()
	session, user := s.ids.Next(), s.ids.Next()
	r := s.tune(t, session, user, "a")
	data := `{"x":"` + strings.Repeat("x", 100_000) + `"}`
	var told feed.Place
	for slow := false; !slow; {
		at := s.tell("a", feed.MessagePosted, data)
		eventually(t, "the shard", func() bool { told, slow = shard.lone(); return told.Offset == at })
	}
	last := s.tell("a", feed.SessionEnded, `{"session_id":"`+session.String()+`"}`)
	eventually(t, "the end", func() bool { return s.Hub.Stats().Subscriptions == 0 })
	shard.sweepAt(1)
	eventually(t, "the sweep", func() bool { return !shard.isTouching() })
	shard.offerPlace(user, s.ids.Next())
	var lines []string
	for r.Scan() {
		if r.Text() != "" {
			lines = append(lines, r.Text())
		}
	}
	if n := len(lines); n < 2 || !strings.Contains(strings.Join(lines[max(n-3, 0):], "\n"), fmt.Sprint("id: 0-", last)) || strings.HasPrefix(lines[n-1], ":") {
		t.Errorf("%d lines, the last of which is %.80q; %v", n, lines[max(n-1, 0):], r.Err())
	}
}

// offerPlace has whoever listens told that an operation waits in line.
func (s *shard) offerPlace(user, waiting id.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for r := range s.readers {
		r.line = &inLine{user: user, looks: make(chan look, 1), asOf: new(atomic.Int64), told: map[id.ID]int64{}}
		var o operation.Operation
		o.ID, o.UserID, o.Position = waiting, user, 7
		r.line.offer(look{waiting: []operation.Operation{o}})
	}
	s.tellPlaces()
	for r := range s.readers {
		r.line = nil
	}
}

// lone is how far the only reader has been told, and whether they have yet to take something.
func (s *shard) lone() (told feed.Place, slow bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for r := range s.readers {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.at, r.slow
	}
	return feed.Place{}, false
}
