package events

import (
	"slices"
	"strings"
	"testing"
	"time"

	"guichet/models/id"
	"guichet/models/money"
	"guichet/models/problem"
)

func TestHall(t *testing.T) {
	t.Parallel()
	hall := hallOf(t, "A 2x3 500", "b 1x1 0", "7 3x12 10000000000000")
	if hall.Size() != 2*3+1+3*12 || string(hall.empty()) != "...|...|.|............|............|............" || hall.length() != len(hall.empty()) {
		t.Fatalf("%d seats, %d in %s", hall.Size(), hall.length(), hall.empty())
	}
	for name, want := range map[string]int{"A-1-1": 0, "A-1-3": 2, "A-2-1": 3, "A-2-3": 5, "b-1-1": 6, "7-1-1": 7, "7-3-12": 42} {
		if seat, known := hall.Seat(name); !known || seat != want || hall.Name(want) != name {
			t.Errorf("%s is seat %d, %t, and %d is %s", name, seat, known, want, hall.Name(want))
		}
	}
	for _, name := range []string{"", "A", "A-1", "A-1-", "A--1", "-1-1", "A-1-1-", "A-1-1-1", "A-01-1", "A-1-01", "A-0-1", "A-1-0", "A-3-1", "A-1-4", "a-1-1", "B-1-1", " A-1-1", "A-1-1 ", "A-+1-1", "A-1-1\n", "A-1-99999999999999999999", "A-1-٣"} {
		if seat, known := hall.Seat(name); known {
			t.Errorf("%q is seat %d", name, seat)
		}
	}
	for seat := range hall.Size() {
		if back, valid := hall.seat(hall.place(seat)); !valid || back != seat || hall.empty()[hall.place(seat)] != charFree {
			t.Errorf("seat %d is at %d, where seat %d is", seat, hall.place(seat), back)
		}
	}
	for place, char := range hall.empty() {
		if _, valid := hall.seat(place); valid != (char == charFree) {
			t.Errorf("%q is at %d", char, place)
		}
	}
	for _, place := range []int{-1, hall.length(), 1 << 40} {
		if _, valid := hall.seat(place); valid {
			t.Errorf("a seat is at %d", place)
		}
	}
	if total, err := hall.Total([]int{0, 6, 42}); total != 500+10000000000000 || err != nil {
		t.Errorf("%d, %v", total, err)
	}
	if _, err := hall.Seats([]string{"A-1-1", "x", "A-9-9"}); !refused(err, problem.UnknownSeat) || pointers(err)[1] != "/seats/2" {
		t.Errorf("%v", err)
	}
}

func TestHallRefuses(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("A", 17)
	many := slices.Repeat([]Section{{Name: "A", Rows: 1, SeatsPerRow: 1}}, 101)
	for pointer, sections := range map[string][]Section{
		"/sections":                 {},
		"/sections#many":            many,
		"/sections/0/name":          {{Name: "", Rows: 1, SeatsPerRow: 1}},
		"/sections/0/name#long":     {{Name: long, Rows: 1, SeatsPerRow: 1}},
		"/sections/0/name#dash":     {{Name: "A-1", Rows: 1, SeatsPerRow: 1}},
		"/sections/0/name#umlaut":   {{Name: "Ä", Rows: 1, SeatsPerRow: 1}},
		"/sections/1/name":          {{Name: "A", Rows: 1, SeatsPerRow: 1}, {Name: "A", Rows: 1, SeatsPerRow: 1}},
		"/sections/0/rows":          {{Name: "A", Rows: 0, SeatsPerRow: 1}},
		"/sections/0/rows#many":     {{Name: "A", Rows: 1001, SeatsPerRow: 1}},
		"/sections/0/seats_per_row": {{Name: "A", Rows: 1, SeatsPerRow: -5}},
		"/sections/0/price":         {{Name: "A", Rows: 1, SeatsPerRow: 1, Price: -1}},
		"/sections/0/price#high":    {{Name: "A", Rows: 1, SeatsPerRow: 1, Price: MaxPrice + 1}},
		"/sections#large":           {{Name: "A", Rows: 1000, SeatsPerRow: 100}, {Name: "B", Rows: 1, SeatsPerRow: 1}},
	} {
		_, err := NewHall(id.ID{}, sections)
		want, _, _ := strings.Cut(pointer, "#")
		if !refused(err, problem.Invalid) || pointers(err)[0] != want {
			t.Errorf("%s: %v", pointer, err)
		}
	}
	if _, err := NewHall(id.ID{}, []Section{{Name: "A", Rows: 1000, SeatsPerRow: 100, Price: MaxPrice}}); err != nil {
		t.Error(err)
	}
	if MaxPrice*MaxSeatsPerRequest > money.Max {
		t.Error("a reservation can cost more than can be paid")
	}
}

// FuzzHall: whatever names a seat is how that seat is written.
func FuzzHall(f *testing.F) {
	for _, name := range []string{"A-1-7", "B-12-30", "A-01-7", "A-1-7-", "B--1", "-1-1", "A-1-1000000000000000000000"} {
		f.Add(name)
	}
	hall := hallOf(f, "A 5x20 4500", "B 12x30 2500", "0 1x1 1")
	f.Fuzz(func(t *testing.T, name string) {
		seat, known := hall.Seat(name)
		if known && (seat < 0 || seat >= hall.Size() || hall.Name(seat) != name) {
			t.Errorf("%q is seat %d", name, seat)
		}
	})
}

// FuzzRecord: whatever reads as a record is written as it was read.
func FuzzRecord(f *testing.F) {
	hall := hallOf(f, "A 5x20 4500")
	for _, status := range []Status{StatusHeld, StatusPaid, StatusReleased, StatusExpired, StatusRefunded} {
		r := Reservation{UserID: ids.Next(), Account: "X", Seats: []int{3, 1, 99}, Total: 7, Status: status, ReservedAt: began, ExpiresAt: began.Add(hold), Lamport: 9}
		f.Add(hall.record(&r))
		if status == StatusHeld {
			r.ClaimedBy = ids.Next()
		} else {
			r.PaidBy, r.RefundedBy = ids.Next(), ids.Next()
		}
		f.Add(hall.record(&r))
	}
	f.Fuzz(func(t *testing.T, record string) {
		r, err := hall.reservation(id.ID{1}, record)
		if err != nil {
			return
		}
		again, err := hall.reservation(id.ID{1}, hall.record(&r))
		if err != nil || !same(again, r) {
			t.Errorf("%q is %+v and then %+v, %v", record, r, again, err)
		}
	})
}

// same says whether two reservations are.
func same(a, b Reservation) bool {
	times := a.ReservedAt.Equal(b.ReservedAt) && a.ExpiresAt.Equal(b.ExpiresAt) && slices.Equal(a.Seats, b.Seats)
	a.Seats, b.Seats, a.ReservedAt, b.ReservedAt, a.ExpiresAt, b.ExpiresAt = nil, nil, time.Time{}, time.Time{}, time.Time{}, time.Time{}
	return times && a.ID == b.ID && a.EventID == b.EventID && a.UserID == b.UserID && a.Account == b.Account && a.Total == b.Total && a.Status == b.Status &&
		a.ClaimedBy == b.ClaimedBy && a.PaidBy == b.PaidBy && a.RefundedBy == b.RefundedBy && a.Lamport == b.Lamport
}
