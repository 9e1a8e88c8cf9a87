package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
)

func key(k string) option { return header("Idempotency-Key", k) }

func (a answer) replayed() bool { return a.header.Get("Idempotency-Replayed") == "true" }

func TestIdempotencyKeys(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		p := h.serve()
		ada, grace := p.user(t), p.user(t)
		ada.deposit(1000)
		grace.deposit(1000)
		deposits, transfers := "/v1/accounts/"+ada.account+"/deposits", "/v1/transfers"
		transfer := func(reference string) string {
			return fmt.Sprintf(`{"from":%q,"to":%q,"amount":5,"reference":%q}`, ada.account, grace.account, reference)
		}
		expect := func(want int64) {
			t.Helper()
			if got := ada.balance(); got != want {
				t.Fatalf("the balance is %d, want %d", got, want)
			}
		}

		first := ada.post(transfers, transfer("Ä"), key("one"))
		o := first.operation(t, http.StatusAccepted)
		if first.replayed() {
			t.Error("the first answer says that it is a repetition")
		}
		ada.get("/v1/operations/"+o.ID+"?wait=30").expect(t, http.StatusOK)
		for name, body := range map[string]string{
			"the same":      transfer("Ä"),
			"other spacing": " {\n\"from\" : \"" + ada.account + "\" ,\t\"to\":\"" + grace.account + "\",\"amount\":5, \"reference\":\"Ä\" }\n",
			"other order":   fmt.Sprintf(`{"reference":"Ä","amount":5,"to":%q,"from":%q}`, grace.account, ada.account),
			"escapes":       fmt.Sprintf(`{"\u0066rom":%q,"to":%q,"amount":5,"reference":"\u00c4"}`, ada.account, grace.account),
		} {
			for _, waits := range []bool{false, true} {
				options, status := []option{key("one")}, http.StatusAccepted
				if waits {
					options, status = append(options, wait), http.StatusOK
				}
				again := ada.post(transfers, body, options...)
				if got := again.operation(t, status); got.ID != o.ID || !again.replayed() || again.header.Get("Location") != first.header.Get("Location") || got.Status != "succeeded" {
					t.Errorf("%s: %v %s", name, again.header, again.body)
				}
			}
		}
		expect(995)
		for name, c := range map[string]struct{ path, body string }{
			"another amount":     {transfers, strings.Replace(transfer("Ä"), ":5", ":6", 1)},
			"another reference":  {transfers, transfer("A")},
			"another letter":     {transfers, transfer("A\u0308")}, // looks the same
			"no reference":       {transfers, fmt.Sprintf(`{"from":%q,"to":%q,"amount":5}`, ada.account, grace.account)},
			"another call":       {deposits, `{"amount":5}`},
			"the opposite call":  {"/v1/accounts/" + ada.account + "/withdrawals", `{"amount":5}`},
			"what is made there": {"/v1/feed/tickets", ""},
		} {
			t.Log(name)
			ada.post(c.path, c.body, key("one")).problem(t, http.StatusUnprocessableEntity, "idempotency_key_reused")
		}
		expect(995)

		// Somebody else's key is another key.
		other := grace.post(transfers, fmt.Sprintf(`{"from":%q,"to":%q,"amount":7}`, grace.account, ada.account), key("one"), wait)
		if got := other.operation(t, http.StatusOK); got.ID == o.ID || other.replayed() || got.Status != "succeeded" {
			t.Errorf("%s", other.body)
		}
		expect(1002)

		// A rejected operation is the answer, too. What was refused before it was accepted is none.
		rejected := ada.post("/v1/accounts/"+ada.account+"/withdrawals", `{"amount":5000}`, key("two"), wait).operation(t, http.StatusOK)
		ada.deposit(8000)
		if again := ada.post("/v1/accounts/"+ada.account+"/withdrawals", `{"amount":5000}`, key("two"), wait); again.operation(t, http.StatusOK).ID != rejected.ID || !again.replayed() {
			t.Errorf("%s", again.body)
		}
		ada.post(deposits, `{"amount":0}`, key("three")).problem(t, http.StatusUnprocessableEntity, "invalid")
		ada.post(deposits, `{"amount":1}`, key("three"), wait).operation(t, http.StatusOK)
		expect(9003)

		long := strings.Repeat("k", 255)
		ada.post(deposits, `{"amount":1}`, key(long), wait).operation(t, http.StatusOK)
		ada.post(deposits, `{"amount":2}`, key(long)).problem(t, http.StatusUnprocessableEntity, "idempotency_key_reused")
		ada.post(deposits, `{"amount":1}`, key(long+"k")).problem(t, http.StatusUnprocessableEntity, "invalid")
		for _, odd := range []string{`"quoted"`, "a b", "ключ", "a,b", "'; --", "\xff\xfe"} {
			first := ada.post(deposits, `{"amount":1}`, key(odd), wait).operation(t, http.StatusOK)
			if again := ada.post(deposits, `{"amount":1}`, key(odd)); again.operation(t, http.StatusAccepted).ID != first.ID {
				t.Errorf("%q: %s", odd, again.body)
			}
		}
		h.audit()
	})
}

// fifty asks the same at once from fifty clients, at each of the processes, and returns the answers.
func fifty(clients []*client, path string, body func(n int) string, k string, options ...option) []answer {
	const clientsAtOnce = 50
	answers := make([]answer, clientsAtOnce)
	var all sync.WaitGroup
	start := make(chan struct{})
	for n := range answers {
		all.Go(func() {
			<-start
			answers[n] = clients[n%len(clients)].post(path, body(n), append([]option{key(k)}, options...)...)
		})
	}
	close(start)
	all.Wait()
	return answers
}

func TestFiftyClientsWithOneKey(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		processes := []*process{h.serve()}
		if !h.embedded {
			processes = append(processes, h.start([]string{"api"}), h.start([]string{"api"}))
		}
		ada := processes[0].user(t)
		var clients []*client
		for _, p := range processes {
			clients = append(clients, ada.at(p))
		}
		deposits := "/v1/accounts/" + ada.account + "/deposits"
		for round := range 4 {
			before := ada.balance()
			options, status := []option(nil), http.StatusAccepted
			if round%2 == 1 {
				options, status = []option{wait}, http.StatusOK
			}
			same := map[string]int{}
			firsts := 0
			for _, a := range fifty(clients, deposits, func(int) string { return `{"amount":3}` }, fmt.Sprint("same-", round), options...) {
				same[a.operation(t, status).ID]++
				if !a.replayed() {
					firsts++
				}
			}
			if len(same) != 1 || firsts != 1 {
				t.Errorf("operations %v, of which %d are said to be first", same, firsts)
			}

			differing, winner := map[string]int{}, int64(0)
			for n, a := range fifty(clients, deposits, func(n int) string { return fmt.Sprintf(`{"amount":%d}`, 10+n%25) }, fmt.Sprint("differing-", round), options...) {
				if a.status == http.StatusUnprocessableEntity {
					a.problem(t, http.StatusUnprocessableEntity, "idempotency_key_reused")
					continue
				}
				differing[a.operation(t, status).ID]++
				winner = int64(10 + n%25)
			}
			if len(differing) != 1 {
				t.Errorf("operations %v", differing)
			}
			ada.deposit(1) // executed after them
			if got := ada.balance(); got != before+3+winner+1 {
				t.Errorf("the balance went from %d to %d, want %d more", before, got, 3+winner+1)
			}
		}
		h.audit()
	})
}

// Keys on what does not wait in line: the answer is the same, secrets included, and nothing is made twice.
func TestKeysOnWhatIsMadeAtOnce(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		processes := []*process{h.serve()}
		if !h.embedded {
			processes = append(processes, h.start([]string{"api"}))
		}
		c := processes[0].client(t)
		register := `{"username":"ada","password":"a-password-of-tests"}`
		signIn := `{"username":"ada","password":"a-password-of-tests"}`

		made := c.post("/v1/users", register, key("r")).expect(t, http.StatusCreated)
		again := c.at(processes[len(processes)-1]).post("/v1/users", register, key("r")).expect(t, http.StatusCreated)
		if string(again.body) != string(made.body) || made.replayed() || !again.replayed() {
			t.Errorf("%s\n%s", made.body, again.body)
		}
		for _, other := range []string{`{"username":"ada","password":"another-password"}`, `{"username":"adam","password":"a-password-of-tests"}`, `{"username":"ada","password":"a-password-of-tests","account_number":"ABCD"}`} {
			c.post("/v1/users", other, key("r")).problem(t, http.StatusUnprocessableEntity, "idempotency_key_reused")
		}
		c.post("/v1/users", register).problem(t, http.StatusConflict, "username_taken")
		c.post("/v1/sessions", signIn, key("r")).problem(t, http.StatusUnprocessableEntity, "idempotency_key_reused")

		session := c.post("/v1/sessions", signIn, key("s")).expect(t, http.StatusCreated)
		if again := c.post("/v1/sessions", signIn, key("s")).expect(t, http.StatusCreated); string(again.body) != string(session.body) || !again.replayed() {
			t.Errorf("%s\n%s", session.body, again.body)
		}
		c.post("/v1/sessions", strings.Replace(signIn, "}", `,"take_over":true}`, 1), key("s")).problem(t, http.StatusUnprocessableEntity, "idempotency_key_reused")
		c.post("/v1/sessions", `{"username":"ada","password":"wrong-password"}`, key("s")).problem(t, http.StatusUnprocessableEntity, "idempotency_key_reused")
		c.post("/v1/sessions", signIn).problem(t, http.StatusConflict, "already_signed_in")

		var signedIn struct{ Token string }
		if err := json.Unmarshal(session.body, &signedIn); err != nil {
			t.Fatal(err)
		}
		ada := *c
		ada.token = signedIn.Token
		ada.get("/v1/users/me").expect(t, http.StatusOK) // repeating has not ended it
		ticket := ada.post("/v1/feed/tickets", "", key("t")).expect(t, http.StatusCreated)
		if again := ada.post("/v1/feed/tickets", "", key("t")).expect(t, http.StatusCreated); string(again.body) != string(ticket.body) || !again.replayed() {
			t.Errorf("%s\n%s", ticket.body, again.body)
		}
		if other := ada.post("/v1/feed/tickets", "", key("u")).expect(t, http.StatusCreated); string(other.body) == string(ticket.body) {
			t.Errorf("two tickets are %s", other.body)
		}
		h.audit()
	})
}

func TestFiftyRegistrationsWithOneKey(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		processes := []*process{h.serve()}
		if !h.embedded {
			processes = append(processes, h.start([]string{"api"}))
		}
		var clients []*client
		for _, p := range processes {
			clients = append(clients, p.client(t))
		}
		for _, c := range []struct{ path, body string }{
			{"/v1/users", `{"username":"ada","password":"a-password-of-tests"}`},
			{"/v1/sessions", `{"username":"ada","password":"a-password-of-tests","take_over":true}`},
		} {
			bodies, firsts, busy := map[string]int{}, 0, 0
			for _, a := range fifty(clients, c.path, func(int) string { return c.body }, c.path) {
				if a.status == http.StatusServiceUnavailable { // too many passwords at once: to be tried again
					a.problem(t, http.StatusServiceUnavailable, "unavailable")
					busy++
					continue
				}
				bodies[string(a.expect(t, http.StatusCreated).body)]++
				if !a.replayed() {
					firsts++
				}
			}
			if len(bodies) != 1 || firsts != 1 {
				t.Errorf("%s: %d answers, %d of them first, %d busy", c.path, len(bodies), firsts, busy)
			}
			t.Logf("%s: %d clients were told to try again", c.path, busy)
		}
		h.audit()
	})
}

// A key outlives the process that took it.
func TestKeysAfterACrash(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		p := h.serve()
		ada := p.user(t)
		deposits := "/v1/accounts/" + ada.account + "/deposits"
		done := ada.post(deposits, `{"amount":3}`, key("done"), wait).operation(t, http.StatusOK)
		p.admin(t).pause(true)
		queued := ada.post(deposits, `{"amount":4}`, key("queued")).operation(t, http.StatusAccepted)
		made := ada.post("/v1/feed/tickets", "", key("made")).expect(t, http.StatusCreated)
		p.kill()

		p = h.serve()
		ada = ada.at(p)
		if again := ada.post(deposits, `{"amount":3}`, key("done"), wait); again.operation(t, http.StatusOK).ID != done.ID || !again.replayed() {
			t.Errorf("%s", again.body)
		}
		if again := ada.post(deposits, `{"amount":4}`, key("queued")); again.operation(t, http.StatusAccepted).ID != queued.ID || !again.replayed() {
			t.Errorf("%s", again.body)
		}
		ada.post(deposits, `{"amount":5}`, key("queued")).problem(t, http.StatusUnprocessableEntity, "idempotency_key_reused")
		if again := ada.post("/v1/feed/tickets", "", key("made")); string(again.body) != string(made.body) || !again.replayed() {
			t.Errorf("%s, before the crash %s", again.body, made.body)
		}
		p.admin(t).pause(false)
		if again := ada.post(deposits, `{"amount":4}`, key("queued"), wait); again.operation(t, http.StatusOK).ID != queued.ID {
			t.Errorf("%s", again.body)
		}
		if got := ada.balance(); got != 7 {
			t.Errorf("the balance is %d, want 7", got)
		}
		h.audit()
	})
}
