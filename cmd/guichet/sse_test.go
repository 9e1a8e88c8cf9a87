package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// feedEntry is an entry of a feed as a client reads it.
type feedEntry struct {
	ID    int64  // the position, of the place that its id is
	Place string // the id
	Event string
	Text  string
	Data  struct {
		At          time.Time
		Lamport     int64
		ID          string
		Kind        string
		Status      string
		Position    *int64
		SessionID   string `json:"session_id"`
		Reason      string
		LastEventID string `json:"last_event_id"`
	}
}

// feedReader follows a feed as a browser would. Close it, or let the test end.
type feedReader struct {
	testing.TB
	cancel context.CancelFunc

	mu      sync.Mutex
	changed *sync.Cond
	entries []feedEntry
	queued  []feedEntry // operation.queued: when there is one depends on how long things take, so it is kept apart
	taken   int
	last    int64  // the position of the id that a browser would resume from
	place   string // that id
	begun   bool   // where the stream begins was told
	ended   bool
}

// follow opens a feed. The query begins with "?", or is empty.
func (c *client) follow(query string, options ...option) *feedReader {
	c.Helper()
	f, a := c.tryFollow(query, options...)
	if f == nil {
		c.Fatalf("GET /v1/feed%s: %d %s", query, a.status, a.body)
	}
	return f
}

// after follows from an entry.
func (c *client) after(position int64) *feedReader {
	c.Helper()
	return c.follow("", header("Last-Event-ID", strconv.FormatInt(position, 10)))
}

// tryFollow is follow for feeds that may be refused.
func (c *client) tryFollow(query string, options ...option) (*feedReader, answer) {
	c.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/v1/feed"+query, nil)
	if err != nil {
		c.Fatal(err)
	}
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	for _, change := range options {
		if change != nil {
			change(request)
		}
	}
	response, err := testTransport.RoundTrip(request) //nolint:bodyclose // the reader of the stream closes it
	if err != nil {
		cancel()
		return nil, answer{body: []byte(err.Error())}
	}
	a := answer{status: response.StatusCode, header: response.Header}
	if a.status != http.StatusOK {
		defer cancel()
		defer response.Body.Close()
		text := make([]byte, 4096)
		n, _ := response.Body.Read(text)
		a.body = text[:n]
		return nil, a
	}
	for name, want := range map[string]string{"Content-Type": "text/event-stream", "Cache-Control": "no-store"} {
		if got := a.header.Get(name); got != want {
			c.Errorf("a feed with %s: %s", name, got)
		}
	}
	if a.header.Get("Lamport-Time") == "" {
		c.Error("a feed without Lamport-Time")
	}
	f := &feedReader{TB: c.TB, cancel: cancel}
	f.changed = sync.NewCond(&f.mu)
	c.Cleanup(f.close)
	go func() {
		defer response.Body.Close()
		f.read(bufio.NewReader(response.Body))
	}()
	return f, a
}

func (f *feedReader) close() { f.cancel() }

// read takes the stream apart as the HTML standard has it, as far as this feed goes.
func (f *feedReader) read(stream *bufio.Reader) {
	var e feedEntry
	beginning := false
	for {
		line, err := stream.ReadString('\n')
		f.mu.Lock()
		if err != nil {
			f.ended = true
			f.changed.Broadcast()
			f.mu.Unlock()
			return
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch name {
		case "id":
			position, _, _ := strings.Cut(value, "-")
			e.Place = value
			if e.ID, err = strconv.ParseInt(position, 10, 64); err != nil {
				f.Errorf("id: %q", value)
			}
		case "event":
			e.Event = value
		case "data":
			e.Text = value
			if err := json.Unmarshal([]byte(value), &e.Data); err != nil || e.Data.At.IsZero() || e.Data.Lamport == 0 {
				f.Errorf("data: %s (%v)", value, err)
			}
		case "retry":
			beginning = true
		case "":
			if line != "\n" { // a comment
				break
			}
			f.begun = f.begun || beginning
			if e.Place != "" {
				f.last, f.place = e.ID, e.Place
			}
			switch {
			case e.Event == "operation.queued":
				if e.Place != "" {
					f.Errorf("a place in line with the id %s", e.Place)
				}
				f.queued = append(f.queued, e)
			case e.Event != "":
				f.entries = append(f.entries, e)
			}
			e, beginning = feedEntry{}, false
			f.changed.Broadcast()
		default:
			f.Errorf("a line of another kind: %q", line)
		}
		f.mu.Unlock()
	}
}

// await waits until done, which is called with mu held.
func (f *feedReader) await(what string, done func() bool) {
	f.Helper()
	alarm := time.AfterFunc(patience, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.changed.Broadcast()
	})
	defer alarm.Stop()
	began := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	for !done() {
		if time.Since(began) >= patience || f.ended {
			f.Fatalf("the feed waits for %s (ended: %t); it has had %s", what, f.ended, brief(f.entries))
		}
		f.changed.Wait()
	}
}

// until returns the entries not returned yet, up to and with the first that is wanted.
func (f *feedReader) until(wanted func(feedEntry) bool) (told []feedEntry) {
	f.Helper()
	from := f.taken
	f.await("an entry", func() bool {
		for f.taken < len(f.entries) {
			f.taken++
			if wanted(f.entries[f.taken-1]) {
				told = slices.Clone(f.entries[from:f.taken])
				return true
			}
		}
		return false
	})
	return told
}

// next returns the next n entries.
func (f *feedReader) next(n int) []feedEntry {
	f.Helper()
	if n == 0 {
		return nil
	}
	seen := 0
	return f.until(func(feedEntry) bool { seen++; return seen == n })
}

// finished waits for the end of an operation and returns what was told up to there.
func (f *feedReader) finished(operation string) []feedEntry {
	f.Helper()
	return f.until(func(e feedEntry) bool { return e.Event == "operation.finished" && e.Data.ID == operation })
}

// ready waits until the stream has said where it is.
func (f *feedReader) ready() *feedReader {
	f.Helper()
	f.await("its beginning", func() bool { return f.begun })
	return f
}

// end waits for the end of the stream and returns the entries not returned yet.
func (f *feedReader) end() []feedEntry {
	f.Helper()
	deadline := time.Now().Add(patience)
	alarm := time.AfterFunc(patience, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.changed.Broadcast()
	})
	defer alarm.Stop()
	f.mu.Lock()
	defer f.mu.Unlock()
	for !f.ended {
		if time.Now().After(deadline) {
			f.Fatalf("the feed does not end; it has had %s", brief(f.entries))
		}
		f.changed.Wait()
	}
	rest := slices.Clone(f.entries[f.taken:])
	f.taken = len(f.entries)
	return rest
}

// over says whether the stream has ended.
func (f *feedReader) over() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ended
}

// position is that of the id that a browser would resume from: the id itself where no room is followed.
func (f *feedReader) position() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last
}

// brief lists the last entries.
func brief(entries []feedEntry) string {
	var b strings.Builder
	for _, e := range entries[max(0, len(entries)-10):] {
		fmt.Fprintf(&b, "%d %s %s; ", e.ID, e.Event, e.Data.ID)
	}
	return b.String()
}
