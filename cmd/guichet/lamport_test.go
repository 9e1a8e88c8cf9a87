package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"testing"
)

// clocked is a client that takes part with a Lamport clock of its own.
type clocked struct {
	*client
	now int64
}

// ask sends a request at the next tick and merges the answer's stamp. It returns both.
func (c *clocked) ask(method, path string, body any, options ...option) (a answer, sent, received int64) {
	c.Helper()
	c.now++
	sent = c.now
	a = c.do(method, path, body, append([]option{header("Lamport-Time", strconv.FormatInt(sent, 10))}, options...)...)
	received, err := strconv.ParseInt(a.header.Get("Lamport-Time"), 10, 64)
	if err != nil || received <= sent {
		c.Errorf("%s %s: sent at %d, answered at %q", method, path, sent, a.header.Get("Lamport-Time"))
	}
	c.now = max(c.now, received) + 1
	return a, sent, received
}

// chain is what happened one because of the other.
type chain struct {
	testing.TB
	last int64
	what string
}

func (c *chain) then(what string, stamp int64) {
	c.Helper()
	if stamp <= c.last {
		c.Errorf("%s at %d comes after %s at %d", what, stamp, c.what, c.last)
	}
	c.last, c.what = stamp, what
}

// processes are those that an API can be asked at: two beside a worker, or the only one.
func (h *house) processes() []*process {
	if h.embedded {
		return []*process{h.serve()}
	}
	h.start([]string{"worker"})
	return []*process{h.start([]string{"api"}), h.start([]string{"api"})}
}

// From a client through the API, the lane and the feed to another client, and on: stamps ascend along the way, whichever processes it leads through.
func TestLamportChain(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		processes := h.processes()
		ada := processes[0].user(t)
		ada.deposit(1_000_000)
		grace := processes[0].user(t)
		phone, laptop := &clocked{client: ada.at(processes[0])}, &clocked{client: ada.at(processes[len(processes)-1])}
		toPhone, toLaptop := phone.follow("").ready(), laptop.follow("").ready()
		way := &chain{TB: t}
		phone.now = 1 << 30 // a clock that is far ahead leads
		for range 15 {
			for _, step := range []struct {
				sender, receiver *clocked
				feed             *feedReader
			}{{phone, laptop, toLaptop}, {laptop, phone, toPhone}} {
				a, sent, answered := step.sender.ask(http.MethodPost, "/v1/transfers", map[string]any{"from": ada.account, "to": grace.account, "amount": 1})
				way.then("a request", sent)
				accepted := a.operation(t, http.StatusAccepted)
				way.then("its acceptance", accepted.Lamport)
				if answered <= accepted.Lamport {
					t.Errorf("accepted at %d, answered at %d", accepted.Lamport, answered)
				}
				told := step.feed.finished(accepted.ID)
				end := told[len(told)-1].Data.Lamport
				way.then("its execution", end)
				step.receiver.now = max(step.receiver.now, end) + 1
				a, asked, read := step.receiver.ask(http.MethodGet, "/v1/operations/"+accepted.ID, nil)
				if o := a.operation(t, http.StatusOK); o.Lamport != end {
					t.Errorf("told of %d, polled %d", end, o.Lamport)
				}
				way.then("the question for it", asked)
				way.then("the answer to that", read)
			}
		}
		checkStatement(t, ada.statement(200, nothing), true)
		h.audit()
	})
}

// Who reads at one process what another did is answered later than it, also when neither client nor publication carries the stamp.
func TestLamportAcrossProcesses(t *testing.T) {
	t.Parallel()
	h := newRealHouse(t)
	processes := h.processes()
	ada := processes[0].user(t)
	path := "/v1/accounts/" + ada.account
	stamp := int64(1000)
	for n := range 30 {
		near, far := ada.at(processes[n%2]), ada.at(processes[1-n%2])
		stamp *= 2 // far beyond what the other process has counted itself
		o := near.post(path+"/deposits", `{"amount":1}`, wait, header("Lamport-Time", strconv.FormatInt(stamp, 10))).operation(t, http.StatusOK)
		if o.Lamport <= stamp {
			t.Errorf("sent at %d, executed at %d", stamp, o.Lamport)
		}
		paths := []string{"/v1/operations/" + o.ID, "/v1/operations", "/v1/accounts", path, path + "/entries", path + "/balance", path + "/balance?operation=" + o.ID}
		a := far.get(paths[n%len(paths)]).expect(t, http.StatusOK)
		if read, err := strconv.ParseInt(a.header.Get("Lamport-Time"), 10, 64); err != nil || read <= o.Lamport {
			t.Errorf("%s: executed at %d, shown at %d", paths[n%len(paths)], o.Lamport, read)
		}
		if next := far.post(path+"/deposits", `{"amount":1}`, wait).operation(t, http.StatusOK); next.Lamport <= o.Lamport {
			t.Errorf("executed at %d, and after it at %d", o.Lamport, next.Lamport)
		}
		stamp = min(max(stamp, 1000), 1<<40)
	}
}

// Many clients at once, each a chain of its own, at whichever process.
func TestLamportCrowd(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		processes := h.processes()
		ada, grace := processes[0].user(t), processes[0].user(t)
		ada.deposit(1_000_000)
		var all sync.WaitGroup
		for n := range 24 {
			all.Go(func() {
				random := rand.New(rand.NewPCG(uint64(n), 7)) //nolint:gosec // a seed
				c := &clocked{now: random.Int64N(10_000)}
				way := &chain{TB: t}
				for range 10 {
					c.client = ada.at(processes[random.IntN(len(processes))])
					a, sent, answered := c.ask(http.MethodPost, "/v1/transfers", map[string]any{"from": ada.account, "to": grace.account, "amount": 1}, wait)
					way.then("a request", sent)
					way.then("its execution", a.operation(t, http.StatusOK).Lamport)
					way.then("its answer", answered)
				}
			})
		}
		all.Wait()
		checkStatement(t, ada.statement(200, nothing), true)
		checkStatement(t, grace.statement(7, nothing), true)
		h.audit()
	})
}

// A process that starts again stamps later than everything that is in the store, however it ended.
func TestLamportAfterARestart(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		p := h.serve()
		ada := p.user(t)
		way := &chain{TB: t}
		sent := int64(0)
		for round, end := range []func(){func() { p.kill() }, func() { p.stop() }, func() { p.kill() }} {
			sent += 1_000_000 // which only a client has counted
			executed := ada.post("/v1/accounts/"+ada.account+"/deposits", `{"amount":1}`, wait, header("Lamport-Time", strconv.FormatInt(sent, 10))).operation(t, http.StatusOK)
			way.then(fmt.Sprint("the execution before restart ", round), executed.Lamport)
			p.admin(t).pause(true)
			accepted := ada.post("/v1/accounts/"+ada.account+"/deposits", `{"amount":1}`, header("Lamport-Time", strconv.FormatInt(sent+500_000, 10))).operation(t, http.StatusAccepted)
			way.then("an acceptance", accepted.Lamport)
			end()
			p = h.serve()
			ada = ada.at(p)
			first := ada.get("/v1/users/me").expect(t, http.StatusOK)
			answered, err := strconv.ParseInt(first.header.Get("Lamport-Time"), 10, 64)
			check(t, err)
			way.then("the first answer after it", answered)
			p.admin(t).pause(false)
			o := ada.get("/v1/operations/"+accepted.ID+"?wait=30").operation(t, http.StatusOK)
			way.then("the execution", o.Lamport)
		}
		told := ada.after(0).next(12)
		for i := range told[1:] {
			if told[i+1].Data.Lamport < told[i].Data.Lamport {
				t.Errorf("%s is told after %s", told[i+1].Text, told[i].Text)
			}
		}
		h.audit()
	})
}
