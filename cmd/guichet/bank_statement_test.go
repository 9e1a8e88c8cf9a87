package main

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// line is an entry of a statement.
type line struct {
	ID           string
	OperationID  string `json:"operation_id"`
	Amount       int64
	BalanceAfter int64 `json:"balance_after"`
	Kind         string
	Counterparty string
	Reference    *string
	At           time.Time
	Lamport      int64
}

// statement reads pages until there is no more, calling between after each.
func (c *client) statement(limit int, between func()) []line {
	c.Helper()
	var all []line
	path := fmt.Sprintf("/v1/accounts/%s/entries?limit=%d", c.account, limit)
	for next := path; next != ""; {
		var page struct {
			Items      []line
			NextCursor *string `json:"next_cursor"`
		}
		c.get(next).into(c, http.StatusOK, &page)
		if len(page.Items) > limit || len(page.Items) == 0 && page.NextCursor != nil {
			c.Fatalf("a page of %d with limit %d, next %v", len(page.Items), limit, page.NextCursor)
		}
		all = append(all, page.Items...)
		next = ""
		if page.NextCursor != nil {
			next = path + "&cursor=" + url.QueryEscape(*page.NextCursor)
		}
		between()
	}
	return all
}

func nothing() {}

// checkStatement wants the newest first, each balance the sum of what came before, and stamps and times in order.
func checkStatement(t *testing.T, lines []line, whole bool) {
	t.Helper()
	seen := map[string]bool{}
	for i, l := range lines {
		if seen[l.ID] {
			t.Fatalf("entry %s is there twice", l.ID)
		}
		seen[l.ID] = true
		if i+1 == len(lines) {
			if whole && l.BalanceAfter != l.Amount {
				t.Errorf("the first entry is %+v", l)
			}
			break
		}
		older := lines[i+1]
		if l.BalanceAfter-l.Amount != older.BalanceAfter {
			t.Errorf("%+v follows on %+v", l, older)
		}
		if l.At.Before(older.At) || l.Lamport <= older.Lamport {
			t.Errorf("%+v is older than %+v", l, older)
		}
	}
}

func TestStatement(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		p := h.serve()
		ada, grace, admin := p.user(t), p.user(t), p.admin(t)
		if lines := ada.statement(50, nothing); len(lines) != 0 {
			t.Fatalf("the statement of a new account has %v", lines)
		}
		var operations []string // oldest first
		keep := func(o outcome) { operations = append(operations, o.ID) }
		keep(ada.deposit(1000))
		keep(ada.transfer(grace, 300, wait).operation(t, http.StatusOK))
		keep(ada.post("/v1/transfers", map[string]any{"from": ada.account, "to": grace.account, "amount": 1, "reference": "déjeuner \"<&>\\\n☕"}, wait).operation(t, http.StatusOK))
		keep(grace.transfer(ada, 50, wait).operation(t, http.StatusOK))
		keep(ada.post("/v1/accounts/"+ada.account+"/withdrawals", map[string]any{"amount": 9}, wait).operation(t, http.StatusOK))
		ada.post("/v1/accounts/"+ada.account+"/withdrawals", map[string]any{"amount": 9000}, wait).rejected(t, "insufficient_funds")
		for range 18 { // with the lane paused they are executed in one envelope, and share a time
			if len(operations) == 5 {
				admin.pause(true)
			}
			keep(ada.post("/v1/accounts/"+ada.account+"/deposits", map[string]any{"amount": len(operations)}).operation(t, http.StatusAccepted))
		}
		admin.pause(false)
		ada.get("/v1/operations/"+operations[len(operations)-1]+"?wait=30").expect(t, http.StatusOK)

		whole := ada.statement(200, nothing)
		checkStatement(t, whole, true)
		if len(whole) != len(operations) {
			t.Fatalf("%d entries of %d operations", len(whole), len(operations))
		}
		for i, l := range whole {
			if want := operations[len(operations)-1-i]; l.OperationID != want {
				t.Errorf("entry %d is of operation %s, want %s", i, l.OperationID, want)
			}
		}
		for _, limit := range []int{1, 2, 3, 7, 22, 23, 24, 199} {
			if got := ada.statement(limit, nothing); fmt.Sprint(ids(got)) != fmt.Sprint(ids(whole)) {
				t.Errorf("limit %d: %v", limit, ids(got))
			}
		}
		checkFields(t, whole, grace)
		h.audit()
	})
}

func ids(lines []line) []string {
	all := make([]string, len(lines))
	for i := range lines {
		all[i] = lines[i].ID
	}
	return all
}

func checkFields(t *testing.T, whole []line, grace *client) {
	t.Helper()
	oldest := whole[len(whole)-5:]
	slices.Reverse(oldest)
	reference := "déjeuner \"<&>\\\n☕"
	for i, want := range []line{
		{Amount: 1000, BalanceAfter: 1000, Kind: "deposit", Counterparty: "cash"},
		{Amount: -300, BalanceAfter: 700, Kind: "transfer", Counterparty: grace.account},
		{Amount: -1, BalanceAfter: 699, Kind: "transfer", Counterparty: grace.account, Reference: &reference},
		{Amount: 50, BalanceAfter: 749, Kind: "transfer", Counterparty: grace.account},
		{Amount: -9, BalanceAfter: 740, Kind: "withdrawal", Counterparty: "cash"},
	} {
		got := oldest[i]
		if (got.Reference == nil) != (want.Reference == nil) || got.Reference != nil && *got.Reference != *want.Reference {
			t.Errorf("entry %d has reference %v", i, got.Reference)
		}
		if got.Amount != want.Amount || got.BalanceAfter != want.BalanceAfter || got.Kind != want.Kind || got.Counterparty != want.Counterparty {
			t.Errorf("entry %d is %+v, want %+v", i, got, want)
		}
	}
}

// pause pauses or resumes the bank's lane.
func (c *client) pause(paused bool) {
	c.Helper()
	c.do(http.MethodPatch, "/v1/lanes/bank", map[string]any{"paused": paused}).expect(c, http.StatusOK)
}

// Pages that are read while entries arrive neither overlap nor leave anything out.
func TestStatementWhileEntriesArrive(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		p := h.serve()
		ada, grace := p.user(t), p.user(t)
		ada.deposit(1_000_000)
		var stop atomic.Bool
		var writers sync.WaitGroup
		for range 8 {
			writers.Go(func() {
				for !stop.Load() {
					if o := ada.transfer(grace, 1, wait).operation(t, http.StatusOK); o.Status != "succeeded" {
						t.Errorf("%+v", o)
						return
					}
				}
			})
		}
		for _, limit := range []int{1, 3, 10, 50, 200} {
			eventually(t, "some entries", func() error {
				if ada.balance() > 1_000_000-20 {
					return fmt.Errorf("too few")
				}
				return nil
			})
			checkStatement(t, ada.statement(limit, nothing), true) // whole: from what was the newest down to the first deposit
		}
		stop.Store(true)
		writers.Wait()
		checkStatement(t, grace.statement(200, nothing), true)
		if lines := ada.statement(200, nothing); lines[0].BalanceAfter != ada.balance() {
			t.Errorf("the statement ends at %d, the balance is %d", lines[0].BalanceAfter, ada.balance())
		}
		h.audit()
	})
}

func TestBalanceAsOf(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		p := h.serve()
		ada, grace := p.user(t), p.user(t)
		began := time.Now().Add(-time.Hour)
		for n := range 5 {
			ada.deposit(int64(100 + n))
		}
		fromGrace := func() outcome { grace.deposit(7); return grace.transfer(ada, 7, wait).operation(t, http.StatusOK) }()
		rejected := ada.transfer(grace, 100_000, wait).operation(t, http.StatusOK)
		unrelated := grace.deposit(1)
		balance := func(query string) answer {
			t.Helper()
			return ada.get("/v1/accounts/" + ada.account + "/balance" + query)
		}
		at := func(when time.Time) (amount int64) {
			t.Helper()
			var answer struct {
				Number  string
				Balance int64
				At      time.Time
			}
			balance("?at="+url.QueryEscape(when.Format(time.RFC3339Nano))).into(t, http.StatusOK, &answer)
			if answer.Number != ada.account || !answer.At.Equal(when) || answer.At.Location() != time.UTC {
				t.Errorf("%+v, asked for %v", answer, when)
			}
			return answer.Balance
		}
		lines := ada.statement(200, nothing)
		for i, l := range lines {
			var before int64
			if i+1 < len(lines) {
				before = lines[i+1].BalanceAfter
			}
			for when, want := range map[time.Time]int64{
				l.At: l.BalanceAfter, l.At.Add(-time.Microsecond): before, l.At.Add(999 * time.Nanosecond): l.BalanceAfter,
				l.At.In(time.FixedZone("", 5*3600+1800)): l.BalanceAfter, l.At.In(time.FixedZone("", -7*3600)): l.BalanceAfter,
			} {
				if got := at(when); got != want {
					t.Errorf("at %v: %d, want %d", when, got, want)
				}
			}
			var after struct{ Balance int64 }
			balance("?operation="+l.OperationID).into(t, http.StatusOK, &after)
			if after.Balance != l.BalanceAfter {
				t.Errorf("after operation %s: %d, want %d", l.OperationID, after.Balance, l.BalanceAfter)
			}
		}
		if got := at(began); got != 0 {
			t.Errorf("before everything: %d", got)
		}
		if got, want := at(time.Now().Add(time.Hour)), lines[0].BalanceAfter; got != want || ada.balance() != want {
			t.Errorf("in an hour: %d, want %d", got, want)
		}
		var now struct{ Balance int64 }
		if balance("").into(t, http.StatusOK, &now); now.Balance != lines[0].BalanceAfter {
			t.Errorf("now: %d", now.Balance)
		}
		for _, id := range []string{rejected.ID, unrelated.ID, "00000000-0000-0000-0000-000000000000", "x", fromGrace.ID[:35]} {
			balance("?operation="+id).problem(t, http.StatusNotFound, "not_found")
		}
		balance("?operation="+fromGrace.ID+"&at=2026-11-21T10:00:00Z").problem(t, http.StatusUnprocessableEntity, "invalid")
	})
}

// Every list has the same pages.
func TestLimitsAndCursors(t *testing.T) {
	t.Parallel()
	h := newEmbeddedHouse(t)
	p := h.serve()
	admin := p.admin(t)
	for range 3 {
		admin.deposit(1)
	}
	admin.list("TCB") // as in the contract's examples
	lists := 0
	for _, o := range contractOperations(t) {
		if o.parameter("query", "cursor") == nil {
			continue
		}
		lists++
		path := o.fill(map[string]string{"number": admin.account})
		for query, status := range map[string]int{
			"": 200, "?limit=1": 200, "?limit=200": 200, "?limit=0": 422, "?limit=201": 422, "?limit=-1": 422, "?limit=1.5": 400,
			"?limit=abc": 400, "?limit=": 200, "?limit=99999999999999999999": 400, "?limit=1&limit=2": 400,
			"?cursor=": 422, "?cursor=%21": 400, "?cursor=a": 400, "?cursor=%20": 400, "?cursor=" + url.QueryEscape(base64.StdEncoding.EncodeToString([]byte("\xff\xfe~"))): 400,
			"?cursor=" + base64.RawURLEncoding.EncodeToString(make([]byte, 200)): 422,
		} {
			a := admin.get(path + query)
			if a.status != status {
				t.Errorf("%s%s: %d, want %d\n%s", path, query, a.status, status, a.body)
			}
		}
	}
	if lists < 5 {
		t.Errorf("only %d lists found", lists)
	}
	for _, path := range []string{"/v1/operations", "/v1/notices", "/v1/orders", "/v1/fills", "/v1/accounts/" + admin.account + "/entries"} {
		for _, key := range []string{"x", "1", "1.x", "-1.1", "0.0", "1.99999999999999999999"} {
			admin.get(path+"?cursor="+base64.RawURLEncoding.EncodeToString([]byte(key))).problem(t, http.StatusBadRequest, "malformed")
		}
	}
}
