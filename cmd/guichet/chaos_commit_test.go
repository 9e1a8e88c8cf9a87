package main

import (
	"fmt"
	"net/http"
	"net/http/httptrace"
	"sync"
	"testing"
	"time"
)

func deadline() <-chan time.Time { return time.After(patience) }

// intoJournal is what the commit of an intake has among its statements, and intoLane what that of a lane has.
const (
	intoJournal = "INSERT INTO operations"
	intoLane    = "DELETE FROM journal_batches"
)

// The API dies between the journal and the answer. Whoever asks again with the same key is told of the one operation that there is.
func TestCrashBetweenJournalAndAnswer(t *testing.T) {
	t.Parallel()
	h := newRealHouse(t)
	proxy := h.throughProxy()
	api, w := h.start([]string{"api"}), h.newCrew(1)
	ada, grace := api.user(t), api.user(t)
	ada.deposit(1000)
	body := map[string]any{"from": ada.account, "to": grace.account, "amount": 100}
	key := header("Idempotency-Key", "before-the-crash")
	trap := proxy.set(&commitTrap{statement: intoJournal, before: api.kill})
	if a, err := ada.try(http.MethodPost, "/v1/transfers", body, key); err == nil {
		t.Fatalf("answered %d by a process that is dead\n%s", a.status, a.body)
	}
	await(t, "the commit", trap.committed)

	died := time.Now()
	api = h.start([]string{"api"})
	again := ada.at(api).post("/v1/transfers", body, key, wait)
	o := again.operation(t, http.StatusOK)
	t.Logf("executed %v after the crash of an API that had journaled and not enqueued (its restart included)", time.Since(died).Round(time.Millisecond))
	if again.header.Get("Idempotency-Replayed") != "true" || o.Status != "succeeded" {
		t.Errorf("the key was used before, and the answer is not told apart: %v, %+v", again.header, o)
	}
	ada.at(api).post("/v1/transfers", map[string]any{"from": ada.account, "to": grace.account, "amount": 101}, key).problem(t, http.StatusUnprocessableEntity, "idempotency_key_reused")
	if got := ada.at(api).balance(); got != 900 {
		t.Errorf("ada has %d, want 900", got)
	}
	w.tend()
	h.audit()
}

// The answer to an intake's commit is lost. Everybody in the batch is told of their own operation, and each is executed once.
func TestLostAnswerToTheJournal(t *testing.T) {
	t.Parallel()
	h := newRealHouse(t)
	proxy := h.throughProxy()
	api, w := h.start([]string{"api"}), h.newCrew(1)
	const n = 6
	var people []*client
	for range n {
		people = append(people, api.user(t))
	}
	for _, p := range people {
		p.deposit(1000)
	}
	// While the first commit is held, the others gather for one batch.
	release := make(chan struct{})
	first := proxy.set(&commitTrap{statement: intoJournal, hold: release, pass: true})
	answers := make([]answer, n)
	var group, sent sync.WaitGroup
	trace := &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { sent.Done() }}
	traced := func(r *http.Request) { *r = *r.WithContext(httptrace.WithClientTrace(r.Context(), trace)) }
	ask := func(i int, options ...option) {
		sent.Add(1)
		group.Go(func() {
			answers[i] = people[i].post(fmt.Sprintf("/v1/accounts/%s/withdrawals", people[i].account), map[string]any{"amount": 100 + i}, append(options, wait, traced)...)
		})
	}
	ask(0)
	await(t, "the first commit", first.held)
	lost := proxy.set(&commitTrap{statement: intoJournal})
	for i := 1; i < n; i++ {
		if i < n/2 {
			ask(i, header("Idempotency-Key", fmt.Sprintf("key-%d", i)))
		} else {
			ask(i)
		}
		sent.Wait()
		for range 5 { // whoever was sent before is read before
			people[0].get("/v1/users/me")
		}
	}
	close(release)
	await(t, "the commit", lost.committed)
	group.Wait()
	seen := map[string]bool{}
	for i, p := range people {
		o := answers[i].operation(t, http.StatusOK)
		if o.Status != "succeeded" || o.Result.Entry.Amount != int64(-100-i) || seen[o.ID] {
			t.Errorf("%d was told %s", i, answers[i].body)
		}
		seen[o.ID] = true
		if got := p.balance(); got != int64(900-i) {
			t.Errorf("%d has %d, want %d", i, got, 900-i)
		}
	}
	w.tend()
	h.audit()
}

// The answer to a lane's commit is lost. Nothing is executed twice, and who waits is answered.
func TestLostAnswerToTheLane(t *testing.T) {
	t.Parallel()
	h := newRealHouse(t)
	proxy := h.throughProxy()
	api, w := h.start([]string{"api"}), h.newCrew(1)
	ada := api.user(t)
	ada.deposit(1000)
	trap := proxy.set(&commitTrap{statement: intoLane})
	asked := time.Now()
	o := ada.post("/v1/accounts/"+ada.account+"/withdrawals", map[string]any{"amount": 100}, wait).operation(t, http.StatusOK)
	t.Logf("answered after %v", time.Since(asked).Round(time.Millisecond))
	await(t, "the commit", trap.committed)
	if o.Status != "succeeded" || ada.balance() != 900 {
		t.Errorf("%+v", o)
	}
	ada.deposit(1)
	w.tend()
	h.audit()
}

// A commit of the journal is not answered, and the connection stays. Nobody waits for ever, the other calls go on, and what became of the commit is found out
// before the next batch.
func TestSilenceAtTheCommitOfTheJournal(t *testing.T) {
	t.Parallel()
	h := newRealHouse(t)
	proxy := h.throughProxy()
	api, w := h.start([]string{"api"}), h.newCrew(1)
	ada := api.user(t)
	ada.deposit(1000)
	release := make(chan struct{})
	trap := proxy.set(&commitTrap{statement: intoJournal, hold: release, pass: true})
	asked := time.Now()
	a := ada.post("/v1/accounts/"+ada.account+"/withdrawals", map[string]any{"amount": 100}, wait)
	a.problem(t, http.StatusServiceUnavailable, "unavailable")
	t.Logf("answered after %v", time.Since(asked).Round(time.Millisecond))
	await(t, "the commit", trap.held)
	close(release) // MariaDB gets it now, from a connection that has been given up
	ada.deposit(1)
	if got := ada.balance(); got != 901 && got != 1001 {
		t.Errorf("ada has %d", got)
	}
	w.tend()
	h.audit()
}
