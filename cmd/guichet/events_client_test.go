package main

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"guichet/models/id"
)

// What tests look at of the resources of events.
type (
	reservation struct {
		ID        string
		Event     string
		Seats     []string
		Total     int64
		Status    string
		ExpiresAt *time.Time `json:"expires_at"`
		Tickets   []string
	}
	seatMap struct {
		Epoch    string
		Version  int64
		Sections []struct {
			Name      string
			Available int
			Rows      []string
		}
	}
	admission struct {
		Code, Event, Seat, Status, Reservation string
		UsedAt                                 *time.Time `json:"used_at"`
		UsedWhere                              *string    `json:"used_where"`
	}
	seatsChanged struct {
		Epoch   string
		Version int64
		Seats   []struct{ Seat, Status string }
	}
	reservationOutcome struct {
		ID, Status string
		Result     reservation
		Problem    *struct{ Code string }
	}
)

// boxOffice is a guichet with an event, and its admin.
type boxOffice struct {
	*process
	testing.TB
	admin *client
	event string
}

type section struct {
	Name        string `json:"name"`
	Rows        int    `json:"rows"`
	SeatsPerRow int    `json:"seats_per_row"`
	Price       int64  `json:"price"`
}

// announce has an admin announce an event that is years away.
func (p *process) announce(t testing.TB, sections ...section) *boxOffice {
	t.Helper()
	b := &boxOffice{process: p, TB: t, admin: p.admin(t)}
	b.event = b.admin.announce(map[string]any{"sections": sections})
	return b
}

// announce announces an event; what is not given is made up.
func (c *client) announce(event map[string]any) string {
	c.Helper()
	for name, value := range map[string]any{"name": "An event of tests", "starts_at": time.Now().Add(1000 * time.Hour).UTC(), "max_per_user": 100} {
		if event[name] == nil {
			event[name] = value
		}
	}
	var made struct{ ID string }
	c.post("/v1/events", event).into(c, http.StatusCreated, &made)
	return made.ID
}

// inParallel does something n times at once.
func inParallel(n int, do func(i int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { do(i) })
	}
	all.Wait()
}

func parseID(t testing.TB, text string) []byte {
	t.Helper()
	parsed, err := id.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return parsed[:]
}

// guest is somebody new with cash.
func (b *boxOffice) guest(cash int64) *client {
	b.Helper()
	c := b.user(b.TB)
	if cash > 0 {
		c.deposit(cash)
	}
	return c
}

func (b *boxOffice) guests(n int, cash int64) []*client {
	b.Helper()
	all := make([]*client, n)
	inParallel(n, func(i int) { all[i] = b.guest(cash) })
	return all
}

// ask asks for seats by name.
func (b *boxOffice) ask(c *client, seats ...string) answer {
	b.Helper()
	return c.post("/v1/events/"+b.event+"/reservations", map[string]any{"seats": seats})
}

// reserve reserves seats by name.
func (b *boxOffice) reserve(c *client, seats ...string) (r reservation) {
	b.Helper()
	b.ask(c, seats...).into(b, http.StatusCreated, &r)
	if r.Status != "held" || strings.Join(r.Seats, " ") != strings.Join(seats, " ") || r.ExpiresAt == nil || len(r.Tickets) != 0 || r.Event != b.event {
		b.Fatalf("reserved %v: %+v", seats, r)
	}
	return r
}

// pay pays a reservation and returns what came of it.
func (c *client) pay(r reservation) (o reservationOutcome) {
	c.Helper()
	c.post("/v1/reservations/"+r.ID+"/payment", nil, wait).into(c, http.StatusOK, &o)
	return o
}

// paid pays a reservation, successfully.
func (c *client) paid(r reservation) reservation {
	c.Helper()
	return c.hasPaid(r, c.pay(r))
}

func (c *client) hasPaid(r reservation, o reservationOutcome) reservation {
	c.Helper()
	if o.Status != "succeeded" || o.Result.Status != "paid" || len(o.Result.Tickets) != len(r.Seats) || o.Result.ExpiresAt != nil {
		c.Fatalf("paying %+v: %+v", r, o)
	}
	return o.Result
}

// paidInTime reserves seats and pays them, again if the machine was slower than the hold.
func (b *boxOffice) paidInTime(c *client, seats ...string) reservation {
	b.Helper()
	for {
		r := b.reserve(c, seats...)
		o := c.pay(r)
		if o.Problem == nil || o.Problem.Code != "reservation_expired" || time.Now().Before(*r.ExpiresAt) {
			return c.hasPaid(r, o)
		}
		b.house.synced(r.ID, "expired")
	}
}

// refusal expects an operation that a rule has rejected.
func (o reservationOutcome) refusal(t testing.TB, code string) {
	t.Helper()
	if o.Status != "rejected" || o.Problem == nil || o.Problem.Code != code {
		t.Errorf("%+v, want %s", o, code)
	}
}

// letGo deletes a reservation: the answer is the reservation, or the operation that refunds it.
func (c *client) letGo(r reservation) answer {
	c.Helper()
	return c.do(http.MethodDelete, "/v1/reservations/"+r.ID, nil, wait)
}

// refund expects to be asked to wait in line.
func (c *client) refund(r reservation) (o reservationOutcome) {
	c.Helper()
	c.letGo(r).into(c, http.StatusOK, &o)
	return o
}

func (c *client) reservation(id string) (r reservation) {
	c.Helper()
	c.get("/v1/reservations/"+id).into(c, http.StatusOK, &r)
	return r
}

// seats reads the map.
func (b *boxOffice) seats() (m seatMap) {
	b.Helper()
	b.admin.get("/v1/events/"+b.event+"/seats").into(b, http.StatusOK, &m)
	return m
}

// shows expects the rows of all sections, one after the other.
func (b *boxOffice) shows(rows ...string) {
	b.Helper()
	var got []string
	for _, s := range b.seats().Sections {
		got = append(got, s.Rows...)
		if free := strings.Count(strings.Join(s.Rows, ""), "."); free != s.Available {
			b.Errorf("section %s says that %d are free, and shows %d", s.Name, s.Available, free)
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(rows) {
		b.Errorf("the seats are %q, want %q", got, rows)
	}
}

// eventuallyShows is shows for what follows a commit.
func (b *boxOffice) eventuallyShows(rows ...string) {
	b.Helper()
	eventually(b, "the seats", func() error {
		var got []string
		for _, s := range b.seats().Sections {
			got = append(got, s.Rows...)
		}
		if fmt.Sprint(got) != fmt.Sprint(rows) {
			return fmt.Errorf("they are %q, want %q", got, rows)
		}
		return nil
	})
}

// tickets lists a user's tickets.
func (c *client) tickets() []admission {
	c.Helper()
	return allOf[admission](c, "/v1/tickets?limit=50")
}

// synced waits until the database has a reservation in a state.
func (h *house) synced(id, status string) {
	h.Helper()
	db := h.database()
	eventually(h, "the reservation's row", func() error {
		n := number(h, db, "SELECT COUNT(*) FROM reservations WHERE id = ? AND status = ?", parseID(h, id), status)
		if n != 1 {
			return fmt.Errorf("no row of %s is %s", id, status)
		}
		return nil
	})
}
