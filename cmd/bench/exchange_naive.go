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

// naiveExchangeRun names the rows of the exchange's baseline, which figures look up.
const naiveExchangeRun = "naive exchange, matches in SQL, one transaction a request"

// naiveExchange measures the exchange that one would write first, on the same MariaDB, under the same mix by the same clients: it has no sessions, no journal, no
// feed, no candles and no replay to pay for. As with the naive transfers, pool sizes and both ways of sending parameters are tried first and the best is kept.
type naiveExchange struct{}

func (naiveExchange) name() string { return "naive-exchange" }

func (n naiveExchange) run(ctx context.Context, l *lab) error {
	servers, err := l.real(ctx)
	if err != nil {
		return err
	}
	dsn, err := servers.createDatabase(ctx, "bench_naive_exchange")
	if err != nil {
		return err
	}
	best, err := n.tune(ctx, l, dsn)
	if err != nil {
		return err
	}
	for _, clients := range crowds(l.clients) {
		m, f, trades, err := n.drive(ctx, l, dsn, best, clients, l.duration)
		if err != nil {
			return fmt.Errorf("%d clients: %w", clients, err)
		}
		l.report.add(mixRow(naiveExchangeRun, clients, m, f, trades, best.String()))
	}
	return nil
}

// naiveExchangeTunings are those that are tried. Orders of one symbol wait for each other, so that more connections than these only wait.
var naiveExchangeTunings = []tuning{{8, false}, {16, false}, {32, false}, {64, false}, {16, true}, {32, true}}

// tune returns the tuning with the highest rate in short runs.
func (n naiveExchange) tune(ctx context.Context, l *lab, dsn string) (best tuning, err error) {
	window := min(2*time.Second, l.duration)
	var highest float64
	for _, t := range naiveExchangeTunings {
		for _, clients := range crowds(l.clients) {
			m, _, _, err := n.drive(ctx, l, dsn, t, clients, window)
			if err != nil {
				return best, fmt.Errorf("%v, %d clients: %w", t, clients, err)
			}
			progress("  naive exchange, %v, %d clients: %s/s", t, clients, kilo(m.appliedRate()))
			if m.appliedRate() > highest {
				highest, best = m.appliedRate(), t
			}
		}
	}
	return best, nil
}

// drive runs one load on fresh tables and checks the books afterwards. It returns how many trades there were, too.
func (naiveExchange) drive(ctx context.Context, l *lab, dsn string, t tuning, n int, window time.Duration) (m measurement, f *flow, trades int64, err error) {
	books, err := openNaiveMarket(dsn, 1, false)
	if err != nil {
		return m, nil, 0, err
	}
	defer func() { err = errors.Join(err, books.close()) }()
	f = &flow{symbols: symbolNames(tradedSymbols)}
	if err := books.reset(f.symbols, n); err != nil {
		return m, nil, 0, err
	}
	server, err := startBaseline(ctx, l, "naive-exchange", "-exchange", "-dsn", dsn, "-pool", strconv.Itoa(t.pool), "-prepared="+strconv.FormatBool(t.prepared))
	if err != nil {
		return m, nil, 0, err
	}
	defer func() { err = errors.Join(err, server.process.stop()) }()
	clients, err := connectTraders(ctx, server.address, n, f, func(i int) *desk { return newDesk(server.address, accountHeader+": "+accountNumber(i)) })
	if err != nil {
		return m, nil, 0, err
	}
	defer closeAll(clients)
	servers, err := l.real(ctx)
	if err != nil {
		return m, nil, 0, err
	}
	m, err = load{
		clients: clients, warmup: min(l.warmup(), window), window: window,
		watch: []*process{server.process, servers.mariadb, l.generator()},
	}.drive(ctx)
	if err != nil {
		return m, nil, 0, err
	}
	trades, err = books.check(f.symbols, n)
	return m, f, trades, err
}

// accountHeader says whose request it is: the naive exchange believes everybody.
const accountHeader = "Account"

// naiveOrderRequest is the body of an order as the contract has it.
type naiveOrderRequest struct {
	Symbol      string `json:"symbol"`
	Side        string `json:"side"`
	Type        string `json:"type"`
	TimeInForce string `json:"time_in_force"`
	Quantity    int64  `json:"quantity"`
	Price       int64  `json:"price"`
}

// naiveExchangeHandler executes each request in a transaction of its own.
type naiveExchangeHandler struct{ books *naiveMarket }

func (h naiveExchangeHandler) register(e *echo.Echo) {
	e.POST("/v1/orders", h.place)
	e.DELETE("/v1/orders/:id", h.cancel)
}

func (h naiveExchangeHandler) place(c echo.Context) error {
	var r naiveOrderRequest
	if err := c.Bind(&r); err != nil {
		return err
	}
	account, err := strconv.ParseInt(c.Request().Header.Get(accountHeader), 10, 64)
	if err != nil || r.Quantity < 1 || (r.Side != "buy" && r.Side != "sell") || (r.Type == "limit") != (r.Price > 0) {
		return echo.NewHTTPError(http.StatusUnprocessableEntity, "not an order")
	}
	o := &naiveOrder{AccountID: account, Symbol: r.Symbol, Side: r.Side, Type: r.Type, TimeInForce: r.TimeInForce, Quantity: r.Quantity, Price: r.Price, SubmittedAt: time.Now().UTC()}
	return answerNaive(c, o, h.books.place(c.Request().Context(), o))
}

func (h naiveExchangeHandler) cancel(c echo.Context) error {
	order, err1 := strconv.ParseInt(c.Param("id"), 10, 64)
	account, err2 := strconv.ParseInt(c.Request().Header.Get(accountHeader), 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		return echo.NewHTTPError(http.StatusUnprocessableEntity, "not an order")
	}
	o := &naiveOrder{ID: order, AccountID: account}
	return answerNaive(c, o, h.books.cancel(c.Request().Context(), o))
}

// answerNaive answers in the form of the contract's finished operations, as far as the clients read them.
func answerNaive(c echo.Context, o *naiveOrder, err error) error {
	text := strconv.FormatInt(o.ID, 10)
	if refusal, ok := errors.AsType[naiveRefusalError](err); ok {
		return c.JSON(http.StatusOK, map[string]any{"id": text, "status": "rejected", "problem": map[string]string{"code": string(refusal)}})
	}
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, map[string]any{"id": text, "status": "succeeded", "result": map[string]any{"order": text, "status": o.Status, "filled_quantity": o.Filled}})
}
