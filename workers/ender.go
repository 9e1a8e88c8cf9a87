package workers

import (
	"context"
	"time"

	"guichet/models/database"
	"guichet/models/id"
)

const (
	// endEvery is how often a counter looks for what the house has to end because its time is up: for so long, and no longer, others find it as it was.
	endEvery = time.Second
	// endLater is the longest pause after an operation that has changed nothing, as one that ran into a fault: each is a row of the journal for ever. And it is the pause
	// while there is nothing that might have to be ended.
	endLater = time.Minute
)

// ender submits the house's operations of one kind, each of what has to be ended then.
type ender struct {
	kind string
	// find returns what has to be ended as the operation's payload, and the id of the first of it; zero if there is nothing.
	find func(tx database.Tx) (first id.ID, payload any, err error)
	// any says whether there is anything that may have to be ended one day. While there is not, and the lane executes nothing, it is looked for now and then only.
	any    func(tx database.Tx) (bool, error)
	barren time.Time     // for how long, as there was nothing
	asOf   int64         // how many attempts to execute there had been then
	last   id.ID         // the first of the last operation
	pause  time.Duration // before it is submitted again
	until  time.Time     // when that is over
}

// end submits operations until there is nothing to end any more.
func (e *ender) end(ctx context.Context, a *attendance) error {
	for time.Now().After(e.until) {
		attempts := a.x.attempts.Load() // before it is looked: what comes in between is looked for again
		if e.asOf == attempts && time.Now().Before(e.barren) {
			return nil
		}
		first, payload, err := e.find(a.x.db.Read(ctx))
		if err == nil && first.IsZero() {
			var some bool
			some, err = e.any(a.x.db.Read(ctx))
			if e.asOf, e.barren = attempts, (time.Time{}); err == nil && !some {
				e.barren = time.Now().Add(endLater)
			}
		}
		if err != nil || first.IsZero() {
			return err
		}
		if e.last != first {
			e.last, e.pause = first, endEvery
		} else { // it should have ended
			e.pause = min(2*e.pause, endLater)
			e.until = time.Now().Add(e.pause)
		}
		if err := a.submit(ctx, e.kind, payload); err != nil {
			return err
		}
	}
	return nil
}
