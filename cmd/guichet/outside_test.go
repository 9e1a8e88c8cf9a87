package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

func TestHealth(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		c := h.serve().client(t)
		for path, want := range map[string]string{"/healthz": `"status":"ok"`, "/readyz": `"database":"ok"`} {
			if a := c.get(path).expect(t, http.StatusOK); !strings.Contains(string(a.body), want) {
				t.Errorf("%s: %s", path, a.body)
			}
		}
	})
}

// Readiness tells of each store by itself; liveness does not depend on them.
func TestReadinessTellsTheTruth(t *testing.T) {
	t.Parallel()
	h := newPrivateHouse(t)
	c := h.serve().client(t)
	ready := func(status int, database, redis string) {
		t.Helper()
		eventually(t, "readiness", func() error {
			var stores struct{ Database, Redis string }
			a := c.get("/readyz")
			if err := json.Unmarshal(a.body, &stores); err != nil {
				t.Fatal(err)
			}
			if a.status != status || stores.Database != database || stores.Redis != redis {
				return fmt.Errorf("%d %s", a.status, a.body)
			}
			return nil
		})
		c.get("/healthz").expect(t, http.StatusOK)
		c.get("/metrics").expect(t, http.StatusOK)
	}
	ready(200, "ok", "ok")
	check(t, h.redis.Stop())
	ready(503, "ok", "away")
	check(t, h.mariadb.Stop())
	ready(503, "away", "away")
	check(t, h.redis.Restart(t.Context()))
	ready(503, "away", "ok")
	check(t, h.mariadb.Restart(t.Context()))
	ready(200, "ok", "ok")
	check(t, h.mariadb.Pause()) // it accepts connections and answers nothing
	ready(503, "away", "ok")
	check(t, h.mariadb.Resume())
	ready(200, "ok", "ok")
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestContractIsServed(t *testing.T) {
	t.Parallel()
	h := newEmbeddedHouse(t)
	c := h.serve().client(t)
	text, err := os.ReadFile("../../openapi.yaml")
	check(t, err)
	var written, served any
	check(t, yaml.Unmarshal(text, &written))
	a := c.get("/openapi.json").expect(t, http.StatusOK)
	check(t, json.Unmarshal(a.body, &served))
	if !strings.HasPrefix(a.header.Get("Content-Type"), "application/json") {
		t.Errorf("sent as %s", a.header.Get("Content-Type"))
	}
	differences(t, "", plain(written), served)
	if a := c.get("/openapi.yaml").expect(t, http.StatusOK); string(a.body) != string(text) {
		t.Error("/openapi.yaml is not the file")
	}
}

// differences tells where two documents differ. Members that say nothing may be left out.
func differences(t *testing.T, at string, want, got any) {
	t.Helper()
	wanted, isObject := want.(map[string]any)
	found, same := got.(map[string]any)
	if !isObject || !same {
		if !reflect.DeepEqual(want, got) {
			t.Errorf("%s: %v is served, %v is written", at, got, want)
		}
		return
	}
	for name := range wanted {
		if found[name] == nil && (wanted[name] == false || reflect.DeepEqual(wanted[name], []any{})) && name != "security" {
			continue
		}
		differences(t, at+"/"+name, wanted[name], found[name])
	}
	for name := range found {
		if _, there := wanted[name]; !there {
			t.Errorf("%s/%s is served, and not written", at, name)
		}
	}
}

var (
	reference = regexp.MustCompile(`(?:src|href)=["']?([^"'\s>]+)`)
	styleURL  = regexp.MustCompile(`(?:url\(|@import\s+)["']?([^"')]+)`)
)

// pages are loaded with everything that they name, which must come from the server itself.
func (c *client) load(t *testing.T, page string, options ...option) {
	t.Helper()
	seen := map[string]bool{}
	line := []string{page}
	for len(line) > 0 {
		path := line[0]
		line = line[1:]
		a := c.get(path, options...).expect(t, http.StatusOK)
		if policy := a.header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'self'") || strings.Contains(policy, "http") {
			t.Errorf("%s: Content-Security-Policy is %q", path, policy)
		}
		kind := a.header.Get("Content-Type")
		var found [][]string
		if strings.HasPrefix(kind, "text/html") {
			found = append(found, reference.FindAllStringSubmatch(string(a.body), -1)...)
		}
		if strings.HasPrefix(kind, "text/html") || strings.HasPrefix(kind, "text/css") {
			found = append(found, styleURL.FindAllStringSubmatch(string(a.body), -1)...)
		}
		for _, match := range found {
			at, err := url.Parse(match[1])
			if err != nil || at.Scheme == "data" || strings.HasPrefix(match[1], "#") || strings.HasPrefix(match[1], "%23") {
				continue
			}
			if at.Host != "" {
				t.Errorf("%s names another host: %s", path, match[1])
				continue
			}
			base, err := url.Parse(path)
			check(t, err)
			if next := base.ResolveReference(at); !seen[next.Path] {
				seen[next.Path] = true
				line = append(line, next.Path)
			}
		}
	}
	if len(seen) == 0 {
		t.Errorf("%s loads nothing: is it a page?", page)
	}
}

func TestDocs(t *testing.T) {
	t.Parallel()
	h := newEmbeddedHouse(t)
	c := h.serve().client(t)
	for from, to := range map[string]string{"/": "/docs/", "/docs": "/docs/"} {
		if a := c.get(from).expect(t, http.StatusFound); a.header.Get("Location") != to {
			t.Errorf("%s leads to %s", from, a.header.Get("Location"))
		}
	}
	c.load(t, "/docs/")
	if page := c.get("/docs/"); !strings.Contains(string(page.body), `"/openapi.yaml"`) {
		t.Errorf("the page does not name the contract: %s", page.body)
	}
}

func TestQueuesAreForAdmins(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		p := h.serve("GUICHET_LOCK_FOR=1s")
		ada, admin, nobody := p.user(t), p.admin(t), p.client(t)
		basic := func(name, password string) option {
			return func(r *http.Request) { r.SetBasicAuth(name, password) }
		}
		ada.deposit(1) // so that the queue is there
		for _, path := range []string{"/queues", "/queues/", "/queues/api/queues", "/queues/static/js/main.js", "/queues/queues/bank"} {
			for _, options := range [][]option{nil, {basic("nobody", "x")}, {header("Authorization", "Bearer x")}, {header("Authorization", "Bearer "+admin.token+"x")}, {header("Authorization", "Basic !")}} {
				a := nobody.get(path, options...).expect(t, http.StatusUnauthorized)
				if !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Basic ") {
					t.Errorf("%s: WWW-Authenticate is %q, so browsers do not ask", path, a.header.Get("WWW-Authenticate"))
				}
			}
			ada.get(path).problem(t, http.StatusForbidden, "forbidden")
			nobody.get(path, basic(ada.username, ada.password)).problem(t, http.StatusForbidden, "forbidden")
		}
		for _, options := range [][]option{{basic("admin", adminPassword)}, {header("Authorization", "Bearer "+admin.token)}} {
			nobody.load(t, "/queues", options...)
			var view struct {
				Queues []struct{ Queue string }
			}
			nobody.get("/queues/api/queues", options...).into(t, http.StatusOK, &view)
			if len(view.Queues) != 1 || view.Queues[0].Queue != "bank" {
				t.Errorf("%+v", view)
			}
		}
		admin.get("/v1/users/me").expect(t, http.StatusOK) // looking at the queues is no sign-in
		for _, call := range []struct{ method, path string }{{http.MethodPost, "/queues/api/queues/bank:pause"}, {http.MethodDelete, "/queues/api/queues/bank"}, {http.MethodPost, "/queues/api/queues/bank/pending_tasks:delete_all"}} {
			if a := admin.do(call.method, call.path, nil); a.status < 400 || a.status >= 500 {
				t.Errorf("%s %s: %d %s", call.method, call.path, a.status, a.body)
			}
		}
		if l := admin.lane(); l.Paused {
			t.Errorf("%+v", l)
		}

		// Guessing is as slow here as at the sign-in.
		for locked := false; !locked; {
			var began time.Time
			for range 3 {
				began = time.Now()
				nobody.get("/queues", basic("admin", "wrong-password")).expect(t, http.StatusUnauthorized)
			}
			a := nobody.get("/queues", basic("admin", "another-guess"))
			if locked = time.Since(began) < time.Second; locked && (a.status != http.StatusTooManyRequests || a.header.Get("Retry-After") == "") { // else the lock may be over
				t.Errorf("%d %s", a.status, a.body)
			}
			eventually(t, "the lock's end", func() error {
				if a := nobody.get("/queues", basic("admin", adminPassword)); a.status != http.StatusOK {
					return fmt.Errorf("%d %s", a.status, a.body)
				}
				return nil
			})
			eventually(t, "the count's", func() error { // so that it can be tried again
				if a := nobody.post("/v1/sessions", map[string]any{"username": "admin", "password": adminPassword, "take_over": true}); a.status != http.StatusCreated {
					return fmt.Errorf("%d %s", a.status, a.body)
				}
				return nil
			})
		}
	})
}
