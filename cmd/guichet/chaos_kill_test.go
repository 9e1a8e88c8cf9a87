package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"guichet/models/testbed"
)

// crew is workers with a supervisor: one that ends because it lost its lane is started again.
type crew struct {
	*house
	workers []*process
}

func (h *house) newCrew(n int) *crew {
	h.Helper()
	w := &crew{house: h}
	for range n {
		w.workers = append(w.workers, h.start([]string{"worker"}))
	}
	return w
}

// tend starts those again that have ended, and says how many had.
func (w *crew) tend() (ended int) {
	w.Helper()
	for i, p := range w.workers {
		select {
		case <-p.ended:
		default:
			continue
		}
		ended++
		status := p.state.ExitCode()
		foundNoStore := status == exitFault && strings.Count(p.tail(2), "\n") == 0 // it was started while one was away, and said so
		if status != exitLostLane && !foundNoStore {
			w.Errorf("a worker has ended: %v\n%s", p.state, p.tail(40))
		}
		w.workers[i] = w.start([]string{"worker"})
	}
	return ended
}

// kill kills a worker and starts another in its place.
func (w *crew) kill(n int) {
	w.Helper()
	w.workers[n].kill()
	w.workers[n] = w.start([]string{"worker"})
}

// holderOf is which worker holds a lane, as the store has it: -1 for none of them.
func (w *crew) holderOf(lane string) int {
	w.Helper()
	db := w.database()
	defer db.Close() //nolint:errcheck // only read
	var name string
	if err := db.Read(context.Background()).Gorm().Raw("SELECT holder FROM lanes WHERE name = ?", lane).Row().Scan(&name); err != nil {
		w.Fatal(err)
	}
	for i, p := range w.workers {
		if strings.Contains(name, fmt.Sprintf(":%d:", p.command.Process.Pid)) {
			return i
		}
	}
	return -1
}

// awaitHolder waits until one of the workers holds the bank's lane, other than not.
func (w *crew) awaitHolder(not int) int {
	w.Helper()
	return w.awaitHolderOf("bank", not)
}

func (w *crew) awaitHolderOf(lane string, not int) int {
	w.Helper()
	holder := -1
	eventually(w, "a holder", func() error {
		if holder = w.holderOf(lane); holder < 0 || holder == not {
			return fmt.Errorf("held by %d", holder)
		}
		return nil
	})
	return holder
}

func TestChaosWorkerKilled(t *testing.T) {
	t.Parallel()
	h := newRealHouse(t)
	api, w := h.start([]string{"api"}), h.newCrew(2)
	c := h.newCrowd(api, 11)
	for round := range rounds(t, 4) {
		c.after(50, 400)
		victim := w.awaitHolder(-1)
		if round%4 == 3 {
			victim = 1 - victim // the standby, for once
		}
		w.kill(victim)
	}
	c.after(100, 200)
	c.finish()
	w.tend()
	c.judge()
}

func TestChaosAPIKilled(t *testing.T) {
	t.Parallel()
	h := newRealHouse(t)
	api, w := h.start([]string{"api"}), h.newCrew(1)
	c := h.newCrowd(api, 12)
	for range rounds(t, 5) {
		c.after(50, 400)
		c.api.Load().kill()
		c.api.Store(h.start([]string{"api"}))
	}
	c.after(100, 200)
	c.finish()
	w.tend()
	c.judge()
}

func TestChaosAllInOneKilled(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		c := h.newCrowd(h.serve(), 13)
		for range rounds(t, 5) {
			c.after(50, 400)
			c.api.Load().kill()
			c.api.Store(h.serve())
		}
		c.after(100, 200)
		c.finish()
		c.judge()
	})
}

// Redis is killed, its data removed, and started empty.
func TestChaosRedisWiped(t *testing.T) {
	t.Parallel()
	h := newPrivateRedisHouse(t)
	api, w := h.start([]string{"api"}), h.newCrew(2)
	c := h.newCrowd(api, 14)
	for range rounds(t, 5) {
		c.after(50, 400)
		if err := h.redis.Wipe(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.after(100, 200)
		w.tend()
	}
	c.after(100, 200)
	c.finish()
	w.tend()
	c.judge()
}

func TestChaosRedisWipedUnderAllInOne(t *testing.T) {
	t.Parallel()
	h := newPrivateRedisHouse(t)
	c := h.newCrowd(h.serve(), 15)
	for range rounds(t, 4) {
		c.after(50, 400)
		if err := h.redis.Wipe(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	c.after(100, 200)
	c.finish()
	c.judge()
}

func TestChaosMariaDBKilled(t *testing.T) {
	t.Parallel()
	h := newPrivateHouse(t)
	api, w := h.start([]string{"api"}), h.newCrew(2)
	c := h.newCrowd(api, 16)
	for range rounds(t, 3) {
		c.after(50, 400)
		if err := h.mariadb.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := h.mariadb.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.tend()
	}
	c.after(100, 200)
	c.finish()
	w.tend()
	c.judge()
}

// Everything at once: two APIs, two workers, and one accident after the other, sometimes before the last one is over.
func TestChaosEverything(t *testing.T) {
	t.Parallel()
	h := newPrivateHouse(t)
	api, other, w := h.start([]string{"api"}), h.start([]string{"api"}), h.newCrew(2)
	c := h.newCrowd(api, 17)
	c.otherAPI.Store(other)
	accidents := []func() error{
		func() error { w.kill(c.random.IntN(2)); return nil },
		func() error { c.api.Load().kill(); c.api.Store(h.start([]string{"api"})); return nil },
		func() error { c.otherAPI.Load().kill(); c.otherAPI.Store(h.start([]string{"api"})); return nil },
		func() error { return h.redis.Wipe(t.Context()) },
		func() error { return errors.Join(h.redis.Kill(), h.redis.Restart(t.Context())) },
		func() error { return errors.Join(h.mariadb.Kill(), h.mariadb.Restart(t.Context())) },
		func() error { // a worker sleeps through what comes next
			sleeper := w.workers[c.random.IntN(2)]
			sleeper.signal(syscall.SIGSTOP)
			c.after(1, 20)
			sleeper.signal(syscall.SIGCONT)
			return nil
		},
	}
	for range rounds(t, 2) {
		for _, n := range c.random.Perm(len(accidents)) {
			if err := accidents[n](); err != nil {
				t.Fatal(err)
			}
			w.tend()
			if c.random.IntN(3) > 0 {
				c.after(1, 60)
			}
		}
	}
	c.after(50, 100)
	c.finish()
	w.tend()
	c.judge()
}

// newPrivateRedisHouse has a database on the shared MariaDB, and a Redis that the test may kill.
func newPrivateRedisHouse(t *testing.T) *house {
	redis := testbed.PrivateRedis(t, testbed.Options{})
	h := realHouse(t, testbed.MySQL(t), redis.URL())
	h.redis = redis
	return h
}
