package handlers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"guichet/models/bank"
	"guichet/models/database"
	"guichet/models/events"
	"guichet/models/exchange"
	"guichet/models/feed"
	"guichet/models/files"
	"guichet/models/id"
	"guichet/models/identity"
	"guichet/models/lamport"
	"guichet/models/operation"
	"guichet/models/testbed"
	"guichet/models/testbed/stores"
	"guichet/models/ticket"
	"guichet/models/trips"
)

func TestMain(m *testing.M) { testbed.Main(m) }

// counter is a server without workers, enough for what does not wait in line.
type counter struct {
	*Server
	t *testing.T
}

func onBothStores(t *testing.T, test func(t *testing.T, c *counter)) {
	t.Helper()
	stores.Each(t, func(t *testing.T, db *database.DB) { test(t, newCounter(t, db)) })
}

func newCounter(t *testing.T, db *database.DB) *counter {
	t.Helper()
	lanes := []string{bank.Lane, trips.Lane, events.Lane, files.Lane, exchange.LaneName(0), exchange.LaneName(1)}
	must(t, operation.EnsureLanes(t.Context(), db, lanes))
	address := miniredis.RunT(t).Addr()
	client := redis.NewClient(&redis.Options{Addr: address})
	t.Cleanup(func() { _ = client.Close() })
	storage, err := files.OpenDirectory(t.TempDir())
	must(t, err)
	clock, ids, log := &lamport.Clock{}, id.NewGenerator(), feed.NewLog(db)
	s, err := NewServer(Config{
		DB: db, Redis: client, RedisOptions: &redis.UniversalOptions{Addrs: []string{address}}, Clock: clock, IDs: ids, Hub: feed.NewHub(log, clock), Log: log,
		Identity: identity.New(db, ids, clock, identity.Options{HashWait: time.Minute}), Lanes: lanes, ExchangeLanes: 2, LaneDepth: 100, Hold: 10 * time.Minute, Tickets: ticket.NewSigner([32]byte{1}),
		Wake: func(string) {}, Metrics: prometheus.NewRegistry(), Version: "test",
		Files: storage, FileLimit: 1 << 20, FileQuota: 3 << 20, FilePatience: time.Second,
	})
	must(t, err)
	return &counter{s, t}
}

// reply is an answer and its JSON.
type reply struct {
	*httptest.ResponseRecorder
	json map[string]any
}

// ask sends a request; options are pairs of header names and values.
func (c *counter) ask(method, path, body string, headers ...string) reply {
	r := httptest.NewRequestWithContext(c.t.Context(), method, path, bytes.NewBufferString(body))
	r.Header.Set("Content-Type", "application/json")
	for k := 0; k < len(headers); k += 2 {
		r.Header.Set(headers[k], headers[k+1])
	}
	w := httptest.NewRecorder()
	c.ServeHTTP(w, r)
	answer := reply{w, nil}
	if w.Body.Len() > 0 {
		if err := json.Unmarshal(w.Body.Bytes(), &answer.json); err != nil {
			c.t.Errorf("%s %s: %v in %s", method, path, err, w.Body)
		}
	}
	return answer
}

func (c *counter) expect(got reply, status int, code string) reply {
	c.t.Helper()
	if found, _ := got.json["code"].(string); got.Code != status || found != code {
		c.t.Fatalf("%d %q, want %d %q: %s", got.Code, found, status, code, got.Body)
	}
	return got
}

const ada = `{"username":"Ada","password":"correct-horse-battery"}`

func (c *counter) signIn(body string) (token string) {
	c.t.Helper()
	return c.expect(c.ask("POST", "/v1/sessions", body), 201, "").json["token"].(string)
}

func (c *counter) count(from string) (n int) {
	c.t.Helper()
	must(c.t, c.DB.Read(c.t.Context()).Gorm().Raw("SELECT COUNT(*) FROM "+from).Row().Scan(&n))
	return n
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestCreateUser(t *testing.T) {
	onBothStores(t, func(t *testing.T, c *counter) {
		user := c.expect(c.ask("POST", "/v1/users", `{"username":"ＡＤＡ","password":"correct-horse-battery"}`), 201, "").json
		if number := user["account_number"].(string); user["username"] != "ADA" || user["role"] != "user" || !regexp.MustCompile(`^[1-9][0-9]{9}$`).MatchString(number) {
			t.Errorf("made %v", user)
		}
		c.expect(c.ask("POST", "/v1/users", ada), 409, "username_taken")
		c.expect(c.ask("POST", "/v1/users", `{"username":"admin","password":"correct-horse-battery"}`), 409, "username_taken")
		chosen := c.expect(c.ask("POST", "/v1/users", `{"username":"grace","password":"correct-horse-battery","account_number":"ID1234"}`), 201, "").json
		if chosen["account_number"] != "ID1234" {
			t.Errorf("made %v", chosen)
		}
		c.expect(c.ask("POST", "/v1/users", `{"username":"edith","password":"correct-horse-battery","account_number":"ID1234"}`), 409, "account_number_taken")
		refused := c.expect(c.ask("POST", "/v1/users", `{"username":"a\u200bb","password":"correct-horse-battery"}`), 422, "invalid").json
		if pointer := refused["errors"].([]any)[0].(map[string]any)["pointer"]; pointer != "/username" {
			t.Errorf("points to %v", pointer)
		}
		if users, accounts := c.count("users"), c.count("accounts WHERE user_id IS NOT NULL"); users != 2 || accounts != 2 {
			t.Errorf("%d users, %d accounts", users, accounts)
		}
	})
}

func TestSessions(t *testing.T) {
	onBothStores(t, func(t *testing.T, c *counter) {
		c.expect(c.ask("POST", "/v1/sessions", ada), 401, "unknown_username")
		made := c.expect(c.ask("POST", "/v1/users", ada), 201, "").json
		session := c.expect(c.ask("POST", "/v1/sessions", ada), 201, "").json
		if fmt.Sprint(session["user"]) != fmt.Sprint(made) || len(session["notices"].([]any)) != 0 {
			t.Errorf("signed in as %v, registered as %v", session["user"], made)
		}
		token := "Bearer " + session["token"].(string)
		if me := c.expect(c.ask("GET", "/v1/users/me", "", "Authorization", token), 200, "").json; fmt.Sprint(me) != fmt.Sprint(made) {
			t.Errorf("is %v, registered as %v", me, made)
		}
		c.expect(c.ask("POST", "/v1/sessions", ada), 409, "already_signed_in")
		second := "Bearer " + c.signIn(`{"username":"ada","password":"correct-horse-battery","take_over":true}`)
		c.expect(c.ask("GET", "/v1/users/me", "", "Authorization", token), 401, "unauthorized")
		c.expect(c.ask("DELETE", "/v1/sessions/current", "", "Authorization", second), 204, "")
		c.expect(c.ask("DELETE", "/v1/sessions/current", "", "Authorization", second), 401, "unauthorized")
		c.signIn(ada)
	})
}

func TestThreeWrongPasswords(t *testing.T) {
	onBothStores(t, func(t *testing.T, c *counter) {
		c.expect(c.ask("POST", "/v1/users", ada), 201, "")
		for _, left := range []float64{2, 1, 0} {
			refused := c.expect(c.ask("POST", "/v1/sessions", `{"username":"ada","password":"x"}`), 401, "wrong_password")
			if refused.json["attempts_left"] != left {
				t.Errorf("%v attempts left, want %v", refused.json["attempts_left"], left)
			}
		}
		locked := c.expect(c.ask("POST", "/v1/sessions", ada), 429, "too_many_attempts")
		if after := locked.Header().Get("Retry-After"); after != "300" && after != "299" && after != "298" {
			t.Errorf("Retry-After: %s", after)
		}
	})
}

func TestRegisteringTwiceWithOneKey(t *testing.T) {
	onBothStores(t, func(t *testing.T, c *counter) {
		key := []string{"Idempotency-Key", "k1"}
		var wg sync.WaitGroup
		replies := make([]reply, 8)
		for k := range replies {
			wg.Go(func() { replies[k] = c.ask("POST", "/v1/users", ada, key...) })
		}
		wg.Wait()
		first := 0
		for _, r := range replies {
			c.expect(r, 201, "")
			if r.Header().Get("Idempotency-Replayed") == "" {
				first++
			}
			if fmt.Sprint(r.json) != fmt.Sprint(replies[0].json) {
				t.Errorf("%v and %v", r.json, replies[0].json)
			}
		}
		if first != 1 || c.count("users") != 1 {
			t.Errorf("%d answers were the first, %d users", first, c.count("users"))
		}
		c.expect(c.ask("POST", "/v1/users", `{"username":"grace","password":"correct-horse-battery"}`, key...), 422, "idempotency_key_reused")
		c.expect(c.ask("POST", "/v1/users", `{"username":"Ada","password":"staple-horse-battery"}`, key...), 422, "idempotency_key_reused")
		c.expect(c.ask("POST", "/v1/sessions", ada, key...), 422, "idempotency_key_reused")
		// A refusal leaves the key free.
		c.expect(c.ask("POST", "/v1/users", ada, "Idempotency-Key", "k2"), 409, "username_taken")
		c.expect(c.ask("POST", "/v1/users", `{"username":"grace","password":"correct-horse-battery"}`, "Idempotency-Key", "k2"), 201, "")
	})
}

func TestSigningInTwiceWithOneKey(t *testing.T) {
	onBothStores(t, func(t *testing.T, c *counter) {
		c.expect(c.ask("POST", "/v1/users", ada), 201, "")
		for _, body := range []string{ada, `{"username":"Ada","password":"correct-horse-battery","take_over":true}`} {
			key := []string{"Idempotency-Key", body}
			var wg sync.WaitGroup
			replies := make([]reply, 8)
			for k := range replies {
				wg.Go(func() { replies[k] = c.ask("POST", "/v1/sessions", body, key...) })
			}
			wg.Wait()
			first := 0
			for _, r := range replies {
				c.expect(r, 201, "")
				if r.Header().Get("Idempotency-Replayed") == "" {
					first++
				}
				if r.json["token"] != replies[0].json["token"] {
					t.Error("the tokens differ")
				}
			}
			if first != 1 {
				t.Errorf("%d answers were the first", first)
			}
			c.expect(c.ask("GET", "/v1/users/me", "", "Authorization", "Bearer "+replies[0].json["token"].(string)), 200, "")
			for _, what := range []string{"token", "gct_"} {
				if n := c.count("idempotency_keys WHERE body LIKE '%" + what + "%'"); n != 0 {
					t.Errorf("%d answers are kept in the clear", n)
				}
			}
		}
		// Whoever guesses passwords this way gains nothing: each counts.
		key := []string{"Idempotency-Key", ada}
		for range 3 {
			c.expect(c.ask("POST", "/v1/sessions", `{"username":"Ada","password":"x"}`, key...), 422, "idempotency_key_reused")
		}
		c.expect(c.ask("POST", "/v1/sessions", ada, key...), 429, "too_many_attempts")
	})
}

func TestFeedTicketTwiceWithOneKey(t *testing.T) {
	onBothStores(t, func(t *testing.T, c *counter) {
		c.expect(c.ask("POST", "/v1/users", ada), 201, "")
		bearer := []string{"Authorization", "Bearer " + c.signIn(ada), "Idempotency-Key", "k1"}
		first := c.expect(c.ask("POST", "/v1/feed/tickets", "", bearer...), 201, "")
		second := c.expect(c.ask("POST", "/v1/feed/tickets", "", bearer...), 201, "")
		if first.json["ticket"] != second.json["ticket"] || second.Header().Get("Idempotency-Replayed") != "true" || c.count("feed_tickets") != 1 {
			t.Errorf("%v, %v", first.json, second.json)
		}
		other := c.expect(c.ask("POST", "/v1/feed/tickets", "", bearer[:2]...), 201, "")
		if other.json["ticket"] == first.json["ticket"] {
			t.Error("without the key, the same ticket")
		}
		c.expect(c.ask("POST", "/v1/feed/tickets", ""), 401, "unauthorized")
	})
}

func TestNotices(t *testing.T) {
	onBothStores(t, func(t *testing.T, c *counter) {
		made := c.expect(c.ask("POST", "/v1/users", ada), 201, "").json
		user, err := id.Parse(made["id"].(string))
		must(t, err)
		must(t, c.DB.Write(t.Context(), func(tx database.Tx) error {
			for k := range 5 {
				n := identity.Notice{ID: c.IDs.Next(), UserID: user, Kind: "announcement", Text: fmt.Sprint(k), Data: json.RawMessage(`{"n":9007199254740993}`), At: time.Now()}
				if err := identity.AddNotices(tx, n); err != nil {
					return err
				}
			}
			return nil
		}))
		session := c.expect(c.ask("POST", "/v1/sessions", ada), 201, "")
		if n := len(session.json["notices"].([]any)); n != 5 || !bytes.Contains(session.Body.Bytes(), []byte(`{"n":9007199254740993}`)) {
			t.Errorf("%d notices: %s", n, session.Body)
		}
		bearer := []string{"Authorization", "Bearer " + session.json["token"].(string)}
		texts, path := "", "/v1/notices?limit=2"
		for path != "" {
			page := c.expect(c.ask("GET", path, "", bearer...), 200, "").json
			for _, n := range page["items"].([]any) {
				texts += n.(map[string]any)["text"].(string)
			}
			path = ""
			if next, more := page["next_cursor"].(string); more {
				path = "/v1/notices?limit=2&cursor=" + next
			}
		}
		if texts != "43210" {
			t.Errorf("listed %s", texts)
		}
		c.expect(c.ask("GET", "/v1/notices?cursor=nonsense", "", bearer...), 400, "malformed")
	})
}
