package main

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"
)

// naiveExchangeRun names the rows of the exchange's baseline, which figures look up.
const naiveExchangeRun = "naive exchange, matches in SQL, one transaction a request"

// naiveExchange measures the exchange that one would write first, under the same mix by the same clients: it has no sessions, no journal, no feed, no candles and
// no replay to pay for.
type naiveExchange struct{}

func (naiveExchange) name() string { return "naive-exchange" }

// naiveExchangeTunings are those that are tried. Orders of one symbol wait for each other, so that more connections than these only wait.
var naiveExchangeTunings = []tuning{{8, false}, {16, false}, {32, false}, {64, false}, {16, true}, {32, true}}

func (n naiveExchange) run(ctx context.Context, l *lab) error {
	r := rival{what: "naive exchange", database: "bench_naive_exchange", tunings: naiveExchangeTunings, drive: n.drive}
	return r.measure(ctx, l, crowds(l.clients))
}

func (naiveExchange) drive(ctx context.Context, a attempt) (line row, err error) {
	books, err := openNaiveMarket(a.dsn, 1, false)
	if err != nil {
		return line, err
	}
	defer func() { err = errors.Join(err, books.close()) }()
	f := &flow{symbols: symbolNames(tradedSymbols)}
	if err := books.reset(f.symbols, a.clients); err != nil {
		return line, err
	}
	m, err := a.drive(ctx, "naive-exchange", []string{"-exchange"}, nil, func(s *baselineServer) ([]*client, error) {
		return connectTraders(ctx, s.address, a.clients, f, func(i int) *desk { return newDesk(s.address, accountHeader+": "+accountNumber(i)) })
	})
	if err != nil {
		return line, err
	}
	trades, err := books.check(f.symbols, a.clients)
	return mixRow(naiveExchangeRun, a.clients, m, f, trades, a.tuning.String()), err
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
