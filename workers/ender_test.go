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
		owner, purchase := r.ids.Next(), r.ids.Next()
		r.exec(`INSERT INTO purchases (id, user_id, account, trip_id, class, quantity, price, status, expires_at_us, created_at_us, lamport) VALUES (?, ?, 'A', ?, 'seat', 1, 1, 'held', 5, 1, 1)`,
			purchase[:], owner[:], owner[:])
		a := &attendance{x: r.executor(), ids: id.NewGenerator(), fenced: func(err error) { t.Error(err) }} // whose counter takes orders, and knows no purchases
		e := ender{kind: trips.KindExpiry, find: heldTooLong, any: trips.AnyHeld}
		submitted := func() int64 {
			t.Helper()
			for range 5 {
				if err := e.end(t.Context(), a); err != nil {
					t.Fatal(err)
				}
			}
			return r.query("SELECT COUNT(*) FROM operations WHERE kind = ?", trips.KindExpiry)
		}
		if n := submitted(); n != 0 {
			t.Fatalf("%d expiries of nothing", n)
		}
		r.exec("INSERT INTO held_purchases (expires_at_us, purchase_id) VALUES (5, ?)", purchase[:])
		if n := submitted(); n != 0 {
			t.Fatalf("%d expiries, although the lane has executed nothing since there was nothing to expire", n)
		}
		a.x.attempts.Add(1)
		if n := submitted(); n != 2 {
			t.Fatalf("%d expiries, want one and another", n)
		}
		for n := int64(3); n < 12; n++ { // each pause is longer, to an end
			before := e.pause
			e.until = time.Now()
			<-time.After(time.Millisecond)
			if got := submitted(); got != n || e.pause < before || e.pause > endLater || e.pause == before && before < endLater {
				t.Errorf("%d expiries, want %d; the pause was %v and is %v", got, n, before, e.pause)
			}
		}
		other := r.ids.Next()
		r.exec("DELETE FROM held_purchases")
		e.until = time.Now().Add(-1)
		if submitted(); time.Until(e.barren) < endLater/2 {
			t.Errorf("there is nothing to expire, and it is looked for again in %s", time.Until(e.barren))
		}
		e.until, e.barren = time.Now(), time.Time{} // now and then it is looked all the same
		<-time.After(time.Millisecond)
		r.exec(`INSERT INTO purchases (id, user_id, account, trip_id, class, quantity, price, status, expires_at_us, created_at_us, lamport) VALUES (?, ?, 'A', ?, 'seat', 1, 1, 'held', 5, 1, 1)`,
			other[:], owner[:], owner[:])
		r.exec("INSERT INTO held_purchases (expires_at_us, purchase_id) VALUES (5, ?)", other[:])
		if n := submitted(); n != 13 || e.pause != 2*endEvery { // what is due now is another
			t.Errorf("%d expiries, and the pause is %v", n, e.pause)
		}
	})
}
