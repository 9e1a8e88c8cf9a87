package identity

import (
	"context"
	"database/sql/driver"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"guichet/models/database"
	"guichet/models/id"
	"guichet/models/testbed"
	"guichet/models/testbed/stores"
)

func TestOutage(t *testing.T) {
	t.Parallel()
	var o outage
	at := time.UnixMicro(1_000_000_000)
	may := func(what string, want bool) {
		t.Helper()
		if o.mayAsk(at) != want {
			t.Errorf("%s: mayAsk is %t", what, !want)
		}
	}
	may("at first", true)
	may("at first, at the same time", true)
	o.report(at, true, false)
	may("just after a failure", false)
	at = at.Add(askPause - 1)
	may("at the end of the pause", false)
	at = at.Add(1)
	may("after the pause", true)
	may("while another asks", false)
	o.report(at, false, false) // its client went away
	may("after one who did not wait", true)
	o.report(at, true, false)
	may("after the next failure", false)
	at = at.Add(-time.Hour)
	may("with the clock set back", true)
	o.report(at, true, true)
	may("after an answer", true)
	may("after an answer, at the same time", true)
}

// storeAway asks as if for a row in a store that is away, and counts.
type storeAway struct {
	asked atomic.Int64
	err   error
}

func (s *storeAway) find(database.Tx) (Session, time.Time, bool, error) {
	s.asked.Add(1)
	return Session{}, time.Time{}, false, s.err
}

func TestCopiesStandInForAStoreThatIsAway(t *testing.T) {
	onBothStores(t, func(t *testing.T, f *fixture) {
		i := f.process()
		f.register(t, i, "ada")
		signedIn := f.signIn(t, i, "ada")
		_, kept := i.copies.ofSession(signedIn.ID)
		away := &storeAway{err: driver.ErrBadConn}
		ask := func(store *storeAway, copyOf *sessionCopy) error {
			current, err := i.current(t.Context(), copyOf, f.time.Now(), store.find)
			if err == nil && current != copyOf {
				t.Errorf("another copy: %+v", current)
			}
			return err
		}
		f.time.advance(15 * time.Second)
		for range 50 {
			must(t, ask(away, kept))
		}
		if away.asked.Load() != 1 {
			t.Errorf("a store that is away was asked %d times at one moment", away.asked.Load())
		}
		for range 500 { // until ten minutes after the row was read, but for 15 s
			f.time.advance(1_140 * time.Millisecond)
			for _, err := range together(4, func(int) error { return ask(away, kept) }) {
				must(t, err)
			}
		}
		if got := away.asked.Load(); got < 501 || got > 1200 { // who comes when the one who asks has its answer asks again, if a pause has passed
			t.Errorf("asked %d times in 500 pauses", got)
		}
		if used := kept.lastUse().at; !used.Equal(f.time.Now()) || !kept.unsaved.Load() {
			t.Errorf("used at %v, and known to be used at %v", f.time.Now(), used)
		}
		f.time.advance(15 * time.Second)
		if err := ask(away, kept); !errors.Is(err, driver.ErrBadConn) {
			t.Errorf("ten minutes after the row was read: %v", err)
		}

		// Nothing else stands in for the store, and for a store that answers nothing does.
		fresh := newSessionCopy(kept.session, f.time.Now(), f.time.Now())
		i.copies.put(hashOf{1}, fresh, i.copies.forgotten())
		f.time.advance(time.Minute)
		if err := ask(away, nil); !errors.Is(err, driver.ErrBadConn) {
			t.Errorf("no copy: %v", err)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		f.time.advance(time.Second)
		if _, err := i.current(gone, fresh, f.time.Now(), (&storeAway{err: context.Canceled}).find); !errors.Is(err, context.Canceled) {
			t.Errorf("who asked went away: %v", err)
		}
		for _, refusal := range []error{errors.New("a bug"), ErrUnauthenticated} {
			f.time.advance(time.Second)
			if err := ask(&storeAway{err: refusal}, fresh); !errors.Is(err, refusal) {
				t.Errorf("the store says %v: %v", refusal, err)
			}
		}
		must(t, ask(away, fresh))
		f.time.advance(time.Second)
		ended := &storeAway{err: driver.ErrBadConn}
		if _, err := i.current(t.Context(), fresh, f.time.Now(), func(tx database.Tx) (Session, time.Time, bool, error) {
			i.Forget(fresh.session.ID) // the feed tells of its end
			return ended.find(tx)
		}); !errors.Is(err, driver.ErrBadConn) {
			t.Errorf("ended while the store was asked: %v", err)
		}
	})
}

// A copy that has not been used for the idle timeout stands in for nothing, however young it is.
func TestIdleCopiesDoNotStandIn(t *testing.T) {
	onBothStores(t, func(t *testing.T, f *fixture) {
		i := f.process()
		i.options.IdleTimeout = 8 * time.Minute
		kept := newSessionCopy(Session{ID: id.NewGenerator().Next()}, f.time.Now(), f.time.Now())
		i.copies.put(hashOf{1}, kept, i.copies.forgotten())
		away := &storeAway{err: driver.ErrBadConn}
		f.time.advance(8*time.Minute - time.Microsecond)
		_, err := i.current(t.Context(), kept, f.time.Now(), away.find)
		must(t, err)
		kept.lastSeen.Store(kept.readAt.UnixMicro())
		f.time.advance(time.Microsecond)
		if _, err := i.current(t.Context(), kept, f.time.Now(), away.find); !errors.Is(err, driver.ErrBadConn) {
			t.Errorf("idle: %v", err)
		}
	})
}

// While MariaDB is killed, or frozen, who is signed in stays it, and hardly anybody waits. When it is back, it is asked again.
func TestSignedInWhileMariaDBIsAway(t *testing.T) {
	for how, away := range map[string]func(*testbed.MariaDB) error{"killed": (*testbed.MariaDB).Kill, "frozen": (*testbed.MariaDB).Pause} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			server := testbed.PrivateMariaDB(t, testbed.Options{})
			must(t, server.CreateDatabase(t.Context(), "guichet"))
			f := &fixture{db: stores.MySQL(t, server.DSN("guichet")), ids: id.NewGenerator(), time: &fakeTime{now: time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)}}
			here, there := f.process(), f.process()
			f.register(t, here, "ada")
			signedIn := f.signIn(t, here, "ada")
			must(t, away(server))
			for round, tries := 0, 0; round < 4; tries++ {
				f.time.advance(16 * time.Second)
				began := time.Now()
				for _, err := range together(50, func(k int) error {
					if k%2 == 0 {
						return here.Touch(t.Context(), signedIn.Session)
					}
					_, err := here.Authenticate(t.Context(), signedIn.Token)
					return err
				}) {
					must(t, err)
				}
				atOnce := time.Since(began)
				t.Logf("away: 50 requests at once after %v", atOnce.Round(time.Millisecond))
				began = time.Now()
				for range 50 { // in a second in which the store is known to be away
					_, err := here.Authenticate(t.Context(), signedIn.Token)
					must(t, err)
				}
				inARow := time.Since(began)
				if atOnce <= 2*renewPatience && inARow <= renewPatience {
					round++
				} else if tries == 20 { // a machine that stands still now and then may keep them waiting, too
					t.Fatalf("round %d: the slowest of 50 requests at once waited %v; 50 requests, one after the other, took %v", round, atOnce, inARow)
				}
			}
			if _, err := there.Authenticate(t.Context(), signedIn.Token); !database.IsTransient(err) {
				t.Errorf("where nobody knows the token: %v", err)
			}
			must(t, server.Resume())
			must(t, server.Restart(t.Context()))
			must(t, there.SignOut(t.Context(), signedIn.Session))
			f.time.advance(16 * time.Second)
			for tries := 0; ; tries++ { // the first may be on connections that are dead
				_, err := here.Authenticate(t.Context(), signedIn.Token)
				if errors.Is(err, ErrUnauthenticated) {
					break
				}
				if must(t, err); tries == 10 {
					t.Fatal("signed out when the store was back, and still signed in here")
				}
				f.time.advance(askPause)
			}
		})
	}
}
