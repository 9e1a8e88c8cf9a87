package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"syscall"
	"testing"
	"time"

	"guichet/models/database"
)

// takeoverBound is generous: the tests say what they measured, and the benchmark holds the figure.
const takeoverBound = 15 * time.Second

// served asks for a withdrawal, waits until it is executed, and says how long that was after since.
func (c *client) served(since time.Time) time.Duration {
	c.Helper()
	o := c.post("/v1/accounts/"+c.account+"/withdrawals", map[string]any{"amount": 1}, wait).operation(c, http.StatusOK)
	took := time.Since(since)
	if o.Status != "succeeded" {
		c.Errorf("%+v", o)
	}
	if took > takeoverBound {
		c.Errorf("served after %v", took)
	}
	return took.Round(time.Millisecond)
}

// How long the bank stands still when its holder dies, with and without a transaction open.
func TestTakeover(t *testing.T) {
	t.Parallel()
	h := newRealHouse(t)
	api, w := h.start([]string{"api"}), h.newCrew(2)
	ada := api.user(t)
	ada.deposit(1000)
	for range rounds(t, 2) {
		holder := w.awaitHolder(-1)
		died := time.Now()
		w.workers[holder].kill()
		t.Logf("served %v after kill -9 of an idle holder", ada.served(died))
		w.workers[holder] = h.start([]string{"worker"})
	}

	holder := w.awaitHolder(-1)
	unlock := h.lockUnderLane(ada)
	died := time.Now()
	w.workers[holder].kill()
	unlock()
	t.Logf("served %v after kill -9 of a holder with an open transaction", ada.served(died))
	h.audit()
}

// A holder that is stopped past its lease and resumed writes nothing and ends itself.
func TestStoppedHolder(t *testing.T) {
	t.Parallel()
	h := newRealHouse(t)
	api, w := h.start([]string{"api"}), h.newCrew(2)
	ada, db := api.user(t), h.database()
	ada.deposit(1000)
	c := h.newCrowd(api, 21)
	for round := range rounds(t, 2) {
		c.after(50, 300)
		holder := w.awaitHolder(-1)
		sleeper := w.workers[holder]
		var unlock func()
		where := "under load"
		if round%2 == 1 {
			unlock, where = h.lockUnderLane(ada), "in the middle of a transaction"
		}
		sleeper.signal(syscall.SIGSTOP)
		stopped := time.Now()
		if unlock != nil {
			unlock() // the statement that waited is done, and the sleeper has the rows
		}
		t.Logf("served %v after SIGSTOP %s", ada.served(stopped), where)
		if now := w.awaitHolder(holder); now == holder {
			t.Fatal("nobody has taken over")
		}
		fence := number(t, db, "SELECT fence FROM lanes WHERE name = 'bank'")
		c.after(20, 100)
		sleeper.signal(syscall.SIGCONT)
		await(t, "the end of the holder that was stopped", sleeper.ended)
		if status := sleeper.state.ExitCode(); status != exitLostLane {
			t.Errorf("it ended with %v", sleeper.state)
		}
		c.after(20, 100)
		if now := number(t, db, "SELECT fence FROM lanes WHERE name = 'bank'"); now != fence {
			t.Errorf("the fence went from %d to %d", fence, now)
		}
		w.tend()
	}
	c.finish()
	c.judge()
	holes := number(t, db, "SELECT MAX(sequence) - COUNT(*) FROM outcomes WHERE lane = 'bank'")
	if holes != 0 {
		t.Errorf("%d holes in the sequence", holes)
	}
}

// An API that is stopped in the middle of a transaction, with the row of the lane locked, does not hold the others up for longer than the database
// keeps a silent connection.
func TestStoppedAPI(t *testing.T) {
	t.Parallel()
	h := newRealHouse(t)
	api, other, w := h.start([]string{"api"}), h.start([]string{"api"}), h.newCrew(1)
	ada := other.user(t)
	ada.deposit(1000)

	// A registration waits for the number of an account, after it has locked the row of the lane.
	db := h.database()
	release := h.transaction(db, "INSERT INTO accounts (number, lamport, opened_lamport, opened_at_us) VALUES ('7777777777', 0, 0, 0)")
	go func() { // it is never answered
		_, _ = api.client(t).try(http.MethodPost, "/v1/users", map[string]any{"username": "grace-of-the-stopped", "password": "a-password-of-tests", "account_number": "7777777777"})
	}()
	h.awaitStuck(db, "INSERT INTO accounts%")
	api.signal(syscall.SIGSTOP)
	stopped := time.Now()
	release()
	t.Logf("served %v after SIGSTOP of an API that had the lane's row locked", ada.served(stopped))
	api.signal(syscall.SIGCONT)
	eventually(t, "the resumed API serves", func() error {
		a, err := ada.at(api).try(http.MethodGet, "/v1/users/me", nil)
		if err == nil && a.status != http.StatusOK {
			err = errors.New(string(a.body))
		}
		return err
	})
	w.tend()
	h.audit()
}

// lockUnderLane locks a client's account, and returns when the bank's lane has a transaction open that waits for it.
func (h *house) lockUnderLane(c *client) (unlock func()) {
	h.Helper()
	db := h.database()
	unlock = h.transaction(db, "UPDATE accounts SET lamport = lamport WHERE number = ?", c.account)
	c.post("/v1/accounts/"+c.account+"/withdrawals", map[string]any{"amount": 1}).expect(h, http.StatusAccepted)
	h.awaitStuck(db, "SELECT%FROM accounts%FOR UPDATE")
	return unlock
}

var errRollBack = errors.New("not to be kept")

// transaction executes a statement and keeps the transaction open until it is released, and then rolls it back.
func (h *house) transaction(db *database.DB, statement string, args ...any) (release func()) {
	h.Helper()
	held, end, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- db.Write(context.Background(), func(tx database.Tx) error {
			if _, err := tx.Exec(statement, args...); err != nil {
				return err
			}
			close(held)
			<-end
			return errRollBack
		})
	}()
	select {
	case <-held:
	case err := <-ended:
		h.Fatal(err)
	}
	return func() {
		close(end)
		if err := <-ended; !errors.Is(err, errRollBack) {
			h.Error(err)
		}
	}
}

// awaitStuck waits until a statement like this, on the house's database, has been at it for longer than it takes: it waits for a lock.
func (h *house) awaitStuck(db *database.DB, like string) {
	h.Helper()
	eventually(h, "a statement that waits for a lock", func() error {
		n := number(h, db, "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE DB = DATABASE() AND COMMAND = 'Query' AND TIME_MS > 100 AND INFO LIKE ?", like)
		if n == 0 {
			return fmt.Errorf("none")
		}
		return nil
	})
}
