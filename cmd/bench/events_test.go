package main

import (
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"
)

// askedSeats are the path and the seats of a request for a reservation.
func askedSeats(t *testing.T, request []byte) (path string, seats []string) {
	t.Helper()
	head, body, found := strings.Cut(string(request), "\r\n\r\n")
	words := strings.Fields(head)
	if !found || len(words) < 2 || words[0] != http.MethodPost || !strings.Contains(head, "Content-Type: application/json\r\n") {
		t.Fatalf("request %q", request)
	}
	var asked struct{ Seats []string }
	if err := json.Unmarshal([]byte(body), &asked); err != nil {
		t.Fatalf("request %q: %v", request, err)
	}
	return words[1], asked.Seats
}

func TestPensWriteWholeRequests(t *testing.T) {
	t.Parallel()
	p := newPen("host", "Prefer: wait=30")
	for _, test := range []struct{ method, path, body, want string }{
		{"POST", "/a", `{"b":1}`, "POST /a HTTP/1.1\r\nHost: host\r\nPrefer: wait=30\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n{\"b\":1}"},
		{"DELETE", "/a/1", "", "DELETE /a/1 HTTP/1.1\r\nHost: host\r\nPrefer: wait=30\r\nContent-Length: 0\r\n\r\n"},
	} {
		if got := string(p.write(test.method, test.path, test.body)); got != test.want {
			t.Errorf("request %q, want %q", got, test.want)
		}
	}
}

func TestHallsHaveSeatsForTheWindow(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 7, 32, 256, 1000} {
		count, rows := hallsFor(n, 12*time.Second)
		size := rows * seatsPerRow
		if wanted := min(mostReservations, n*mostReservationsEach) * 12; count*size < wanted || size > largestHall || rows > 1000 {
			t.Errorf("%d clients: %d halls of %d seats, and %d are wanted", n, count, size, wanted)
		}
		if each := (size + n - 1) / n; count < fewestHalls || each > mostPerUser {
			t.Errorf("%d clients: %d halls, up to %d seats of one for each", n, count, each)
		}
	}
}

func TestGuestsNeverWantTheSameSeat(t *testing.T) {
	t.Parallel()
	b := &booking{halls: []hall{{event: "a", path: "/a", rows: 3}, {event: "b", path: "/b", rows: 3}}, guests: 7}
	seen := map[string]int{}
	for i := range b.guests {
		g := &guest{booking: b, pen: newPen("host"), index: i, keep: true}
		for range b.seatsEach() {
			path, seats := askedSeats(t, g.next(nil))
			if len(seats) != 1 {
				t.Fatalf("seats %v", seats)
			}
			seen[path+seats[0]]++
			if v, err := g.judge(reply{status: http.StatusCreated, body: []byte(`{"event":"e","id":"7"}`)}); err != nil || v != applied {
				t.Fatalf("%v, %v", v, err)
			}
		}
		if len(g.held) != b.seatsEach() || g.held[0] != "7" {
			t.Errorf("%d reservations are kept", len(g.held))
		}
		taken := reply{status: http.StatusConflict, body: []byte(`{"code":"seat_taken"}`)}
		if _, err := g.judge(taken); err == nil || !strings.Contains(err.Error(), "seat_taken") {
			t.Errorf("a seat that is taken: %v", err)
		}
		g.next(nil)
		if _, err := g.judge(taken); err == nil || !strings.Contains(err.Error(), "raise mostReservations") {
			t.Errorf("no seat is left: %v", err)
		}
	}
	if len(seen) != b.guests*b.seatsEach() || seen["/aA-1-1"] != 1 || seen["/bA-3-94"] != 1 || b.made.Load() != int64(len(seen)) {
		t.Errorf("%d seats were asked for, %d times", len(seen), b.made.Load())
	}
}

func TestLatecomersExpectTheRightRefusal(t *testing.T) {
	t.Parallel()
	c := &latecomer{halls: []hall{{path: "/a", rows: 2}}, pen: newPen("host")}
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 20 {
		_, seats := askedSeats(t, c.next(rng))
		right, wrong := "sold_out", "seat_taken"
		if i%2 == 0 {
			right, wrong = wrong, right
		}
		if (len(seats) == 1) != (i%2 == 0) {
			t.Fatalf("request %d names %v", i, seats)
		}
		if v, err := c.judge(reply{status: http.StatusConflict, body: []byte(`{"code":"` + right + `"}`)}); err != nil || v != accepted {
			t.Errorf("%s: %v, %v", right, v, err)
		}
		for _, r := range []reply{{status: http.StatusConflict, body: []byte(`{"code":"` + wrong + `"}`)}, {status: http.StatusCreated}} {
			if _, err := c.judge(r); err == nil {
				t.Errorf("%d %s is taken", r.status, r.body)
			}
		}
	}
}

func TestPayersPayEachOnce(t *testing.T) {
	t.Parallel()
	p := &payer{pen: newPen("host"), held: []string{"1", "2"}}
	for _, want := range []string{"/v1/reservations/1/payment", "/v1/reservations/2/payment"} {
		if request := string(p.next(nil)); !strings.HasPrefix(request, "POST "+want+" HTTP/1.1\r\n") {
			t.Errorf("request %q", request)
		}
		if v, err := p.judge(reply{status: http.StatusOK, body: []byte(`{"status":"succeeded"}`)}); err != nil || v != applied {
			t.Errorf("%v, %v", v, err)
		}
	}
	if p.done || p.next(nil) != nil || !p.done || p.paid != 2 {
		t.Errorf("payer %+v", p)
	}
}

func TestRowWatchTakesASample(t *testing.T) {
	t.Parallel()
	body := []byte(`{"event":"x","id":"0199b2c4-8a10-7000-8000-3f2a9c51d600","reserved_at":"2030-01-02T03:04:05.678901Z"}`)
	w := newRowWatch(nil, time.Now())
	for range 10 {
		if err := w.offer(body); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(w.taken); n < 1 || n > 9 { // ten take less than nine intervals
		t.Errorf("%d are taken", n)
	}
	if r := <-w.taken; r.ID.String() != "0199b2c4-8a10-7000-8000-3f2a9c51d600" || r.At.Nanosecond() != 678_901_000 {
		t.Errorf("%+v", r)
	}
	later := newRowWatch(nil, time.Now().Add(time.Hour))
	if err := later.offer(body); err != nil || len(later.taken) != 0 {
		t.Errorf("%d are taken before the window, %v", len(later.taken), err)
	}
	if err := newRowWatch(nil, time.Now()).offer([]byte(`{"id":"0199b2c4-8a10-7000-8000-3f2a9c51d600"}`)); err == nil {
		t.Error("no reserved_at is no error")
	}
	var none *rowWatch
	if err := none.offer(body); err != nil {
		t.Error(err)
	}
}
