package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"guichet/models/database"
	"guichet/models/id"
)

// The chaos tests kill, stop and wipe what they can while a crowd transfers money, and then look whether the promises were kept. The points are chosen by
// seeds and counted in acknowledgements, so that a run can be repeated as nearly as machines allow.

// chaosRounds multiplies how often each of these tests strikes.
const chaosRounds = "TESTBED_CHAOS_ROUNDS"

// rounds is how often a test strikes that by default does so n times.
func rounds(t testing.TB, n int) int {
	t.Helper()
	text := os.Getenv(chaosRounds)
	if text == "" {
		return n
	}
	factor, err := strconv.Atoi(text)
	if err != nil || factor < 1 {
		t.Fatalf("%s=%s: want a whole number from 1", chaosRounds, text)
	}
	return n * factor
}

const (
	crowdSize = 8
	startCash = 1000
)

// submission is one operation that somebody asked for, and what they know of it.
type submission struct {
	reference string
	attempts  int
	operation id.ID  // once it was acknowledged
	status    string // of the outcome, if they were told
	errand    errand
}

// errand is what somebody asks for.
type errand struct {
	method, path string
	body         any
}

// customer is one of the crowd: they ask for one thing after the other.
type customer struct {
	*client
	number      int
	random      *rand.Rand
	submissions []*submission
}

// crowd is people who transfer money among themselves, or do other errands, through whichever API is there.
type crowd struct {
	testing.TB
	house  *house
	choose func(p *customer, reference string) errand
	people []*customer
	random *rand.Rand
	stop   chan struct{}
	group  sync.WaitGroup

	api       atomic.Pointer[process]
	otherAPI  atomic.Pointer[process] // if there is one, every other customer goes there
	acked     atomic.Int64
	refused   atomic.Int64 // 503
	slowest   atomic.Int64 // of the answers that were waited for, in ns, since it was last set to 0
	milestone atomic.Int64
	reached   chan struct{}
}

// newCrowd makes the people, with cash, and sets them going. Everything they choose follows from the seed.
func (h *house) newCrowd(api *process, seed uint64) *crowd {
	h.Helper()
	c := h.gather(api, seed)
	c.choose = c.transfer
	c.setOut()
	return c
}

// gather makes the people.
func (h *house) gather(api *process, seed uint64) *crowd {
	h.Helper()
	c := &crowd{TB: h, house: h, random: rand.New(rand.NewPCG(seed, 0)), stop: make(chan struct{})}
	c.api.Store(api)
	c.people = make([]*customer, crowdSize)
	var making sync.WaitGroup
	for i := range c.people {
		making.Go(func() {
			c.people[i] = &customer{client: api.user(h), number: i, random: rand.New(rand.NewPCG(seed, uint64(i)+1))}
			c.people[i].deposit(startCash)
		})
	}
	making.Wait()
	if h.Failed() {
		h.FailNow()
	}
	return c
}

// setOut sets the people going.
func (c *crowd) setOut() {
	for _, p := range c.people {
		c.group.Go(func() { c.live(p) })
	}
}

func (c *crowd) stopped() bool {
	select {
	case <-c.stop:
		return true
	default:
		return false
	}
}

// transfer is a transfer to somebody else.
func (c *crowd) transfer(p *customer, reference string) errand {
	to := c.people[(p.number+1+p.random.IntN(len(c.people)-1))%len(c.people)]
	amount := 1 + p.random.IntN(40)
	if p.random.IntN(20) == 0 {
		amount += 1_000_000 // more than there is
	}
	return errand{http.MethodPost, "/v1/transfers", map[string]any{"from": p.account, "to": to.account, "amount": amount, "reference": reference}}
}

// live does errands until the crowd stops.
func (c *crowd) live(p *customer) {
	for n := 0; !c.stopped(); n++ {
		s := &submission{reference: fmt.Sprintf("%d-%d", p.number, n)}
		s.errand = c.choose(p, s.reference)
		p.submissions = append(p.submissions, s)
		var options []option
		if p.random.IntN(2) == 0 {
			options = append(options, wait)
		}
		keyed := p.random.IntN(3) == 0
		if keyed {
			options = append(options, header("Idempotency-Key", "key-"+s.reference))
		}
		for !c.ask(p, s, options) && keyed { // without a key they do not know, and go on to the next
			<-time.After(20 * time.Millisecond)
		}
	}
}

// ask submits once and says whether it was acknowledged.
func (c *crowd) ask(p *customer, s *submission, options []option) bool {
	s.attempts++
	asked := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	bounded := func(r *http.Request) { *r = *r.WithContext(ctx) }
	api := c.api.Load()
	if other := c.otherAPI.Load(); other != nil && p.number%2 == 1 {
		api = other
	}
	a, err := p.at(api).try(s.errand.method, s.errand.path, s.errand.body, append(options, bounded)...)
	if err != nil {
		return false // the process was killed, or is not there
	}
	switch a.status {
	case http.StatusOK, http.StatusAccepted:
	case http.StatusServiceUnavailable:
		c.refused.Add(1)
		if a.header.Get("Retry-After") == "" {
			c.Errorf("a 503 without Retry-After: %s", a.body)
		}
		return false
	default:
		c.Errorf("%s: status %d\n%s", s.reference, a.status, a.body)
		return true
	}
	var o outcome
	if err := json.Unmarshal(a.body, &o); err != nil {
		c.Error(err)
		return true
	}
	if s.operation, err = id.Parse(o.ID); err != nil {
		c.Error(err)
	}
	if a.status == http.StatusOK {
		for took, slowest := int64(time.Since(asked)), c.slowest.Load(); took > slowest && !c.slowest.CompareAndSwap(slowest, took); slowest = c.slowest.Load() {
		}
	}
	if o.Status == "succeeded" || o.Status == "rejected" || o.Status == "failed" {
		s.status = o.Status
	}
	if c.acked.Add(1) == c.milestone.Load() {
		close(c.reached)
	}
	return true
}

// after waits until between least and most more acknowledgements were given, and a little longer.
func (c *crowd) after(least, most int) {
	c.Helper()
	c.reached = make(chan struct{})
	c.milestone.Store(c.acked.Load() + int64(least+c.random.IntN(most-least)) + crowdSize)
	select {
	case <-c.reached:
	case <-time.After(patience):
		c.Fatalf("nothing is acknowledged any more; %d were", c.acked.Load())
	}
	<-time.After(time.Duration(c.random.IntN(4000)) * time.Microsecond)
}

// finish stops the crowd; who has a key goes on until they know.
func (c *crowd) finish() {
	c.Helper()
	close(c.stop)
	done := make(chan struct{})
	go func() {
		c.group.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(patience):
		c.Fatal("somebody still waits for an answer")
	}
}

// database opens the store of the house beside what runs on it.
func (h *house) database() *database.DB {
	h.Helper()
	var db *database.DB
	var err error
	if h.embedded {
		db, err = database.OpenSQLite(context.Background(), h.setting("GUICHET_DATA_DIR"))
	} else {
		db, err = database.OpenMySQL(context.Background(), h.setting("GUICHET_MYSQL_DSN"))
	}
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { _ = db.Close() })
	return db
}

func (h *house) setting(name string) string {
	for _, assignment := range h.settings {
		if len(assignment) > len(name) && assignment[:len(name)+1] == name+"=" {
			return assignment[len(name)+1:]
		}
	}
	return ""
}

// number is one number from the store.
func number(t testing.TB, db *database.DB, query string, args ...any) (n int64) {
	t.Helper()
	if err := db.Read(context.Background()).Gorm().Raw(query, args...).Row().Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
