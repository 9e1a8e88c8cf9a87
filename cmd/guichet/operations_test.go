package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"guichet/models/database"
	"guichet/models/id"
	"guichet/models/operation"
)

// operations reads a list of operations, page by page.
func (c *client) operations(query string) []outcome {
	c.Helper()
	var all []outcome
	for cursor := ""; ; {
		var page struct {
			Items      []outcome
			NextCursor *string `json:"next_cursor"`
		}
		c.get("/v1/operations?limit=3"+query+cursor).into(c, http.StatusOK, &page)
		all = append(all, page.Items...)
		if page.NextCursor == nil {
			return all
		}
		cursor = "&cursor=" + *page.NextCursor
	}
}

func names(operations []outcome) []string {
	all := make([]string, len(operations))
	for i := range operations {
		all[i] = operations[i].ID
	}
	return all
}

func TestListOperations(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		p := h.serve()
		ada, grace, admin := p.user(t), p.user(t), p.admin(t)
		made := map[string][]string{} // by query, newest first
		note := func(o outcome, queries ...string) {
			for _, query := range append(queries, "") {
				made[query] = append([]string{o.ID}, made[query]...)
			}
		}
		path := "/v1/accounts/" + ada.account
		for range 4 {
			note(ada.deposit(10), "&kind=deposit", "&status=succeeded", "&kind=deposit&status=succeeded")
			note(ada.transfer(grace, 1, wait).operation(t, http.StatusOK), "&kind=transfer", "&status=succeeded")
			note(ada.post(path+"/withdrawals", `{"amount":500}`, wait).operation(t, http.StatusOK), "&kind=withdrawal", "&status=rejected")
			grace.deposit(1)
		}
		admin.pause(true)
		for range 4 {
			note(ada.post(path+"/deposits", `{"amount":1}`).operation(t, http.StatusAccepted), "&kind=deposit", "&status=queued", "&kind=deposit&status=queued")
		}
		for _, nobodys := range []string{"&status=failed", "&status=running", "&kind=purchase", "&kind=", "&kind=transfer&status=queued"} {
			if nobodys != "&kind=" {
				made[nobodys] = nil
			}
		}
		for query, want := range made {
			if got := names(ada.operations(query)); !slices.Equal(got, want) {
				t.Errorf("%q: %v, want %v", query, got, want)
			}
		}
		if mine := admin.operations(""); len(mine) != 0 {
			t.Errorf("the admin, who did nothing, sees %v", mine)
		}
		ada.get("/v1/operations?status=done").problem(t, http.StatusUnprocessableEntity, "invalid")
		admin.pause(false)
	})
}

// poison journals an operation of a user's that no rule can execute.
func (h *house) poison(user string) (operationID id.ID) {
	h.Helper()
	owner, err := id.Parse(user)
	if err != nil {
		h.Fatal(err)
	}
	operationID = id.NewGenerator().Next()
	command := operation.Command{ID: operationID, UserID: owner, Lane: "bank", Kind: "nonsense", Payload: []byte(`{}`), Lamport: 1, SubmittedAt: time.Now()}
	err = h.database().Write(context.Background(), func(tx database.Tx) error {
		return operation.Append(tx, "bank", []operation.Command{command})
	})
	if err != nil {
		h.Fatal(err)
	}
	return operationID
}

// A fault parks the operation that ran into it. An admin finds it and has it executed again, once the cause is gone.
func TestReplay(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		p := h.serve()
		ada, grace, admin := p.user(t), p.user(t), p.admin(t)
		var me struct{ ID string }
		ada.get("/v1/users/me").into(t, http.StatusOK, &me)
		feed := ada.follow("", nil)
		poisoned := h.poison(me.ID)
		path := "/v1/operations/" + poisoned.String()
		eventually(t, "the fault", func() error {
			o := ada.get(path+"?wait=10").operation(t, http.StatusOK)
			if o.Status != "failed" {
				return fmt.Errorf("%+v", o)
			}
			if o.Problem == nil || o.Problem.Code != "operation_failed" || o.Position != nil {
				t.Errorf("%+v", o)
			}
			return nil
		})
		ada.deposit(1) // nobody else is held up
		for c, want := range map[*client]int{ada: 1, admin: 1, grace: 0} {
			if got := c.operations("&status=failed"); len(got) != want || want == 1 && got[0].ID != poisoned.String() {
				t.Errorf("%s sees %v", c.username, got)
			}
		}
		grace.get(path).problem(t, http.StatusNotFound, "not_found")
		for _, c := range []*client{ada, grace} {
			c.post(path+"/replay", nil).problem(t, http.StatusForbidden, "forbidden")
		}
		admin.post("/v1/operations/"+id.NewGenerator().Next().String()+"/replay", nil).problem(t, http.StatusNotFound, "not_found")
		admin.post("/v1/operations/"+ada.deposit(1).ID+"/replay", nil).problem(t, http.StatusConflict, "not_replayable")

		if o := admin.post(path+"/replay", nil, wait).operation(t, http.StatusOK); o.Status != "failed" { // the cause is still there
			t.Errorf("%+v", o)
		}
		err := h.database().Write(t.Context(), func(tx database.Tx) error {
			_, err := tx.Exec("UPDATE operations SET kind = 'deposit', payload = ? WHERE id = ?", fmt.Sprintf(`{"account":%q,"amount":7}`, ada.account), poisoned[:])
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		admin.pause(true)
		waiting := ada.post("/v1/accounts/"+ada.account+"/deposits", `{"amount":1}`).operation(t, http.StatusAccepted)
		first := admin.post(path+"/replay", nil, key("again"))
		if o := first.operation(t, http.StatusAccepted); o.Status != "queued" || o.ID != poisoned.String() {
			t.Errorf("%+v", o)
		}
		if again := admin.post(path+"/replay", nil, key("again")); again.operation(t, http.StatusAccepted).Status != "queued" || !again.replayed() {
			t.Errorf("%s", again.body)
		}
		admin.post(path+"/replay", nil).problem(t, http.StatusConflict, "not_replayable") // it is queued
		admin.pause(false)
		if o := ada.get(path+"?wait=30").operation(t, http.StatusOK); o.Status != "succeeded" || o.Result.Account.Balance < 9 {
			t.Errorf("%+v", o)
		}
		ada.get("/v1/operations/"+waiting.ID+"?wait=30").operation(t, http.StatusOK)
		admin.post(path+"/replay", nil).problem(t, http.StatusConflict, "not_replayable")
		if again := admin.post(path+"/replay", nil, key("again"), wait); again.operation(t, http.StatusOK).Status != "succeeded" || !again.replayed() {
			t.Errorf("%s", again.body)
		}
		if got := ada.balance(); got != 10 {
			t.Errorf("the balance is %d, want 10", got)
		}
		told := feed.until(func(e feedEntry) bool {
			return e.Event == "operation.finished" && e.Data.ID == poisoned.String() && e.Data.Status == "succeeded"
		})
		finished := 0
		for _, e := range told {
			if e.Event == "operation.finished" && e.Data.ID == poisoned.String() {
				finished++
			}
		}
		if finished != 3 {
			t.Errorf("its end was told %d times, want 3", finished)
		}
	})
}
