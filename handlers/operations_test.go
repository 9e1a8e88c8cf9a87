package handlers

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"guichet/models/bank"
	"guichet/models/database"
	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/operation"
	"guichet/models/testbed/stores"
)

// inMadeUpTime runs a test in a bubble, in which time passes only while everybody waits. The server's own channels must be of the bubble.
func inMadeUpTime(t *testing.T, test func(t *testing.T, c *counter)) {
	t.Helper()
	t.Parallel()
	c := newCounter(t, stores.SQLite(t))
	synctest.Test(t, func(t *testing.T) {
		c.t, c.closing = t, make(chan struct{})
		c.intakes[bank.Lane] = newIntake(bank.Lane, c.Server)
		test(t, c)
	})
}

// takeOne runs the intake for one submission.
func (c *counter) takeOne() {
	in := c.intakes[bank.Lane]
	in.accept(c.t.Context(), in.gather(<-in.submissions))
}

// newcomer registers Ada and returns what her requests are signed with, and the path of her account.
func (c *counter) newcomer() (authorization, account string) {
	c.t.Helper()
	made := c.expect(c.ask("POST", "/v1/users", ada), 201, "").json
	return "Bearer " + c.signIn(ada), "/v1/accounts/" + made["account_number"].(string)
}

// A preference to wait is honoured once: who waits 7 s in vain is answered after 7 s.
func TestWaitingInVain(t *testing.T) {
	inMadeUpTime(t, func(t *testing.T, c *counter) {
		authorization, account := c.newcomer()
		for _, key := range []string{"", "a-key", "a-key"} {
			go c.takeOne()
			began := time.Now()
			answer := c.ask("POST", account+"/deposits", `{"amount":5}`, "Authorization", authorization, "Prefer", "wait=7", "Idempotency-Key", key)
			if took := time.Since(began); took < 7*time.Second || took > 8*time.Second {
				t.Errorf("key %q: answered after %v, want 7s", key, took)
			}
			if c.expect(answer, 202, ""); answer.json["status"] != "queued" || answer.Header().Get("Preference-Applied") != "" {
				t.Errorf("%v %v", answer.Header(), answer.json)
			}
			began = time.Now()
			look := c.ask("GET", answer.Header().Get("Location")+"?wait=9", "", "Authorization", authorization)
			if took := time.Since(began); took < 9*time.Second || took > 10*time.Second {
				t.Errorf("looked for %v, want 9s", took)
			}
			c.expect(look, 200, "")
		}
		if n := c.Hub.Stats().Waiters; n != 0 {
			t.Errorf("%d waiters are left", n)
		}
	})
}

// execute gives the operation an outcome with a stamp, as a lane in another process would, without telling anybody.
func (c *counter) execute(operationID id.ID, stamp lamport.Stamp) {
	c.t.Helper()
	must(c.t, c.DB.Write(c.t.Context(), func(tx database.Tx) error {
		batch := operation.Batch{ID: operationID, Operations: 1}
		commands, err := operation.Commands(tx, batch)
		if err != nil {
			return err
		}
		if _, err := operation.Take(tx, bank.Lane, []operation.Batch{batch}); err != nil {
			return err
		}
		movement, err := bank.DecodeMovement(commands[0].Kind, commands[0].Payload)
		if err != nil {
			return err
		}
		ledger, err := bank.Load(tx, []string{movement.From, movement.To}, nil)
		if err != nil {
			return err
		}
		at := time.Now()
		entry, refusal := ledger.Move(bank.Cause{OperationID: operationID, Stamp: stamp, At: at}, movement)
		if refusal != nil {
			return refusal
		}
		if err := ledger.Save(tx); err != nil {
			return err
		}
		outcome := operation.Outcome{OperationID: operationID, Sequence: int64(stamp), Status: operation.Succeeded, Lamport: stamp, StartedAt: at, FinishedAt: at,
			Result: bank.AppendResult(nil, ledger.Account(movement.Own), entry)}
		return operation.Conclude(tx, bank.Lane, []operation.Outcome{outcome})
	}))
}

// Whoever reads what another process did has received its stamp: the answer is stamped later.
func TestReadingMergesStamps(t *testing.T) {
	onBothStores(t, func(t *testing.T, c *counter) {
		authorization, account := c.newcomer()
		stamp := lamport.Stamp(1000)
		for _, path := range []string{"/v1/operations/{id}", "/v1/operations?kind=deposit", "/v1/accounts", account, account + "/entries", account + "/balance", account + "/balance?at={at}", account + "/balance?operation={id}"} {
			go c.takeOne()
			made := c.expect(c.ask("POST", account+"/deposits", `{"amount":5}`, "Authorization", authorization), 202, "")
			operationID, err := id.Parse(made.json["id"].(string))
			must(t, err)
			stamp += 1000
			c.execute(operationID, stamp)
			path = strings.NewReplacer("{id}", operationID.String(), "{at}", time.Now().Add(time.Minute).UTC().Format(time.RFC3339)).Replace(path)
			answer := c.expect(c.ask("GET", path, "", "Authorization", authorization), 200, "")
			if sent, err := strconv.ParseInt(answer.Header().Get("Lamport-Time"), 10, 64); err != nil || sent <= int64(stamp) {
				t.Errorf("%s: shows what happened at %d, and is sent at %d", path, stamp, sent)
			}
		}
	})
}

// The clock can be advanced by clients, and not be used up by them.
func TestTheClockCannotBeUsedUp(t *testing.T) {
	inMadeUpTime(t, func(t *testing.T, c *counter) {
		authorization, account := c.newcomer()
		sent := func(stamp lamport.Stamp) lamport.Stamp {
			t.Helper()
			answer := c.expect(c.ask("GET", account, "", "Authorization", authorization, "Lamport-Time", stamp.String()), 200, "")
			got, err := lamport.Parse(answer.Header().Get("Lamport-Time"))
			if err != nil {
				t.Fatalf("sent %d, got %q: %v", stamp, answer.Header().Get("Lamport-Time"), err)
			}
			return got
		}
		if got := sent(1 << 40); got != 1<<40+2 {
			t.Errorf("sent 2^40, got %d", got)
		}
		for range 100 {
			for _, stamp := range []lamport.Stamp{lamport.MaxStamp, lamport.MaxStamp - 1, lamport.MaxStamp - 1<<20} {
				if last := sent(stamp); last > lamport.MaxStamp-1<<30 {
					t.Fatalf("the clock reads %d: %d stamps are left", last, lamport.MaxStamp-last)
				}
			}
		}
		got := sent(lamport.MaxStamp - 1<<40) // as far as one can be led
		for range 100 {                       // and clients that only follow go on
			next := sent(got + 1)
			if next <= got+1 {
				t.Fatalf("sent %d, got %d", got+1, next)
			}
			got = next
		}
	})
}

// deadlines remembers the write deadline of a connection.
type deadlines struct {
	*httptest.ResponseRecorder
	write time.Time
}

func (d *deadlines) SetWriteDeadline(t time.Time) error {
	d.write = t
	return nil
}

// The end of a stream does not wait for a reader that has stopped reading, and no other request inherits its deadline.
func TestStreamsEndWithADeadline(t *testing.T) {
	inMadeUpTime(t, func(t *testing.T, c *counter) {
		authorization, _ := c.newcomer()
		w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/feed", nil)
		r.Header.Set("Authorization", authorization)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			c.ServeHTTP(w, r)
		}()
		synctest.Wait()
		if w.write.IsZero() {
			t.Error("a stream is written without a deadline")
		}
		time.Sleep(14 * time.Second) //nolint:forbidigo // the clock of this bubble is not that of the machine
		c.CloseFeeds()
		<-ended
		if left := time.Until(w.write); left <= 0 || left > time.Minute {
			t.Errorf("the end may take %v", left)
		}
		if w.Header().Get("Connection") != "close" {
			t.Error("the connection is to be used again")
		}
	})
}

// A comment goes out every 15 s, and a session that is watched does not idle.
func TestHeartbeat(t *testing.T) {
	inMadeUpTime(t, func(t *testing.T, c *counter) {
		authorization, _ := c.newcomer()
		w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/feed", nil)
		r.Header.Set("Authorization", authorization)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			c.ServeHTTP(w, r)
		}()
		time.Sleep(2*time.Hour + time.Second) //nolint:forbidigo // the clock of this bubble is not that of the machine
		synctest.Wait()
		text := w.Body.String()
		if beats := strings.Count(text, "\n: "); beats != 2*60*4 {
			t.Errorf("%d heartbeats in two hours", beats)
		}
		if c.expect(c.ask("GET", "/v1/users/me", "", "Authorization", authorization), 200, ""); len(ended) > 0 {
			t.Error("the stream has ended")
		}
		c.CloseFeeds()
		<-ended
	})
}

// Times that JSON cannot show are refused, whatever the offset makes of them.
func TestBalanceAtTheEndsOfTime(t *testing.T) {
	onBothStores(t, func(t *testing.T, c *counter) {
		authorization, account := c.newcomer()
		for at, want := range map[string]int{
			"0000-01-01T00:00:00Z": 200, "9999-12-31T23:59:59Z": 200, "1969-12-31T23:59:59.999999Z": 200,
			"0000-01-01T00:00:00%2B01:00": 422, "9999-12-31T23:59:59-01:00": 422,
			"2026-02-30T00:00:00Z": 400, "2026-11-21": 422, "now": 422, "": 422, "10000-01-01T00:00:00Z": 422,
		} {
			answer := c.ask("GET", account+"/balance?at="+at, "", "Authorization", authorization)
			if answer.Code != want {
				t.Errorf("at=%s: %d %s, want %d", at, answer.Code, answer.Body, want)
			}
			if answer.Code == 200 && answer.json["balance"] != float64(0) {
				t.Errorf("at=%s: %v", at, answer.json)
			}
		}
	})
}

// Text that is no UTF-8 must not reach a store, which would take it for a fault of its own.
func TestBytesThatAreNoText(t *testing.T) {
	onBothStores(t, func(t *testing.T, c *counter) {
		must(t, c.Identity.EnsureAdmin(t.Context(), "admin-of-the-tests", func(tx database.Tx, user id.ID) error {
			_, err := bank.OpenAnyAccount(tx, c.Clock, user, time.Now())
			return err
		}))
		authorization := "Bearer " + c.signIn(`{"username":"admin","password":"admin-of-the-tests"}`)
		cursor := *encodeCursor("\xff\xfe")
		for _, call := range []string{
			"GET /v1/accounts?cursor=" + cursor, "GET /v1/lanes?cursor=" + cursor, "GET /v1/notices?cursor=" + cursor, "GET /v1/operations?cursor=" + cursor,
			"GET /v1/operations?kind=%ff", "GET /v1/operations?kind=%00", "PATCH /v1/lanes/%ff", "PATCH /v1/lanes/%00", "GET /v1/accounts/%ff", "GET /v1/operations/%ff", "GET /v1/feed?topics=%ff",
			"GET /v1/feed?last_event_id=%ff", "POST /v1/operations/%ff/replay", "GET /v1/accounts/AAAA/entries?cursor=" + cursor,
		} {
			method, path, _ := strings.Cut(call, " ")
			body := ""
			if method == http.MethodPatch {
				body = `{"paused":false}`
			}
			answer := c.ask(method, path, body, "Authorization", authorization)
			if answer.Code >= 500 || strings.Contains(path, "%ff") && answer.Code != http.StatusBadRequest {
				t.Errorf("%s: %d %s", call, answer.Code, answer.Body)
			}
		}
	})
}
