package events

import (
	"testing"
	"time"

	"guichet/models/id"
	"guichet/models/problem"
)

// line is an event with a waiting room, and the time there.
type line struct {
	t     *testing.T
	seats *Seats
	hall  *Hall
	now   time.Time
}

func newLine(t *testing.T, seats *Seats, room WaitingRoom) *line {
	l := &line{t, seats, hallOf(t, "A 20x20 500"), began}
	load(t, seats, l.hall, Snapshot{Room: room})
	return l
}

// try reserves a seat, and says whether the user was let in.
func (l *line) try(user id.ID) bool {
	l.t.Helper()
	want := best(user, "", 1)
	want.Now = l.now
	_, err := l.seats.Reserve(l.t.Context(), l.hall, want)
	if err != nil && !refused(err, problem.WaitingRoom) {
		l.t.Fatal(err)
	}
	if err != nil && err.(*problem.Problem).RetryAfter < time.Second { //nolint:errorlint // see refused
		l.t.Fatalf("to be tried again after %s", err.(*problem.Problem).RetryAfter) //nolint:errorlint // see refused
	}
	return err == nil
}

func (l *line) place(user id.ID, want Place) {
	l.t.Helper()
	got, err := l.seats.Place(l.t.Context(), l.hall.Event(), user, l.now)
	must(l.t, err)
	if got != want {
		l.t.Fatalf("the place is %+v; want %+v", got, want)
	}
}

func people(n int) []id.ID {
	users := make([]id.ID, n)
	for i := range users {
		users[i] = ids.Next()
	}
	return users
}

func TestWaitingRoom(t *testing.T) {
	onAllRedises(t, func(t *testing.T, seats *Seats) {
		l := newLine(t, seats, WaitingRoom{Rate: 2, Window: 3 * time.Second})
		u := people(7)
		l.place(u[0], Place{State: RoomOpen})
		for i, in := range []bool{true, true, false, false, false, false} { // there are two tokens at first
			if l.try(u[i]) != in {
				t.Fatalf("user %d: %t", i, !in)
			}
		}
		until := began.Add(3 * time.Second)
		l.place(u[0], Place{State: RoomAdmitted, AdmittedUntil: until})
		l.place(u[2], Place{State: RoomWaiting, Ahead: 0, Wait: 500 * time.Millisecond})
		l.place(u[5], Place{State: RoomWaiting, Ahead: 3, Wait: 2 * time.Second})
		l.place(u[6], Place{State: RoomOutside})
		for range 3 { // to try again keeps the place, and who was let in stays in
			if l.try(u[4]) || l.try(u[2]) || !l.try(u[0]) {
				t.Fatal("let in out of turn")
			}
		}
		l.place(u[4], Place{State: RoomWaiting, Ahead: 2, Wait: 1500 * time.Millisecond})

		l.now = began.Add(499 * time.Millisecond)
		l.place(u[2], Place{State: RoomWaiting, Ahead: 0, Wait: time.Millisecond})
		l.now = began.Add(1000 * time.Millisecond)
		if l.try(u[6]) || !l.try(u[3]) { // two tokens: for the first two in the line, also if a third comes first
			t.Fatal("let in out of turn")
		}
		l.place(u[2], Place{State: RoomAdmitted, AdmittedUntil: l.now.Add(3 * time.Second)})
		l.place(u[4], Place{State: RoomWaiting, Ahead: 0, Wait: 500 * time.Millisecond})
		l.place(u[6], Place{State: RoomWaiting, Ahead: 2, Wait: 1500 * time.Millisecond})

		l.now = until.Add(-time.Millisecond)
		if !l.try(u[0]) {
			t.Fatal("the window has not run out")
		}
		l.now = until // two seconds' tokens came, but a second's are kept
		l.place(u[4], Place{State: RoomAdmitted, AdmittedUntil: until.Add(3 * time.Second)})
		if l.try(u[0]) {
			t.Fatal("the window has run out, and others are waiting")
		}
		l.place(u[6], Place{State: RoomWaiting, Ahead: 0, Wait: 500 * time.Millisecond})
		l.place(u[0], Place{State: RoomWaiting, Ahead: 1, Wait: time.Second})

		must(t, seats.SetWaitingRoom(t.Context(), l.hall.Event(), WaitingRoom{Rate: 100, Window: time.Second}, l.now))
		l.place(u[0], Place{State: RoomWaiting, Ahead: 1, Wait: 20 * time.Millisecond})
		must(t, seats.SetWaitingRoom(t.Context(), l.hall.Event(), WaitingRoom{}, l.now))
		l.place(u[0], Place{State: RoomOpen})
		if !l.try(u[0]) {
			t.Fatal("there is no waiting room")
		}
		must(t, seats.SetWaitingRoom(t.Context(), l.hall.Event(), WaitingRoom{Rate: 1, Window: time.Second}, l.now))
		if !l.try(u[5]) || l.try(u[6]) {
			t.Fatal("a new waiting room has a token")
		}
	})
}

// TestWaitingRoomIsFair: everybody comes at once, and again and again; they are let in by order of arrival, at the rate, and places only go down.
func TestWaitingRoomIsFair(t *testing.T) {
	onAllRedises(t, func(t *testing.T, seats *Seats) {
		const rate = 10
		l := newLine(t, seats, WaitingRoom{Rate: rate, Window: time.Hour})
		users := people(60)
		in, places := map[id.ID]bool{}, map[id.ID]int64{}
		for round := 0; len(in) < len(users); round++ {
			if round > 80 {
				t.Fatalf("%d are in after %d rounds", len(in), round)
			}
			for i := range users { // those at the back are the most eager
				user := users[i]
				if round > 0 {
					user = users[len(users)-1-i]
				}
				if !in[user] && l.try(user) {
					in[user] = true
				}
			}
			// A second's worth at first, and then as many as the rate gives.
			if want := min(rate+round*rate/10, len(users)); len(in) != want {
				t.Fatalf("%d are in after %d rounds; want %d", len(in), round, want)
			}
			for i, user := range users {
				if in[user] != (i < len(in)) {
					t.Fatalf("user %d is in or not, and %d are", i, len(in))
				}
				place, err := seats.Place(t.Context(), l.hall.Event(), user, l.now)
				must(t, err)
				if before, was := places[user]; was && place.Ahead > before || !in[user] && place.Ahead != int64(i-len(in)) {
					t.Fatalf("user %d is at %+v, and was at %d", i, place, before)
				}
				places[user] = place.Ahead
			}
			l.now = l.now.Add(100 * time.Millisecond)
		}
	})
}

// TestSweepLetsIn: nobody has to ask for the line to move.
func TestSweepLetsIn(t *testing.T) {
	onAllRedises(t, func(t *testing.T, seats *Seats) {
		l := newLine(t, seats, WaitingRoom{Rate: 1, Window: 2 * time.Second})
		u := people(3)
		if !l.try(u[0]) || l.try(u[1]) || l.try(u[2]) {
			t.Fatal("let in out of turn")
		}
		pending, err := seats.Pending(t.Context(), []id.ID{l.hall.Event(), ids.Next()}, l.now)
		if err != nil || !pending[0].Due || pending[0].Unsynced != 1 || pending[1].Due || pending[1].Unsynced != 0 {
			t.Fatalf("%+v, %v", pending, err)
		}
		_, _, err = seats.Expire(t.Context(), l.hall.Event(), began.Add(time.Second), 10)
		must(t, err)
		l.now = began.Add(1500 * time.Millisecond) // let in by the sweep, so the window began then
		l.place(u[1], Place{State: RoomAdmitted, AdmittedUntil: began.Add(3 * time.Second)})
		l.now = began.Add(10 * time.Second) // one token: for who is first in line
		if l.try(u[1]) {
			t.Fatal("the window was missed")
		}
		l.place(u[2], Place{State: RoomAdmitted, AdmittedUntil: l.now.Add(2 * time.Second)})
		l.place(u[1], Place{State: RoomWaiting, Ahead: 0, Wait: time.Second})
	})
}
