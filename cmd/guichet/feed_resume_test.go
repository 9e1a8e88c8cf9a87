package main

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"guichet/models/database"
)

// follower follows a user's feed through whatever happens, as a browser does: it comes back with the last id that it has seen.
type follower struct {
	*client
	stop     atomic.Bool
	finished sync.WaitGroup
	resumed  int

	mu      sync.Mutex
	entries []feedEntry // of streams that have ended
	reader  *feedReader // the present one
}

// followAlong begins to follow; where is asked for the process to connect to.
func (c *client) followAlong(where func() *process) *follower {
	f := &follower{client: c}
	last := c.at(where()).follow("").ready().position()
	f.finished.Go(func() {
		for !f.stop.Load() {
			reader, _ := c.at(where()).tryFollow("", header("Last-Event-ID", strconv.FormatInt(last, 10)))
			if reader == nil {
				<-time.After(10 * time.Millisecond)
				continue
			}
			f.resumed++
			f.keep(reader, nil)
			f.keep(nil, reader.drain(&f.stop))
			last = max(last, reader.position())
			reader.close()
		}
	})
	return f
}

func (f *follower) keep(reader *feedReader, entries []feedEntry) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reader, f.entries = reader, append(f.entries, entries...)
}

// drain reads until the stream ends or stop is set.
func (f *feedReader) drain(stop *atomic.Bool) []feedEntry {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		f.mu.Lock()
		ended, entries := f.ended, slices.Clone(f.entries)
		f.mu.Unlock()
		if ended || stop.Load() {
			return entries
		}
		<-tick.C
	}
}

// conclude ends following, when the last has been told, and wants each of the operations told: started and finished, once, in order.
func (f *follower) conclude(operations []string) {
	f.Helper()
	missing := map[string]int{}
	for _, id := range operations {
		missing["operation.started "+id], missing["operation.finished "+id] = 1, 1
	}
	eventually(f, "the rest of the feed", func() error {
		f.mu.Lock()
		defer f.mu.Unlock()
		told := len(f.entries)
		if f.reader != nil {
			f.reader.mu.Lock()
			told += len(f.reader.entries)
			f.reader.mu.Unlock()
		}
		if told < len(missing) {
			return fmt.Errorf("%d entries of %d", told, len(missing))
		}
		return nil
	})
	f.stop.Store(true)
	f.finished.Wait()
	repeats := 0
	var last int64
	for _, e := range f.entries {
		what := e.Event + " " + e.Data.ID
		if _, ours := missing[what]; ours {
			missing[what]--
		}
		if e.ID <= last || missing[what] < 0 {
			repeats++
		}
		last = e.ID
		if e.Event == "feed.gap" {
			f.Errorf("%s", e.Text)
		}
	}
	gaps := 0
	for _, n := range missing {
		gaps += max(n, 0)
	}
	f.Logf("%d operations, %d entries, connected %d times: gaps=%d repeats=%d", len(operations), len(f.entries), f.resumed, gaps, repeats)
	if gaps+repeats != 0 {
		f.Errorf("gaps=%d repeats=%d", gaps, repeats)
	}
}

func TestFeedAcrossRestarts(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		var current atomic.Pointer[process]
		role := []string{"serve"}
		if !h.embedded {
			role = []string{"api"}
			h.start([]string{"worker"})
		}
		current.Store(h.start(role))
		ada := current.Load().user(t)
		ada.deposit(1)
		follower := ada.followAlong(current.Load)
		var stop atomic.Bool
		var mu sync.Mutex
		var operations []string
		var load sync.WaitGroup
		for range 6 {
			load.Go(func() {
				for !stop.Load() {
					a, err := ada.at(current.Load()).try(http.MethodPost, "/v1/accounts/"+ada.account+"/deposits", map[string]any{"amount": 1})
					if err != nil || a.status != http.StatusAccepted {
						<-time.After(10 * time.Millisecond)
						continue
					}
					o := a.operation(t, http.StatusAccepted)
					mu.Lock()
					operations = append(operations, o.ID)
					mu.Unlock()
				}
			})
		}
		count := func() int {
			mu.Lock()
			defer mu.Unlock()
			return len(operations)
		}
		for round := range 4 {
			n := count()
			eventually(t, "operations", func() error {
				if count() < n+50 {
					return fmt.Errorf("%d", count())
				}
				return nil
			})
			if round%2 == 0 {
				current.Load().kill()
			} else {
				current.Load().stop()
			}
			current.Store(h.start(role))
		}
		stop.Store(true)
		load.Wait()
		for _, id := range operations {
			ada.at(current.Load()).get("/v1/operations/"+id+"?wait=30").operation(t, http.StatusOK)
		}
		follower.conclude(operations)
		h.audit()
	})
}

// Publications that are lost on their way are found in the table; two processes tell the same.
func TestFeedWithLostPublications(t *testing.T) {
	t.Parallel()
	h := newRealHouse(t)
	first, second := h.serve(), h.start([]string{"api"})
	options, err := redis.ParseURL(h.setting("GUICHET_REDIS_URL"))
	check(t, err)
	rdb := redis.NewClient(options)
	defer rdb.Close() //nolint:errcheck // only sent commands
	ada := first.user(t)
	ada.deposit(1)
	eventually(t, "both to have heard of it", func() error {
		return second.metric("guichet_feed_position", first.scrape(t)["guichet_feed_position"])
	})
	followers := []*follower{ada.followAlong(func() *process { return first }), ada.followAlong(func() *process { return second })}
	var operations []string
	lost := func() float64 {
		return first.scrape(t)["guichet_feed_caught_up_total"] + second.scrape(t)["guichet_feed_caught_up_total"]
	}
	deadline := time.Now().Add(patience)
	for n := 0; n < 150 || lost() == 0; n++ {
		c := ada.at([]*process{first, second}[n%2])
		if n%3 == 1 { // as near to the publication as can be
			check(t, rdb.Do(t.Context(), "CLIENT", "KILL", "TYPE", "pubsub").Err())
		}
		o := c.post("/v1/accounts/"+ada.account+"/deposits", map[string]any{"amount": 1}, wait).operation(t, http.StatusOK)
		operations = append(operations, o.ID)
		if time.Now().After(deadline) {
			t.Fatal("no publication was lost: this tests nothing")
		}
	}
	for _, f := range followers {
		f.conclude(operations)
	}
	t.Logf("%v entries were read from the table", lost())
	a, b := followers[0].entries, followers[1].entries
	n := min(len(a), len(b))
	if !slices.Equal(texts(a[:n]), texts(b[:n])) {
		t.Error("the processes tell different things")
	}
}

func TestFeedGap(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		p := h.serve()
		ada := p.user(t)
		for range 5 {
			ada.deposit(1)
		}
		all := ada.after(0).next(10)
		forget := func(before int64) {
			t.Helper()
			check(t, h.database().Write(t.Context(), func(tx database.Tx) error {
				_, err := tx.Exec("DELETE FROM feed_entries WHERE position <= ?", before)
				return err
			}))
		}
		expect := func(after int64, gap bool, rest []feedEntry) {
			t.Helper()
			wanted := len(rest)
			if gap {
				wanted++
			}
			reader := ada.after(after).ready()
			defer reader.close()
			next := ada.deposit(1) // comes after all that is missed
			told := reader.finished(next.ID)
			all = append(all, told[len(told)-2:]...)
			told = told[:len(told)-2]
			if len(told) != wanted {
				t.Fatalf("after %d: %s", after, brief(told))
			}
			if gap {
				if told[0].Event != "feed.gap" || told[0].Data.LastEventID != strconv.FormatInt(after, 10) {
					t.Errorf("after %d: %s", after, told[0].Text)
				}
				told = told[1:]
			}
			if !slices.Equal(texts(told), texts(rest)) {
				t.Errorf("after %d: %s, want %s", after, brief(told), brief(rest))
			}
		}
		forget(all[3].ID) // two operations
		expect(all[1].ID, true, all[4:])
		expect(0, true, all[4:])
		expect(all[2].ID, true, all[4:])
		expect(all[3].ID, false, all[4:])
		expect(all[4].ID, false, all[5:]) // has seen the start of the oldest
		expect(all[5].ID, false, all[6:])
		last := all[len(all)-1].ID
		expect(last, false, nil)
		last = all[len(all)-1].ID
		forget(last) // everything
		reader := ada.after(last - 2).ready()
		if told := reader.next(1); told[0].Event != "feed.gap" || told[0].Data.LastEventID != strconv.FormatInt(last-2, 10) {
			t.Errorf("%s", told[0].Text)
		}
		quiet := ada.after(last).ready()
		o := ada.deposit(1)
		for _, f := range []*feedReader{reader, quiet} {
			if told := f.finished(o.ID); len(told) != 2 {
				t.Errorf("%s", brief(told))
			}
		}
		// A position that this feed has never had: of another house, or of one whose store was set back.
		ahead := ada.after(1 << 40)
		if told := ahead.next(1); told[0].Event != "feed.gap" {
			t.Errorf("%s", told[0].Text)
		}
		if told := ahead.finished(ada.deposit(1).ID); len(told) != 2 {
			t.Errorf("%s", brief(told))
		}
	})
}
