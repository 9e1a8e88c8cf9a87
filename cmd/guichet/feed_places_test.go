package main

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"guichet/models/database"
)

// places waits until the reader was told of a place of each operation, and returns the last that it was told.
func (f *feedReader) places(operations ...outcome) []int64 {
	f.Helper()
	places := make([]int64, len(operations))
	f.await("places in line", func() bool {
		for i, o := range operations {
			places[i] = -1
			for _, e := range f.queued {
				if e.Data.ID == o.ID && e.Data.Position != nil {
					places[i] = *e.Data.Position
				}
			}
			if places[i] < 0 {
				return false
			}
		}
		return true
	})
	return places
}

// Who waits for long is told their place in line, on every stream of theirs, whichever process accepted the operation. It is not told again.
func TestPlaceInLineIsTold(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		near := h.serve()
		far := near
		if !h.embedded {
			far = h.start([]string{"api"})
		}
		ada, grace, admin := near.user(t), near.user(t), near.admin(t)
		ada.deposit(1000)
		before := ada.follow("").ready()
		before.finished(ada.deposit(1000).ID)
		at := before.position()
		admin.pause(true)
		var hers []outcome
		for n := range 6 {
			if n%3 == 1 {
				grace.at(far).post("/v1/accounts/"+grace.account+"/deposits", map[string]any{"amount": 1}).expect(t, http.StatusAccepted)
				continue
			}
			hers = append(hers, ada.transfer(grace, 1).operation(t, http.StatusAccepted))
		}
		var want []int64 // 0, 2, 3 and 5, unless two processes accepted operations within a millisecond
		for _, o := range hers {
			want = append(want, *ada.get("/v1/operations/"+o.ID).operation(t, http.StatusOK).Position)
		}
		same := ada.after(at)
		for name, f := range map[string]*feedReader{"open before": before, "resumed": same, "elsewhere": ada.at(far).follow("").ready()} {
			for i, place := range f.places(hers...) {
				if place != want[i] {
					t.Errorf("%s: operation %d is told to be at %d, want %d", name, i, place, want[i])
				}
			}
			f.mu.Lock()
			told, last := len(f.queued), f.last
			for _, e := range f.queued {
				if e.Data.Status != "queued" || e.Data.Kind != "transfer" || time.Since(e.Data.At) > patience {
					t.Errorf("%s: told %s", name, e.Text)
				}
			}
			f.mu.Unlock()
			if told != len(hers) {
				t.Errorf("%s: %d places are told, want %d", name, told, len(hers))
			}
			if last < at || f != before && last > before.position() {
				t.Errorf("%s: a browser would resume from %d, and the feed was at %d", name, last, at)
			}
		}
		if now := before.position(); now != at {
			t.Errorf("places in line have moved a reader from %d to %d", at, now)
		}
		admin.pause(false)
		for _, o := range hers {
			before.finished(o.ID)
		}
		again := ada.after(at)
		again.finished(hers[len(hers)-1].ID)
		if len(again.queued) != 0 {
			t.Errorf("told again: %s", brief(again.queued))
		}
		h.audit()
	})
}

// Nobody is told to have fallen back in line, or to wait for what is done.
func TestPlacesOnTheFeedNeverGoUp(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		p := h.serve()
		ada, admin := p.user(t), p.admin(t)
		ada.deposit(1000)
		admin.pause(true)
		line := make([]outcome, 4)
		for i := range line {
			line[i] = ada.post("/v1/accounts/"+ada.account+"/withdrawals", map[string]any{"amount": 1}).operation(t, http.StatusAccepted)
		}
		f := ada.follow("").ready()
		f.places(line...)
		// The lane serves the line when it is resumed, and is paused again behind it: what comes then is the first.
		admin.pause(false)
		f.finished(line[len(line)-1].ID)
		admin.pause(true)
		next := ada.post("/v1/accounts/"+ada.account+"/withdrawals", map[string]any{"amount": 1}).operation(t, http.StatusAccepted)
		if got := f.places(next); got[0] != 0 {
			t.Errorf("the first in line is told to be at %d", got[0])
		}
		f.mu.Lock()
		last := map[string]int64{}
		for _, e := range f.queued {
			if before, told := last[e.Data.ID]; told && *e.Data.Position >= before {
				t.Errorf("operation %s went from place %d to %d", e.Data.ID, before, *e.Data.Position)
			}
			last[e.Data.ID] = *e.Data.Position
		}
		f.mu.Unlock()
		admin.pause(false)
		f.finished(next.ID)
		h.audit()
	})
}

// A lane that is busy is no different: whoever is being served has nobody ahead.
func TestPlaceInLineWhileTheLaneIsBusy(t *testing.T) {
	t.Parallel()
	h := newRealHouse(t)
	p := h.serve()
	ada := p.user(t)
	ada.deposit(1)
	f := ada.follow("").ready()
	locked, release, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() { // somebody who holds the account's row
		done <- h.database().Write(context.Background(), func(tx database.Tx) error {
			if _, err := tx.Exec("UPDATE accounts SET held = held WHERE number = ?", ada.account); err != nil {
				return err
			}
			close(locked)
			<-release
			return nil
		})
	}()
	<-locked
	path := "/v1/accounts/" + ada.account + "/deposits"
	served := ada.post(path, `{"amount":1}`).operation(t, http.StatusAccepted)
	eventually(t, "running", func() error {
		if o := ada.get("/v1/operations/"+served.ID).operation(t, http.StatusOK); o.Status != "running" {
			return fmt.Errorf("%+v", o)
		}
		return nil
	})
	waits := ada.post(path, `{"amount":1}`).operation(t, http.StatusAccepted)
	if got := f.places(served, waits); got[0] != 0 || got[1] != 1 {
		t.Errorf("told to be at %v", got)
	}
	close(release)
	check(t, <-done)
	f.finished(waits.ID)
}
