package main

import (
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// What tests look at of the resources of trips.
type (
	tripClass struct {
		Name                    string
		Price, Stock, Available int64
	}
	trip struct {
		ID            string
		Name          string
		DepartsAt     time.Time `json:"departs_at"`
		Status        string
		RefundBps     int `json:"refund_bps"`
		RefundMinutes int `json:"refund_minutes"`
		Classes       []tripClass
	}
	purchase struct {
		ID        string
		Trip      string
		Class     string
		Quantity  int64
		Price     int64
		Total     int64
		Status    string
		ExpiresAt *time.Time `json:"expires_at"`
		Refunded  int64
		Tickets   []string
		CreatedAt time.Time `json:"created_at"`
	}
	// purchaseOutcome is a submission, ended.
	purchaseOutcome struct {
		ID, Kind, Lane, Status string
		Lamport                int64
		Result                 purchase
		Problem                *struct {
			Code   string
			Status int
		}
	}
)

// counter is a guichet that sells trips, and its admin.
type counter struct {
	*process
	testing.TB
	admin *client
}

func (h *house) openCounter(extra ...string) *counter {
	h.Helper()
	p := h.serve(extra...)
	return &counter{process: p, TB: h, admin: p.admin(h)}
}

// customerWith is somebody new with cash.
func (c *counter) customerWith(cash int64) *client {
	c.Helper()
	one := c.user(c.TB)
	if cash > 0 {
		one.deposit(cash)
	}
	return one
}

func (c *counter) customers(n int, cash int64) []*client {
	c.Helper()
	all := make([]*client, n)
	var making sync.WaitGroup
	for i := range all {
		making.Go(func() { all[i] = c.customerWith(cash) })
	}
	making.Wait()
	if c.Failed() {
		c.FailNow()
	}
	return all
}

func class(name string, price, stock int64) terms {
	return terms{"name": name, "price": price, "stock": stock}
}

// tripIn is a trip that departs so much later.
func tripIn(later time.Duration, classes ...terms) terms {
	return terms{"name": "Night train", "departs_at": time.Now().Add(later).UTC().Format(time.RFC3339Nano), "classes": classes}
}

// offer makes a trip as the admin.
func (c *client) offer(definition terms) (t trip) {
	c.Helper()
	c.post("/v1/trips", definition).into(c, http.StatusCreated, &t)
	return t
}

// offerSoon makes a trip that departs soon, also if the machine is slower than that at first.
func (c *client) offerSoon(later time.Duration, classes ...terms) (t trip) {
	c.Helper()
	for {
		departure := time.Now().Add(later)
		a := c.post("/v1/trips", tripIn(later, classes...))
		if a.status == http.StatusCreated || time.Now().Before(departure) {
			a.into(c, http.StatusCreated, &t)
			return t
		}
		a.problem(c, http.StatusUnprocessableEntity, "invalid")
	}
}

// offerSeats makes a trip with one class, far in the future.
func (c *client) offerSeats(price, stock int64) trip {
	c.Helper()
	return c.offer(tripIn(1000*time.Hour, class("seat", price, stock)))
}

func (c *client) trip(id string) (t trip) {
	c.Helper()
	c.get("/v1/trips/"+id).into(c, http.StatusOK, &t)
	return t
}

// available is what is left of the first class.
func (c *client) available(id string) int64 {
	c.Helper()
	return c.trip(id).Classes[0].Available
}

// changeTrip changes a trip as the admin.
func (c *client) changeTrip(id string, change terms) (t trip) {
	c.Helper()
	c.do(http.MethodPatch, "/v1/trips/"+id, change).into(c, http.StatusOK, &t)
	return t
}

func tickets(trip, class string, quantity int64) terms {
	return terms{"trip": trip, "class": class, "quantity": quantity}
}

// buy asks for tickets and waits until that has been decided.
func (c *client) buy(request any, options ...option) (o purchaseOutcome) {
	c.Helper()
	c.post("/v1/purchases", request, append(options, wait)...).into(c, http.StatusOK, &o)
	if o.Kind != "purchase" || o.Lane != "trips" {
		c.Errorf("%+v", o)
	}
	return o
}

var ticketCode = regexp.MustCompile(`^[0-9A-HJKMNP-TV-Z]{52}$`)

// is wants a purchase to be in a state, and all that it says to agree.
func (p purchase) is(t testing.TB, status string) purchase {
	t.Helper()
	if p.Status != status || p.Total != p.Quantity*p.Price || (p.ExpiresAt != nil) != (status == "held") || (p.Refunded > 0) && status != "refunded" || p.CreatedAt.IsZero() {
		t.Fatalf("want one that is %s: %+v", status, p)
	}
	codes := map[string]bool{}
	for _, code := range p.Tickets {
		if !ticketCode.MatchString(code) {
			t.Errorf("a ticket has the code %q", code)
		}
		codes[code] = true
	}
	if want := map[bool]int{true: int(p.Quantity)}[status == "paid"]; len(codes) != want || len(p.Tickets) != want {
		t.Errorf("there are tickets %v of a purchase that is %s of %d", p.Tickets, status, p.Quantity)
	}
	return p
}

// got wants a submission to have succeeded, and the purchase to be as it is when it is read.
func (o *purchaseOutcome) got(c *client, status string) purchase {
	c.Helper()
	if o.Status != "succeeded" {
		c.Fatalf("%+v %+v", *o, o.Problem)
	}
	o.Result.is(c, status)
	return o.Result
}

// ask has tickets set aside.
func (c *client) ask(trip, class string, quantity int64) purchase {
	c.Helper()
	o := c.buy(tickets(trip, class, quantity))
	if o.Result.ID != o.ID {
		c.Errorf("%+v", o)
	}
	return o.got(c, "held")
}

// buyNow buys tickets at once.
func (c *client) buyNow(trip, class string, quantity int64) purchase {
	c.Helper()
	o := c.buy(tickets(trip, class, quantity).with("confirm", true))
	return o.got(c, "paid")
}

// turnedDown asks for tickets that must be refused.
func (c *client) turnedDown(request terms, code string) {
	c.Helper()
	o := c.buy(request)
	if o.Status != "rejected" || o.Problem == nil || o.Problem.Code != code {
		c.Errorf("%v: %+v %+v, want %s", request, o, o.Problem, code)
	}
	c.get("/v1/purchases/"+o.ID).problem(c, http.StatusNotFound, "unknown_purchase")
}

// confirm pays a purchase.
func (c *client) confirm(id string, options ...option) (o purchaseOutcome) {
	c.Helper()
	c.post("/v1/purchases/"+id+"/confirmation", nil, append(options, wait)...).into(c, http.StatusOK, &o)
	if o.Kind != "purchase_confirmation" {
		c.Errorf("%+v", o)
	}
	return o
}

// giveBack cancels or refunds a purchase.
func (c *client) giveBack(id string, options ...option) (o purchaseOutcome) {
	c.Helper()
	c.do(http.MethodDelete, "/v1/purchases/"+id, nil, append(options, wait)...).into(c, http.StatusOK, &o)
	if o.Kind != "purchase_cancellation" {
		c.Errorf("%+v", o)
	}
	return o
}

// refused wants a submission to have been refused.
func (o purchaseOutcome) refused(t testing.TB, code string) {
	t.Helper()
	if o.Status != "rejected" || o.Problem == nil || o.Problem.Code != code {
		t.Errorf("%+v %+v, want %s", o, o.Problem, code)
	}
}

func (c *client) purchase(id string) (p purchase) {
	c.Helper()
	c.get("/v1/purchases/"+id).into(c, http.StatusOK, &p)
	return p.is(c, p.Status)
}

// tripState is all that a client has, and what everybody sees of a trip: what a refusal may not change.
func (c *client) tripState(id string) string {
	c.Helper()
	var text []string
	for _, path := range []string{"/v1/accounts/" + c.account, "/v1/purchases", "/v1/trips/" + id, "/v1/accounts/" + c.account + "/entries"} {
		text = append(text, string(c.get(path).expect(c, http.StatusOK).body))
	}
	return strings.Join(text, "\n")
}

// takings is what is on the house's account of trips.
func (h *house) takings() int64 {
	h.Helper()
	db := h.database()
	defer db.Close() //nolint:errcheck // only read
	return number(h, db, "SELECT balance FROM accounts WHERE number = 'trips'")
}
