package audit

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"guichet/models/bank"
	"guichet/models/database"
	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/operation"
)

// TestLive audits a store while two lanes, each passed on between two processes whose clocks are far apart, move the money of the same accounts, and users
// register. Whatever moment an audit sees, it must hold.
func TestLive(t *testing.T) {
	onBothStores(t, func(t *testing.T, h *house) {
		crowd := newCrowd(h)
		crowd.workers[1].slow = time.Hour
		crowd.audit(60, nothingElse, crowd.moveCash, crowd.holdMoney, crowd.register)
	})
}

// nothingElse is missing from what an audit is to see.
func nothingElse() string { return "" }

// audit audits the store while each kind of work is done over and over, until some operations have been replayed and nothing is missing from what they should
// have led to. How much of each kind is done in that time is the machine's affair, so it is waited for, as long as anybody would.
func (c *crowd) audit(atLeast int64, missing func() string, works ...func(*rand.Rand)) {
	c.Helper()
	const audits = 6
	deadline := time.Now().Add(3 * time.Minute)
	stop := make(chan struct{})
	var working sync.WaitGroup
	defer working.Wait()
	defer close(stop)
	for i, work := range works {
		working.Go(func() {
			for r := rand.New(rand.NewPCG(1, uint64(i))); ; {
				select {
				case <-stop:
					return
				default:
					work(r)
				}
			}
		})
	}
	var replayed int64
	for n := 0; n < audits || (replayed < atLeast || missing() != "") && !c.Failed(); n++ {
		if time.Now().After(deadline) {
			c.Errorf("after %d audits, the last of which replayed %d operations: %s", n, replayed, missing())
			break
		}
		report, err := Run(c.Context(), c.db)
		if err != nil {
			c.Errorf("audit %d: %v", n, err)
			break
		}
		if !report.Holds() {
			c.Errorf("audit %d:%s", n, findings(report.Checks))
			break
		}
		replayed = report.Checks[len(report.Checks)-1].Checked
	}
}

// fewer says so if a count of these is below the least that is wanted.
func (c *crowd) fewer(least int, what, count string, args ...any) string {
	n := 0
	must(c, c.db.Read(c.Context()).Gorm().Raw(count, args...).Row().Scan(&n))
	if n < least {
		return fmt.Sprintf("there are only %d %s", n, what)
	}
	return ""
}

// crowd is processes that work on the same store at the same time.
type crowd struct {
	*house
	doors, workers [2]*process

	mu    sync.Mutex
	names int // how many accounts are open
}

func newCrowd(h *house) *crowd {
	c := &crowd{house: h}
	for i := range 2 {
		c.doors[i], c.workers[i] = h.process(lamport.Stamp(i)*100_000), h.process(lamport.Stamp(1-i)*1_000_000)
	}
	c.register(nil)
	c.register(nil)
	return c
}

func (c *crowd) register(*rand.Rand) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.names == 20 {
		return
	}
	number := fmt.Sprintf("ACCOUNT%d", c.names)
	c.again(func(tx database.Tx) error {
		return bank.OpenAccount(tx, &c.doors[0].clock, number, c.doors[0].ids.Next(), time.Now())
	})
	c.names++
}

// again writes until no other transaction is in the way.
func (c *crowd) again(write func(tx database.Tx) error) {
	for {
		err := c.db.Write(context.WithoutCancel(c.Context()), write)
		if err == nil {
			return
		}
		if !database.IsTransient(err) {
			c.Errorf("%v", err)
			return
		}
	}
}

// anyone is the number of an account, which now and then is not open yet.
func (c *crowd) anyone(r *rand.Rand) string { return fmt.Sprintf("ACCOUNT%d", r.IntN(20)) }

func (c *crowd) moveCash(r *rand.Rand) {
	commands := []command{deposit(c.anyone(r), 50), withdrawal(c.anyone(r), 30)}
	for from, n := r.IntN(10), 0; n < r.IntN(10); n++ {
		commands = append(commands, transfer(fmt.Sprintf("ACCOUNT%d", from), fmt.Sprintf("ACCOUNT%d", 10+r.IntN(10)), 20, ""))
	}
	door, worker := c.doors[r.IntN(2)], c.workers[r.IntN(2)]
	e := door.accept(bank.Lane, commands...)
	if r.IntN(4) > 0 {
		c.again(func(tx database.Tx) error { return worker.executeIn(tx, e, nil) })
		return
	}
	c.again(func(tx database.Tx) error { return worker.executeIn(tx, e, []int{0}) })
	replayed, err := operation.NewJournal(c.db).Replay(context.WithoutCancel(c.Context()), e.Commands[0].ID, nil)
	if err != nil {
		c.Errorf("replaying: %v", err)
		return
	}
	again := &operation.Envelope{}
	again.Add(replayed.Batch, replayed.Commands)
	c.again(func(tx database.Tx) error { return worker.executeIn(tx, again, nil) })
}

func (c *crowd) holdMoney(r *rand.Rand) {
	account := fmt.Sprintf("ACCOUNT%d", r.IntN(2)) // these are open from the start
	door, worker := c.doors[r.IntN(2)], c.workers[r.IntN(2)]
	e := door.accept(holdsLane, authorise(account, 10))
	c.again(func(tx database.Tx) error { return worker.executeIn(tx, e, nil) })
	o, err := operation.NewJournal(c.db).Get(context.WithoutCancel(c.Context()), e.Commands[0].ID, id.ID{})
	if err != nil || o.Status() != operation.Succeeded {
		return
	}
	hold := e.Commands[0].ID
	end := []command{capture(hold, account, "ACCOUNT1", 6), release(hold, account, 4)}
	if account == "ACCOUNT1" || r.IntN(2) == 0 {
		end = []command{release(hold, account, 3)}
	}
	e = door.accept(holdsLane, end...)
	c.again(func(tx database.Tx) error { return worker.executeIn(tx, e, nil) })
}
