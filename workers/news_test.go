package workers

import (
	"errors"
	"sync"
	"testing"
	"time"

	"guichet/models/database"
	"guichet/models/feed"
	"guichet/models/operation"
)

// What a paused lane keeps from running is never said to run, however long it takes the lane to find out.
func TestPausedIsNotRunning(t *testing.T) {
	onBothStores(t, func(t *testing.T, r *rig) {
		hub := feed.NewHub(feed.NewLog(r.db), &r.clock)
		go hub.Run(t.Context(), nil)
		x := r.executor()
		x.publisher = feed.NewPublisher(hub, nil)
		e := r.journal(order{Text: "a"})
		r.pause(true)
		locked, release, done := make(chan struct{}), make(chan struct{}), make(chan error, 2)
		go func() {
			done <- r.db.Write(t.Context(), func(tx database.Tx) error {
				_, err := operation.LockLane(tx, fakeLane)
				close(locked)
				<-release
				return err
			})
		}()
		<-locked
		go func() { done <- x.execute(t.Context(), e) }()
		look := time.NewTicker(runningNews / 10)
		defer look.Stop()
		for looks := range 60 { // six times as long as it takes to say so, and half of it after the lane has found out
			<-look.C
			if !hub.RunningSince(fakeLane, e.Commands[0].ID).IsZero() {
				t.Fatal("it runs")
			}
			if looks == 30 {
				close(release)
			}
		}
		r.pause(false)
		for range 2 {
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestNews(t *testing.T) {
	t.Parallel()
	told := make(chan bool, 10)
	n := news{tell: func(running bool) { told <- running }}
	expect := func(want bool) {
		t.Helper()
		select {
		case got := <-told:
			if got != want {
				t.Errorf("told %t", got)
			}
		case <-time.After(patience):
			t.Fatal("not told")
		}
	}
	n.withdraw() // what others may have told
	expect(false)
	n.withdraw()
	n.begin()
	n.begin()
	expect(true)
	n.begin()
	n.withdraw()
	expect(false)
	n.begin()
	expect(true)
	n.end()
	n.begin()
	n.end()
	if len(told) != 0 {
		t.Errorf("told %t", <-told)
	}
}

// What others were told to be running by somebody else does not run any more when the lane is found paused: by a holder that was killed since, or by the envelope that is
// executed one by one.
func TestPausedWasRunning(t *testing.T) {
	for name, tell := range map[string]func(r *rig, runs func() bool, hub *feed.Hub, e *operation.Envelope, told chan<- struct{}){
		"a former holder": func(r *rig, runs func() bool, hub *feed.Hub, e *operation.Envelope, told chan<- struct{}) {
			r.pause(true)
			hub.Offer(feed.Publication{Lane: fakeLane, Running: batchIDs(e.Batches)})
			for !runs() {
				pause(r.Context(), time.Millisecond)
			}
			close(told)
		},
		"before it was split": func(r *rig, runs func() bool, _ *feed.Hub, _ *operation.Envelope, told chan<- struct{}) {
			var once sync.Once
			r.counter.onStore = func(database.Tx) {
				once.Do(func() {
					for !runs() {
						pause(r.Context(), time.Millisecond)
					}
					go func() { // it is next in line for the lane's row
						r.pause(true)
						close(told)
					}()
					pause(r.Context(), runningNews)
				})
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			onBothStores(t, func(t *testing.T, r *rig) {
				hub := feed.NewHub(feed.NewLog(r.db), &r.clock)
				go hub.Run(t.Context(), nil)
				x := r.executor()
				x.publisher = feed.NewPublisher(hub, nil)
				e := r.journal(order{Text: "a"}, order{Text: "much too long"})
				runs := func() bool {
					return !hub.RunningSince(fakeLane, e.Commands[0].ID).IsZero() || !hub.RunningSince(fakeLane, e.Commands[1].ID).IsZero()
				}
				told, done := make(chan struct{}), make(chan error, 1)
				tell(r, runs, hub, e, told)
				go func() { done <- x.execute(t.Context(), e) }()
				<-told
				eventually(t, func() error {
					if runs() {
						return errors.New("it runs")
					}
					return nil
				})
				pause(t.Context(), 2*runningNews)
				if runs() {
					t.Error("it runs again")
				}
				r.pause(false)
				if err := <-done; err != nil {
					t.Fatal(err)
				}
				r.expectStatuses("succeeded", "failed")
			})
		})
	}
}
