package main

import (
	"net/http"
	"testing"
	"time"
)

// While MariaDB is away, whoever is signed in stays so, and streams go on: what needs no database is answered.
func TestSignedInWhileMariaDBIsAway(t *testing.T) {
	for how, away := range map[string]func(*house) error{"killed": (*house).killMariaDB, "frozen": (*house).freezeMariaDB} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			h := newPrivateHouse(t)
			p := h.serve("GUICHET_SESSION_IDLE=40s") // copies of sessions are read anew after 5 s
			ada := p.user(t)
			f := ada.follow("").ready()
			f.finished(ada.deposit(1).ID)
			if err := away(h); err != nil {
				t.Fatal(err)
			}
			var slowest time.Duration
			asked, slow, nobody := 0, 0, p.client(t)
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for began := time.Now(); time.Since(began) < 20*time.Second; asked++ { // a heartbeat of the stream comes after 15 s
				<-tick.C
				asIs := make(chan time.Duration, 1)
				at := time.Now()
				go func() {
					if a, err := nobody.try(http.MethodGet, "/healthz", nil); err != nil || a.status != http.StatusOK {
						t.Errorf("%d %s, %v", a.status, a.body, err)
					}
					asIs <- time.Since(at)
				}()
				ada.get("/v1/users/me").expect(t, http.StatusOK)
				took := time.Since(at)
				took -= min(took, <-asIs) // what a request takes that asks for nothing, the machine takes
				slowest = max(slowest, took)
				if took > 500*time.Millisecond {
					slow++
				}
			}
			t.Logf("away: %d requests, %d of them slow; the slowest was answered after %v", asked, slow, slowest.Round(time.Millisecond))
			if slowest > 3*time.Second || slow > 10 {
				t.Errorf("%d requests were slow, the slowest was answered after %v", slow, slowest)
			}
			if err := h.mariadb.Resume(); err != nil {
				t.Fatal(err)
			}
			if err := h.mariadb.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			ada.served(time.Now())
			f.finished(ada.deposit(1).ID) // on the same stream
			ada.do(http.MethodDelete, "/v1/sessions/current", nil).expect(t, http.StatusNoContent)
			rest := f.end()
			if len(rest) == 0 || rest[len(rest)-1].Event != "session.ended" {
				t.Errorf("%s", brief(rest))
			}
		})
	}
}
