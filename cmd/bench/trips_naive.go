package main

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"
)

// naiveTripRun names the rows of the baseline of trips, which figures look up.
const naiveTripRun = "naive ticket office, FOR UPDATE on the class, one transaction a request"

// naiveTrips measures the ticket office that one would write first, under the same load by the same clients: it has no sessions, no journal, no feed, no expiry
// and no replay to pay for.
type naiveTrips struct{}

func (naiveTrips) name() string { return "naive-trips" }

// naiveTripTunings are those that are tried. Purchases of one class wait for each other, so that a few connections are enough to keep it busy, and more only wait.
var naiveTripTunings = []tuning{{1, false}, {2, false}, {4, false}, {8, false}, {16, false}, {32, false}, {4, true}, {8, true}}

func (n naiveTrips) run(ctx context.Context, l *lab) error {
	r := rival{what: "naive ticket office", database: "bench_naive_trips", tunings: naiveTripTunings, drive: n.drive}
	return r.measure(ctx, l, crowds(l.clients))
}

func (naiveTrips) drive(ctx context.Context, a attempt) (line row, err error) {
	office, err := openNaiveOffice(a.dsn, 1, false)
	if err != nil {
		return line, err
	}
	defer func() { err = errors.Join(err, office.close()) }()
	if err := office.open(a.clients); err != nil {
		return line, err
	}
	b := &buyers{body: purchaseOf(strconv.Itoa(naiveTrip))}
	m, err := a.drive(ctx, "naive-trips", []string{"-trips"}, b.judge, func(s *baselineServer) ([]*client, error) {
		return connectClients(ctx, s.address, a.clients, func(i int) *client {
			return b.client(newPen(s.address, accountHeader+": "+accountNumber(i)))
		})
	})
	if err != nil {
		return line, err
	}
	return a.row(naiveTripRun, hotTrip, m), office.checkSales(a.clients, b.bought.Load())
}

// naivePurchaseRequest is the body of a purchase as the contract has it.
type naivePurchaseRequest struct {
	Trip     string `json:"trip"`
	Class    string `json:"class"`
	Quantity int64  `json:"quantity"`
	Confirm  bool   `json:"confirm"`
}

// naiveOfficeHandler sells each ticket in a transaction of its own.
type naiveOfficeHandler struct{ office *naiveOffice }

func (h naiveOfficeHandler) buy(c echo.Context) error {
	var r naivePurchaseRequest
	if err := c.Bind(&r); err != nil {
		return err
	}
	trip, err1 := strconv.ParseInt(r.Trip, 10, 64)
	account, err2 := strconv.ParseInt(c.Request().Header.Get(accountHeader), 10, 64)
	if errors.Join(err1, err2) != nil || r.Quantity < 1 || r.Quantity > 100 || !r.Confirm {
		return echo.NewHTTPError(http.StatusUnprocessableEntity, "not a purchase that is paid at once")
	}
	p, err := h.office.buy(c.Request().Context(), account, trip, r.Class, r.Quantity)
	text := strconv.FormatInt(p.ID, 10)
	if refusal, ok := errors.AsType[naiveRefusalError](err); ok {
		return c.JSON(http.StatusOK, map[string]any{"status": "rejected", "problem": map[string]string{"code": string(refusal)}})
	}
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, map[string]any{"id": text, "status": "succeeded", "result": map[string]any{"id": text, "status": "paid", "total": p.Total}})
}
