package main

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"guichet/models/bank"
	"guichet/models/database"
	"guichet/models/id"
	"guichet/models/operation"
)

// An operation that runs into a fault fails, is found by the admin, fails again when it is replayed, and succeeds when the fault is mended.
func TestReplayOfFailedOperation(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		p := h.serve()
		ada, grace, admin := p.user(t), p.user(t), p.admin(t)
		ada.deposit(1000)
		db := h.database()
		base := h.journal(db, ada, `{"from": 5, "what": "is this"}`, h.payload(ada, grace, 20), `[]`, h.payload(ada, grace, 3))
		bad, path := base, "/v1/operations/"+base.String()

		status := func(operation id.ID) outcome {
			return ada.get("/v1/operations/"+operation.String()+"?wait=30").operation(t, http.StatusOK)
		}
		for i, want := range []string{"failed", "succeeded", "failed", "succeeded"} {
			if o := status(base.WithIndex(i)); o.Status != want || want == "failed" && (o.Problem == nil || o.Problem.Code != "operation_failed") {
				t.Fatalf("operation %d: %+v", i, o)
			}
		}
		var failed struct{ Items []outcome }
		admin.get("/v1/operations?status=failed").into(t, http.StatusOK, &failed)
		if len(failed.Items) != 2 {
			t.Errorf("the admin finds %d that failed, want 2", len(failed.Items))
		}
		ada.post(path+"/replay", nil).problem(t, http.StatusForbidden, "forbidden")
		admin.post("/v1/operations/"+base.WithIndex(1).String()+"/replay", nil).problem(t, http.StatusConflict, "not_replayable")
		if o := admin.post(path+"/replay", nil, wait).operation(t, http.StatusOK); o.Status != "failed" {
			t.Fatalf("replayed: %+v", o)
		}

		h.mend(db, bad, h.payload(ada, grace, 100))
		key := header("Idempotency-Key", "once")
		o := admin.post(path+"/replay", nil, wait, key).operation(t, http.StatusOK)
		again := admin.post(path+"/replay", nil, wait, key)
		if o.Status != "succeeded" || o.ID != bad.String() || again.operation(t, http.StatusOK).Status != "succeeded" || again.header.Get("Idempotency-Replayed") != "true" {
			t.Errorf("replayed: %+v, and with the same key: %s", o, again.body)
		}
		admin.post(path+"/replay", nil).problem(t, http.StatusConflict, "not_replayable")
		if a, g := ada.balance(), grace.balance(); a != 1000-123 || g != 123 {
			t.Errorf("ada has %d and grace %d", a, g)
		}
		h.audit()
	})
}

func (h *house) payload(from, to *client, amount int64) string {
	h.Helper()
	text, err := json.Marshal(map[string]any{"from": from.account, "to": to.account, "amount": amount})
	if err != nil {
		h.Fatal(err)
	}
	return string(text)
}

// journal writes a batch of transfers with these payloads straight into the store, as an intake that died before it could enqueue.
func (h *house) journal(db *database.DB, user *client, payloads ...string) id.ID {
	h.Helper()
	var me struct{ ID string }
	user.get("/v1/users/me").into(h, http.StatusOK, &me)
	owner, err := id.Parse(me.ID)
	if err != nil {
		h.Fatal(err)
	}
	base := id.NewGenerator().Next()
	commands := make([]operation.Command, len(payloads))
	for i := range commands {
		commands[i] = operation.Command{
			ID: base.WithIndex(i), UserID: owner, Lane: bank.Lane, Kind: bank.KindTransfer, Payload: json.RawMessage(payloads[i]), Lamport: 1, SubmittedAt: time.Now().UTC(),
		}
	}
	if err := db.Write(context.Background(), func(tx database.Tx) error { return operation.Append(tx, bank.Lane, commands) }); err != nil {
		h.Fatal(err)
	}
	return base
}

// mend changes the payload of an operation, as only somebody with their hands in the database can.
func (h *house) mend(db *database.DB, operation id.ID, payload string) {
	h.Helper()
	err := db.Write(context.Background(), func(tx database.Tx) error {
		_, err := tx.Exec("UPDATE operations SET payload = ? WHERE id = ?", payload, operation[:])
		return err
	})
	if err != nil {
		h.Fatal(err)
	}
}

// A process that is told to stop finishes what it has in hand and ends with status 0; nothing acknowledged is lost.
func TestOrderlyStop(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		c := h.newCrowd(h.serve(), 41)
		for range rounds(t, 2) {
			c.after(50, 300)
			if status := c.api.Load().stop(); status != 0 {
				t.Errorf("stopped with status %d\n%s", status, c.api.Load().tail(40))
			}
			c.api.Store(h.serve())
		}
		c.after(50, 100)
		c.finish()
		c.judge()
	})
}

func TestOrderlyStopOfWorkers(t *testing.T) {
	t.Parallel()
	h := newRealHouse(t)
	api, w := h.start([]string{"api"}), h.newCrew(2)
	ada := api.user(t)
	ada.deposit(1000)
	c := h.newCrowd(api, 42)
	for range rounds(t, 3) {
		c.after(50, 200)
		holder := w.awaitHolder(-1)
		if status := w.workers[holder].stop(); status != 0 {
			t.Errorf("stopped with status %d\n%s", status, w.workers[holder].tail(40))
		}
		t.Logf("served %v after an orderly stop", ada.served(time.Now()))
		w.workers[holder] = h.start([]string{"worker"})
	}
	admin := api.admin(t)
	admin.do(http.MethodPatch, "/v1/lanes/bank", map[string]any{"paused": true}).expect(t, http.StatusOK)
	ada.post("/v1/accounts/"+ada.account+"/withdrawals", map[string]any{"amount": 1}).expect(t, http.StatusAccepted)
	holder := w.awaitHolder(-1)
	stopping := time.Now()
	if status := w.workers[holder].stop(); status != 0 {
		t.Errorf("stopped with status %d\n%s", status, w.workers[holder].tail(40))
	}
	t.Logf("stopped within %v while the lane was paused", time.Since(stopping).Round(time.Millisecond))
	w.workers[holder] = h.start([]string{"worker"})
	admin.do(http.MethodPatch, "/v1/lanes/bank", map[string]any{"paused": false}).expect(t, http.StatusOK)
	c.after(20, 50)
	c.finish()
	c.judge()
}
