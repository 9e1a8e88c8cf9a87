package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// fakeEvents is as much of the events' counter as the race asks for, with faults to be found. A bearer token is a user's name.
type fakeEvents struct {
	mu           sync.Mutex
	reservations map[string]*fakeReservation
	halls        map[string]map[string]string // by event and seat: the reservation
	away         bool                         // answers 503
	made         int

	oversell   int  // every so-many-th named request takes its seats whoever has them
	forgetful  bool // a crash loses the last reservation
	freeMoney  bool // whoever pays is paid, though another has the seat
	quietTheft bool // takes a seat in each hall for nobody
}

type fakeReservation struct {
	ID      string   `json:"id"`
	Event   string   `json:"event"`
	Seats   []string `json:"seats"`
	Status  string   `json:"status"`
	Tickets []string `json:"tickets"`
	user    string
}

func startFakeEvents(t *testing.T, f *fakeEvents) *house {
	t.Helper()
	f.reservations, f.halls = map[string]*fakeReservation{}, map[string]map[string]string{}
	mux := http.NewServeMux()
	for pattern, serve := range map[string]func(*http.Request, string) (int, any){
		"POST /v1/events": f.announce, "GET /v1/events/{id}/seats": f.seats, "POST /v1/events/{id}/reservations": f.reserve,
		"GET /v1/reservations/{id}": f.get, "DELETE /v1/reservations/{id}": f.release, "POST /v1/reservations/{id}/payment": f.pay, "GET /v1/tickets": f.tickets,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			f.mu.Lock()
			defer f.mu.Unlock()
			status, answer := http.StatusServiceUnavailable, any(fakeProblem("unavailable"))
			if !f.away {
				status, answer = serve(r, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
			}
			if status == http.StatusServiceUnavailable {
				w.Header().Set("Retry-After", "1")
			}
			w.WriteHeader(status)
			_ = json.NewEncoder(w).Encode(answer) // a client that is gone is a failure of the test by itself
		})
	}
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	h := &house{address: strings.TrimPrefix(server.URL, "http://")}
	for i := range 61 {
		p := newPerson(i)
		p.token = p.username
		h.people = append(h.people, p)
	}
	return h
}

func fakeProblem(code string) map[string]string { return map[string]string{"code": code} }

func (f *fakeEvents) announce(*http.Request, string) (int, any) {
	event := fmt.Sprint("event", len(f.halls))
	f.halls[event] = map[string]string{}
	if f.quietTheft {
		f.halls[event][hall{}.seat(0)] = "nobody"
	}
	return http.StatusCreated, map[string]string{"id": event}
}

func (f *fakeEvents) reserve(r *http.Request, user string) (int, any) {
	var asked struct {
		Seats    []string
		Quantity int
	}
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
		return http.StatusBadRequest, fakeProblem("malformed")
	}
	event := r.PathValue("id")
	taken := f.halls[event]
	f.made++
	over := f.oversell > 0 && f.made%f.oversell == 0
	mine := 0
	for _, other := range f.reservations {
		if other.Event == event && other.user == user && other.Status != "released" {
			mine += len(other.Seats)
		}
	}
	for n := 0; n < raceRows*seatsPerRow && len(asked.Seats) < asked.Quantity; n++ {
		if seat := (hall{}).seat(n); taken[seat] == "" {
			asked.Seats = append(asked.Seats, seat)
		}
	}
	if len(asked.Seats) < asked.Quantity {
		return http.StatusConflict, fakeProblem("sold_out")
	}
	for _, seat := range asked.Seats {
		if taken[seat] != "" && !over {
			return http.StatusConflict, fakeProblem("seat_taken")
		}
	}
	if mine+len(asked.Seats) > racePerUser {
		return http.StatusConflict, fakeProblem("seat_limit")
	}
	made := &fakeReservation{ID: fmt.Sprint("r", f.made), Event: event, Seats: asked.Seats, Status: "held", user: user, Tickets: []string{}}
	f.reservations[made.ID] = made
	for _, seat := range made.Seats {
		taken[seat] = made.ID
	}
	return http.StatusCreated, made
}

func (f *fakeEvents) get(r *http.Request, user string) (int, any) {
	found := f.reservations[r.PathValue("id")]
	if found == nil || found.user != user {
		return http.StatusNotFound, fakeProblem("unknown_reservation")
	}
	return http.StatusOK, found
}

func (f *fakeEvents) release(r *http.Request, _ string) (int, any) {
	found := f.reservations[r.PathValue("id")]
	if found == nil {
		return http.StatusNotFound, fakeProblem("unknown_reservation")
	}
	found.Status = "released"
	for _, seat := range found.Seats {
		if f.halls[found.Event][seat] == found.ID {
			delete(f.halls[found.Event], seat)
		}
	}
	return http.StatusOK, found
}

func (f *fakeEvents) pay(r *http.Request, _ string) (int, any) {
	found := f.reservations[r.PathValue("id")]
	refused := map[string]any{"status": "rejected", "problem": fakeProblem("reservation_not_held")}
	if found == nil || found.Status != "held" {
		return http.StatusOK, refused
	}
	for _, seat := range found.Seats {
		if f.halls[found.Event][seat] != found.ID && !f.freeMoney {
			return http.StatusOK, refused
		}
	}
	found.Status = "paid"
	for i := range found.Seats {
		found.Tickets = append(found.Tickets, fmt.Sprint(found.ID, "T", i))
	}
	return http.StatusOK, map[string]any{"status": "succeeded"}
}

func (f *fakeEvents) seats(r *http.Request, _ string) (int, any) {
	var rows []string
	for row := range raceRows {
		states := make([]byte, seatsPerRow)
		for i := range states {
			states[i] = '.'
			if holder := f.halls[r.PathValue("id")][hall{}.seat(row*seatsPerRow+i)]; holder != "" {
				states[i] = 'h'
				if known := f.reservations[holder]; known != nil && known.Status == "paid" {
					states[i] = 's'
				}
			}
		}
		rows = append(rows, string(states))
	}
	return http.StatusOK, map[string]any{"sections": []any{map[string]any{"name": hallSection, "rows": rows}}}
}

func (f *fakeEvents) tickets(_ *http.Request, user string) (int, any) {
	items := []any{}
	for _, owned := range f.reservations {
		for i, code := range owned.Tickets {
			if owned.user == user {
				items = append(items, map[string]string{"code": code, "event": owned.Event, "seat": owned.Seats[i], "status": "valid", "reservation": owned.ID})
			}
		}
	}
	return http.StatusOK, map[string]any{"items": items, "next_cursor": nil}
}

// forget loses a reservation that is held.
func (f *fakeEvents) forget() {
	for _, lost := range f.reservations {
		if lost.Status == "held" {
			for _, seat := range lost.Seats {
				delete(f.halls[lost.Event], seat)
			}
			delete(f.reservations, lost.ID)
			return
		}
	}
}
