package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"
)

// naiveTripRun names the rows of the baseline of trips, which figures look up.
const naiveTripRun = "naive ticket office, FOR UPDATE on the class, one transaction a request"

// naiveTrips measures the ticket office that one would write first, on the same MariaDB, under the same load by the same clients: it has no sessions, no journal, no
// feed, no expiry and no replay to pay for. As with the naive transfers, pool sizes and both ways of sending parameters are tried first and the best is kept.
type naiveTrips struct{}

func (naiveTrips) name() string { return "naive-trips" }

// naiveTripTunings are those that are tried. Purchases of one class wait for each other, so that a few connections are enough to keep it busy, and more only wait.
var naiveTripTunings = []tuning{{1, false}, {2, false}, {4, false}, {8, false}, {16, false}, {32, false}, {4, true}, {8, true}}

func (n naiveTrips) run(ctx context.Context, l *lab) error {
	servers, err := l.real(ctx)
	if err != nil {
		return err
	}
	dsn, err := servers.createDatabase(ctx, "bench_naive_trips")
	if err != nil {
		return err
	}
	best, err := n.tune(ctx, l, dsn)
	if err != nil {
		return err
	}
	for _, clients := range crowds(l.clients) {
		m, err := n.drive(ctx, l, dsn, best, clients, l.duration)
		if err != nil {
			return fmt.Errorf("%d clients: %w", clients, err)
		}
		l.report.add(row{
			run: naiveTripRun, clients: clients, pattern: hotTrip, accepted: m.acceptedRate(), applied: m.appliedRate(), latency: m.latency,
			remarks: best.String() + "; " + cpuPerRequest(m.cpu, total(m.applied)),
		})
	}
	return nil
}

// tune returns the tuning with the highest rate in short runs.
func (n naiveTrips) tune(ctx context.Context, l *lab, dsn string) (best tuning, err error) {
	window := min(2*time.Second, l.duration)
	var highest float64
	for _, t := range naiveTripTunings {
		for _, clients := range crowds(l.clients) {
			m, err := n.drive(ctx, l, dsn, t, clients, window)
			if err != nil {
				return best, fmt.Errorf("%v, %d clients: %w", t, clients, err)
			}
			progress("  naive ticket office, %v, %d clients: %s/s", t, clients, kilo(m.appliedRate()))
			if m.appliedRate() > highest {
				highest, best = m.appliedRate(), t
			}
		}
	}
	return best, nil
}

// drive runs one load on fresh tables and checks the books afterwards.
func (naiveTrips) drive(ctx context.Context, l *lab, dsn string, t tuning, n int, window time.Duration) (m measurement, err error) {
	office, err := openNaiveOffice(dsn, 1, false)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, office.close()) }()
	if err := office.open(n); err != nil {
		return m, err
	}
	server, err := startBaseline(ctx, l, "naive-trips", "-trips", "-dsn", dsn, "-pool", strconv.Itoa(t.pool), "-prepared="+strconv.FormatBool(t.prepared))
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, server.process.stop()) }()
	b := &buyers{body: purchaseOf(strconv.Itoa(naiveTrip))}
	clients, err := connectClients(ctx, server.address, n, func(i int) *client {
		return b.client(newPen(server.address, accountHeader+": "+accountNumber(i)))
	})
	if err != nil {
		return m, err
	}
	defer closeAll(clients)
	servers, err := l.real(ctx)
	if err != nil {
		return m, err
	}
	m, err = load{
		clients: clients, judge: b.judge, warmup: min(l.warmup(), window), window: window,
		watch: []*process{server.process, servers.mariadb, l.generator()},
	}.drive(ctx)
	if err != nil {
		return m, err
	}
	return m, office.checkSales(n, b.bought.Load())
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
