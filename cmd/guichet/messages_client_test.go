package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"guichet/models/chat"
	"guichet/models/database"
	"guichet/models/id"
	"guichet/models/messages"
)

// chatMessage is a message as a client reads it.
type chatMessage struct {
	ID, Room, User, Text string
	Sequence             int64
	At                   time.Time
	EditedAt             *time.Time `json:"edited_at"`
	DeletedAt            *time.Time `json:"deleted_at"`
}

// speaker is somebody new who has entered a room.
func (p *process) speaker(t testing.TB, room string) *client {
	t.Helper()
	c := p.user(t)
	c.enter(room)
	return c
}

// say posts a message.
func (c *client) say(room, text string, options ...option) answer {
	c.Helper()
	return c.post("/v1/rooms/"+room+"/messages", map[string]any{"text": text}, options...)
}

// said is say for what must succeed.
func (c *client) said(room, text string, options ...option) (m chatMessage) {
	c.Helper()
	c.say(room, text, options...).into(c, http.StatusCreated, &m)
	return m
}

// trySaying is said for processes that may be dead.
func (c *client) trySaying(room, text string, options ...option) (m chatMessage, ok bool) {
	c.Helper()
	a, err := c.try(http.MethodPost, "/v1/rooms/"+room+"/messages", map[string]any{"text": text}, options...)
	if err != nil || a.status != http.StatusCreated {
		return m, false
	}
	a.into(c, http.StatusCreated, &m)
	return m, true
}

func (c *client) edit(m chatMessage, text string, options ...option) answer {
	c.Helper()
	return c.do(http.MethodPatch, "/v1/rooms/"+m.Room+"/messages/"+m.ID, map[string]any{"text": text}, options...)
}

func (c *client) takeBack(m chatMessage, options ...option) answer {
	c.Helper()
	return c.do(http.MethodDelete, "/v1/rooms/"+m.Room+"/messages/"+m.ID, nil, options...)
}

// messagePage is a page of a room's messages.
type messagePage struct {
	Items      []chatMessage
	NextCursor *string `json:"next_cursor"`
}

func (c *client) messages(room, query string) (p messagePage) {
	c.Helper()
	c.get("/v1/rooms/"+room+"/messages"+query).into(c, http.StatusOK, &p)
	return p
}

// allMessages reads a room's history from page to page, beginning with a query.
func (c *client) allMessages(room, query string) (all []chatMessage) {
	c.Helper()
	p := c.messages(room, query)
	for all = p.Items; p.NextCursor != nil; all = append(all, p.Items...) {
		if len(p.Items) == 0 {
			c.Fatal("an empty page goes on")
		}
		p = c.messages(room, "?limit=200&cursor="+*p.NextCursor)
	}
	return all
}

// wantDense fails the test unless messages have the sequences 1, 2, 3 and so on.
func wantDense(t testing.TB, all []chatMessage) {
	t.Helper()
	for i, m := range all {
		if m.Sequence != int64(i+1) {
			t.Fatalf("message %d of %d has the sequence %d: %+v", i+1, len(all), m.Sequence, m)
		}
	}
}

// wantAmong fails the test unless all that was acknowledged is there, as it was, and each text once.
func wantAmong(t testing.TB, acked, all []chatMessage) {
	t.Helper()
	wantDense(t, all)
	texts := map[string]int64{}
	for _, m := range all {
		if other, twice := texts[m.Text]; twice {
			t.Errorf("%q is there twice: as %d and as %d", m.Text, other, m.Sequence)
		}
		texts[m.Text] = m.Sequence
	}
	lost := 0
	for _, m := range acked {
		if m.Sequence > int64(len(all)) || all[m.Sequence-1] != m {
			lost++
			t.Errorf("%+v was acknowledged; %d are there", m, len(all))
		}
	}
	t.Logf("acked_lost=%d of %d messages; %d are there", lost, len(acked), len(all))
}

// openRoom opens a room beside the API.
func (h *house) openRoom(name string) string {
	h.Helper()
	db := h.database()
	defer db.Close() //nolint:errcheck // what is written is committed
	room := id.NewGenerator().Next()
	err := db.Write(h.Context(), func(tx database.Tx) error {
		_, err := tx.Exec("INSERT INTO rooms (id, name, name_key, topic, opened_at_us, lamport) VALUES (?, ?, ?, '', 0, 0)", room[:], name, strings.ToLower(name))
		return err
	})
	if err != nil {
		h.Fatal(err)
	}
	return room.String()
}

// storedMessages waits until the database has all messages of a room up to a sequence, and returns how many it has.
func (h *house) storedMessages(room string, sequence int64) {
	h.Helper()
	db := h.database()
	defer db.Close() //nolint:errcheck // only read
	parsed, err := chat.ParseRoom(room)
	check(h, err)
	key := parsed[:]
	eventually(h, "the messages' rows", func() error {
		if n := number(h, db, "SELECT COUNT(*) FROM messages WHERE room_id = ? AND sequence <= ?", key, sequence); n != sequence {
			return fmt.Errorf("%d of %d are stored", n, sequence)
		}
		return nil
	})
}

// oldMessage writes a message into a room that nothing was said in, as if it had been said so long ago.
func (h *house) oldMessage(room string, by *client, ago time.Duration) chatMessage {
	h.Helper()
	db := h.database()
	defer db.Close() //nolint:errcheck // what is written is committed
	m := messages.Message{Offset: 7, Room: id.ID(parseID(h, room)), Sequence: 1, Username: by.username, Text: "long ago", At: time.Now().Add(-ago).UTC().Truncate(time.Microsecond)}
	err := db.Write(context.Background(), func(tx database.Tx) error {
		_, err := tx.Exec("INSERT INTO messages (log_offset, room_id, sequence, user_id, username, text, at_us, lamport) SELECT ?, ?, ?, id, username, ?, ?, 0 FROM users WHERE username = ?",
			m.Offset, m.Room[:], m.Sequence, m.Text, m.At.UnixMicro(), m.Username)
		return err
	})
	if err != nil {
		h.Fatal(err)
	}
	return chatMessage{ID: m.ID().String(), Room: room, User: m.Username, Text: m.Text, Sequence: 1, At: m.At}
}

// talk is speakers who say something all the time, whatever happens to the processes. What is acknowledged is kept.
type talk struct {
	testing.TB
	room     string
	speakers []*client
	mu       sync.Mutex
	process  *process
	acked    []chatMessage
	stop     chan struct{}
	working  sync.WaitGroup
}

// keepTalking has so many speakers talk in a room. Every third thing has an Idempotency-Key, and is said again until it is acknowledged.
func (p *process) keepTalking(t testing.TB, room string, n int) *talk {
	t.Helper()
	k := &talk{TB: t, room: room, process: p, stop: make(chan struct{})}
	for range n {
		k.speakers = append(k.speakers, p.speaker(t, room))
	}
	for i, c := range k.speakers {
		k.working.Go(func() {
			for n := 0; !k.over(); n++ {
				k.speak(c, fmt.Sprintf("%d says %d", i, n), n%3 == 0)
			}
		})
	}
	return k
}

func (k *talk) over() bool {
	select {
	case <-k.stop:
		return true
	default:
		return false
	}
}

func (k *talk) speak(c *client, text string, keyed bool) {
	for {
		k.mu.Lock()
		there := c.at(k.process)
		k.mu.Unlock()
		var options []option
		if keyed {
			options = append(options, header("Idempotency-Key", text))
		}
		m, ok := there.trySaying(k.room, text, options...)
		if ok {
			k.mu.Lock()
			k.acked = append(k.acked, m)
			k.mu.Unlock()
			return
		}
		if k.over() || !keyed {
			return // nobody knows whether it was said; it is not said again
		}
		<-time.After(10 * time.Millisecond)
		_, _ = there.try(http.MethodPut, "/v1/rooms/"+k.room+"/members/me", nil) // who was away for long has left
	}
}

// at has the speakers go on at another process.
func (k *talk) at(p *process) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.process = p
}

// after waits until so many more messages were acknowledged.
func (k *talk) after(n int) {
	k.Helper()
	before := k.said()
	eventually(k, "messages", func() error {
		if more := k.said() - before; more < n {
			return fmt.Errorf("%d were acknowledged", more)
		}
		return nil
	})
}

// said is how many messages were acknowledged.
func (k *talk) said() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.acked)
}

// beyond is how many of those that were acknowledged after the first so many come after a sequence.
func (k *talk) beyond(first int, sequence int64) (n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, m := range k.acked[first:] {
		if m.Sequence > sequence {
			n++
		}
	}
	return n
}

// finish ends the talk, waits until all is stored, and returns what was acknowledged and what is there.
func (k *talk) finish(h *house) (acked, all []chatMessage) {
	k.Helper()
	close(k.stop)
	k.working.Wait()
	all = k.speakers[0].at(k.process).allMessages(k.room, "?limit=200&after=0")
	h.storedMessages(k.room, int64(len(all)))
	slices.SortFunc(k.acked, func(a, b chatMessage) int { return int(a.Sequence - b.Sequence) })
	return k.acked, all
}
