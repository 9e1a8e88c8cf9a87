package handlers

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"guichet/models/feed"
	"guichet/models/id"
	"guichet/models/operation"
)

// placesTold reads the frames of a text: the last byte of each operation's base and its place, in order.
func placesTold(t *testing.T, text []byte) string {
	t.Helper()
	var told []string
	for frame := range strings.SplitSeq(strings.TrimSpace(string(text)), "\n\n") {
		if frame == "" {
			continue
		}
		event, data, _ := strings.Cut(frame, "\n")
		var o struct {
			ID       id.ID
			At       time.Time
			Lamport  int64
			Status   string
			Position *int64
		}
		must(t, json.Unmarshal([]byte(strings.TrimPrefix(data, "data: ")), &o))
		if event != "event: operation.queued" || o.At.IsZero() || o.Lamport != 7 || o.Status != "queued" || strings.Count(data, `"lamport"`) != 1 {
			t.Errorf("told %q", frame)
		}
		told = append(told, fmt.Sprintf("%d@%d", o.ID.Index(), *o.Position))
	}
	return strings.Join(told, " ")
}

func TestPlacesAreToldWhenTheyChange(t *testing.T) {
	t.Parallel()
	var asOf atomic.Int64
	base := id.NewGenerator().Next()
	reader := &inLine{asOf: &asOf}
	seen := func(as int64, places ...int64) look {
		asOf.Store(as)
		l := look{asOf: as}
		for i, place := range places {
			if place >= 0 {
				l.waiting = append(l.waiting, operation.Operation{Command: operation.Command{ID: base.WithIndex(i), Lamport: 7, SubmittedAt: time.Now()}, Position: place})
			}
		}
		return l
	}
	ended := func(index int, position int64) {
		reader.note(&feed.Entry{Event: feed.OperationFinished, OperationID: base.WithIndex(index), Position: position})
	}
	expect := func(l look, want string) {
		t.Helper()
		if told := placesTold(t, reader.tell(l, time.Now())); told != want {
			t.Errorf("told %q, want %q", told, want)
		}
	}
	expect(seen(10), "")
	expect(seen(10, 4, 5, 9), "0@4 1@5 2@9")
	expect(seen(11, 4, 5, 9), "")
	expect(seen(12, 3, 4, 9), "0@3 1@4")
	expect(seen(13, -1, 0, 9), "1@0")
	expect(seen(14, 2, 0, 9), "0@2") // replayed
	early := seen(20, 1, 0, 8)
	ended(1, 22) // after the look, and told before it
	expect(early, "0@1 2@8")
	expect(seen(23, 1, -1, 7), "2@7")
	expect(seen(24, 1, 3, 7), "1@3") // replayed
	early = seen(30, 0, 0, 0)
	asOf.Store(40) // the next look is on its way
	ended(1, 41)
	expect(early, "")
	ended(2, 42)
	expect(seen(40, 0, 1, 2), "0@0")
	for index := range 200 {
		asOf.Store(int64(100 + index))
		ended(index, int64(101+index))
	}
	if len(reader.ended) > 2 {
		t.Errorf("%d ends are remembered", len(reader.ended))
	}
	if expect(seen(400), ""); len(reader.told) != 0 {
		t.Errorf("%d places are remembered", len(reader.told))
	}
}

func TestFewPlacesAreToldAtOnce(t *testing.T) {
	t.Parallel()
	reader, g := &inLine{asOf: new(atomic.Int64)}, id.NewGenerator()
	var seen look
	for i := range 250 {
		seen.waiting = append(seen.waiting, operation.Operation{Command: operation.Command{ID: g.Next(), Lamport: 7}, Position: int64(i)})
	}
	for _, want := range []int{100, 100, 50, 0} {
		if n := strings.Count(string(reader.tell(seen, time.Now())), "event: "); n != want {
			t.Errorf("%d places at once, want %d", n, want)
		}
	}
}

// A stream without `me` is told of no places.
func TestNobodyInLine(t *testing.T) {
	t.Parallel()
	var nobody *inLine
	nobody.note(&feed.Entry{Event: feed.OperationFinished})
	if nobody.news() != nil {
		t.Error("nobody has news")
	}
}

// A slow stream has the latest look, and keeps nobody waiting.
func TestALaterLookReplacesTheOneBefore(t *testing.T) {
	t.Parallel()
	reader := &inLine{looks: make(chan look, 1)}
	for position := range int64(5) {
		reader.offer(look{asOf: position})
	}
	if got := <-reader.news(); got.asOf != 4 || len(reader.looks) != 0 {
		t.Errorf("the look of %d, and %d more", got.asOf, len(reader.looks))
	}
}

// Streams are told where in line their users' operations are; with the last of them, the asking ends.
func TestPlacesInLine(t *testing.T) {
	onBothStores(t, func(t *testing.T, c *counter) {
		server := httptest.NewServer(c)
		defer server.Close()
		for _, who := range []string{"Ada", "Grace"} {
			c.expect(c.ask("POST", "/v1/users", strings.Replace(ada, "Ada", who, 1)), 201, "")
		}
		adas, graces := c.trader("Ada"), c.trader("Grace")
		submit := func(who trader) id.ID {
			go c.takeOne()
			made := c.expect(c.ask("POST", "/v1/accounts/"+who.account+"/deposits", `{"amount":5}`, "Authorization", who.token), 202, "")
			made202, err := id.Parse(made.json["id"].(string))
			must(t, err)
			return made202
		}
		follow := func(who trader) (told func(operation id.ID, place int64), leave func()) {
			ctx, cancel := context.WithCancel(t.Context())
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/v1/feed", nil)
			must(t, err)
			r.Header.Set("Authorization", who.token)
			response, err := http.DefaultClient.Do(r) //nolint:bodyclose // the reader of the stream closes it
			must(t, err)
			lines := make(chan string, 100)
			go func() {
				defer response.Body.Close()
				defer close(lines)
				for text := bufio.NewScanner(response.Body); text.Scan(); {
					if id, found := strings.CutPrefix(text.Text(), "id: "); found && id != "0" {
						t.Errorf("an id of %s", id)
					}
					if data, found := strings.CutPrefix(text.Text(), "data: "); found {
						lines <- data
					}
				}
			}()
			return func(operation id.ID, place int64) {
				t.Helper()
				select {
				case data := <-lines:
					shown := c.expect(c.ask("GET", "/v1/operations/"+operation.String(), "", "Authorization", who.token), 200, "").json
					var got map[string]any
					must(t, json.Unmarshal([]byte(data), &got))
					if delete(got, "at"); fmt.Sprint(got) != fmt.Sprint(shown) || shown["position"] != float64(place) {
						t.Errorf("told %v\nwant %v", got, shown)
					}
				case <-time.After(time.Minute):
					t.Fatal("nothing is told")
				}
			}, cancel
		}
		first, second, third, fourth := submit(adas), submit(graces), submit(adas), submit(graces)
		adasFeed, adaLeaves := follow(adas)
		gracesFeed, graceLeaves := follow(graces)
		adasFeed(first, 0)
		adasFeed(third, 2)
		gracesFeed(second, 1)
		gracesFeed(fourth, 3)
		again, leaveAgain := follow(adas)
		again(first, 0)
		again(third, 2)
		c.execute(first, 1000)
		for _, told := range []func(id.ID, int64){adasFeed, again} {
			told(third, 1)
		}
		gracesFeed(second, 0)
		gracesFeed(fourth, 2)
		c.execute(second, 2000)
		adasFeed(third, 0)
		gracesFeed(fourth, 1)
		adaLeaves()
		graceLeaves()
		leaveAgain()
		for deadline := time.Now().Add(time.Minute); ; <-time.After(10 * time.Millisecond) {
			c.places.mu.Lock()
			running, readers := c.places.stop != nil, len(c.places.readers)
			c.places.mu.Unlock()
			if !running && readers == 0 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("nobody follows, and running is %t for %d", running, readers)
			}
		}
		if n := c.count("feed_entries"); n != 0 {
			t.Errorf("%d entries are kept", n)
		}
		if late, leave := follow(adas); true { // it begins anew
			late(third, 0)
			leave()
		}
	})
}
