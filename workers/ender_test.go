package workers

import (
	"testing"
	"time"

	"guichet/models/id"
	"guichet/models/trips"
)

// What the house ends in vain, as what runs into a fault, is not submitted again and again: each would be a row of the journal for ever.
func TestEndingsInVain(t *testing.T) {
	onBothStores(t, func(t *testing.T, r *rig) {
		owner := r.ids.Next()
		a := &attendance{x: r.executor(), ids: id.NewGenerator(), fenced: func(err error) { t.Error(err) }} // whose counter takes orders, and knows no purchases
		e := ender{kind: trips.KindExpiry, find: heldTooLong, any: trips.AnyHeld}
		expiries := func() int64 { return r.query("SELECT COUNT(*) FROM operations WHERE kind = ?", trips.KindExpiry) }
		end := func() {
			t.Helper()
			if err := e.end(t.Context(), a); err != nil {
				t.Fatal(err)
			}
		}
		again := func() { // until the pause is over, however slow the machine is
			t.Helper()
			until := e.until
			e.until = time.Now().Add(time.Hour)
			before := expiries()
			for range 4 {
				end()
			}
			if n := expiries(); n != before {
				t.Fatalf("%d expiries in a pause", n-before)
			}
			e.until = until
		}
		bought := func() id.ID {
			t.Helper()
			purchase := r.ids.Next()
			r.exec(`INSERT INTO purchases (id, user_id, account, trip_id, class, quantity, price, status, expires_at_us, created_at_us, lamport) VALUES (?, ?, 'A', ?, 'seat', 1, 1, 'held', 5, 1, 1)`,
				purchase[:], owner[:], owner[:])
			return purchase
		}
		// fresh is a purchase that is due and that nobody can end: there is one expiry, and another. A machine that takes as long as the pause after them says nothing.
		fresh := func() {
			t.Helper()
			for tries := 0; ; tries++ {
				purchase := bought()
				r.exec("DELETE FROM held_purchases")
				r.exec("INSERT INTO held_purchases (expires_at_us, purchase_id) VALUES (5, ?)", purchase[:])
				a.x.attempts.Add(1) // as if the lane had made it
				before, began := expiries(), time.Now()
				e.until = began.Add(-time.Millisecond)
				end()
				took := time.Since(began)
				if n := expiries() - before; n == 2 && e.pause == 2*endEvery && !e.until.Before(began.Add(e.pause)) {
					return
				} else if took < 2*endEvery || tries == 20 {
					t.Fatalf("%d expiries in %v, want one and another; the pause is %v, until %v after", n, took, e.pause, e.until.Sub(began))
				}
			}
		}
		first := bought()
		for range 5 {
			end()
		}
		if n := expiries(); n != 0 {
			t.Fatalf("%d expiries of nothing", n)
		}
		if time.Until(e.barren) < endLater/2 {
			t.Errorf("there is nothing to expire, and it is looked for again in %s", time.Until(e.barren))
		}
		r.exec("INSERT INTO held_purchases (expires_at_us, purchase_id) VALUES (5, ?)", first[:])
		end()
		if n := expiries(); n != 0 {
			t.Fatalf("%d expiries, although the lane has executed nothing since there was nothing to expire", n)
		}
		e.barren = time.Time{} // now and then it is looked all the same
		end()
		if n := expiries(); n == 0 {
			t.Fatal("what is due although the lane has executed nothing is never looked for")
		}
		fresh()
		again()
		for range 9 { // each pause is longer, to an end
			before, n, began := e.pause, expiries(), time.Now()
			e.until = began.Add(-time.Millisecond)
			end()
			if got := expiries(); got != n+1 || e.pause < before || e.pause > endLater || e.pause == before && before < endLater || e.until.Before(began.Add(e.pause)) {
				t.Errorf("%d expiries, want %d; the pause was %v and is %v, until %v after", got, n+1, before, e.pause, e.until.Sub(began))
			}
			again()
		}
		fresh() // what is due now is another
		again()
	})
}
