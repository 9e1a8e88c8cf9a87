package main

import (
	"context"
	"strings"
	"testing"
	"time"
)

// raceOn runs rounds against a fake, which answers 503 for a moment where Redis would be killed.
func raceOn(t *testing.T, f *fakeEvents, rounds ...int) (*race, error) {
	t.Helper()
	h := startFakeEvents(t, f)
	crash := func(ctx context.Context) error {
		f.mu.Lock()
		f.away = true
		if f.forgetful {
			f.forget()
		}
		f.mu.Unlock()
		waitUntil(ctx, time.Now().Add(20*time.Millisecond), nil)
		f.mu.Lock()
		f.away = false
		f.mu.Unlock()
		return nil
	}
	r, err := h.openRace(t.Context(), &person{username: "admin", token: "admin"}, 60, crash)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.close)
	r.patience = 300 * time.Millisecond // the map of the fake is never behind
	for _, n := range rounds {
		if err := r.round(t.Context(), n); err != nil {
			return r, err
		}
	}
	return r, r.checkTickets(t.Context())
}

func TestRaceOnSoundSeats(t *testing.T) {
	t.Parallel()
	r, err := raceOn(t, &fakeEvents{}, 0, 1, 8)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.oversold) != 0 || r.missing != 0 || r.unclaimed != 0 || r.crashes != 2 {
		t.Error(r.words(3))
	}
	if r.released == 0 || r.paid != r.made-r.released || r.paid < 3*raceRows*seatsPerRow/3 || r.refused == 0 || r.times.quantiles().count == 0 {
		t.Error(r.words(3))
	}
}

func TestRaceFindsSeatsSoldTwice(t *testing.T) {
	t.Parallel()
	r, err := raceOn(t, &fakeEvents{oversell: 3, freeMoney: true}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.oversold) == 0 {
		t.Error(r.words(1))
	}
}

func TestRaceFindsReservationsThatACrashLost(t *testing.T) {
	t.Parallel()
	r, err := raceOn(t, &fakeEvents{forgetful: true}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if r.missing != 1 {
		t.Error(r.words(1))
	}
}

func TestRaceFindsSeatsThatNobodyHas(t *testing.T) {
	t.Parallel()
	if _, err := raceOn(t, &fakeEvents{quietTheft: true}, 0); err == nil || !strings.Contains(err.Error(), "1 seats of event event0 are taken") {
		t.Errorf("a seat without owner: %v", err)
	}
}

func TestCompareKnowsWhatWasAliveAtOnce(t *testing.T) {
	t.Parallel()
	at := func(ms int) time.Time { return time.UnixMilli(int64(ms)) }
	tests := []struct {
		name   string
		claims []*claim
		want   int
	}{
		{"one after the other", []*claim{{id: "a", from: at(1), until: at(3)}, {id: "b", from: at(3), until: at(5)}, {id: "c", from: at(6)}}, 0},
		{"answered before the other was let go of", []*claim{{id: "a", from: at(1), until: at(3)}, {id: "b", from: at(2)}}, 1},
		{"in any order", []*claim{{id: "b", from: at(2)}, {id: "a", from: at(1)}}, 1},
		{"within the first", []*claim{{id: "a", from: at(1), until: at(9)}, {id: "b", from: at(10), until: at(11)}, {id: "c", from: at(8), until: at(9)}}, 1},
	}
	for _, test := range tests {
		r := &race{oversold: map[string]bool{}}
		for _, c := range test.claims {
			c.seats = []string{"A-1-1"}
		}
		r.compare(hall{event: "e"}, append(test.claims, &claim{id: "z", seats: []string{"A-1-2"}, from: at(1)}))
		if len(r.oversold) != test.want {
			t.Errorf("%s: %v", test.name, r.oversold)
		}
	}
}
