package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"
)

// baselineCommand is the hidden first argument with which the bench runs itself as the server of a
// baseline, so that a baseline has a process of its own as guichet has.
const baselineCommand = "baseline"

// serveBaseline runs the no-op server, or a naive handler when a DSN is given, until it is killed.
func serveBaseline(args []string) error {
	flags := flag.NewFlagSet(baselineCommand, flag.ContinueOnError)
	listen := flags.String("listen", "", "address")
	dsn := flags.String("dsn", "", "the naive handler's database")
	pool := flags.Int("pool", 32, "connections to it")
	prepared := flags.Bool("prepared", false, "prepared statements rather than interpolated ones")
	exchange := flags.Bool("exchange", false, "the naive exchange rather than naive transfers")
	trips := flags.Bool("trips", false, "the naive ticket office rather than naive transfers")
	fanout := flags.Bool("fanout", false, "the bare broadcast")
	chat := flags.Bool("chat", false, "the naive chat rather than naive transfers")
	numberedChat := flags.Bool("numbered-chat", false, "the naive chat that numbers its messages rather than naive transfers")
	if err := flags.Parse(args); err != nil {
		return err
	}
	debug.SetGCPercent(400) // worth some percent to the naive handler
	if *fanout {
		mux := http.NewServeMux()
		serveBareRoom(mux)
		return http.ListenAndServe(*listen, mux) //nolint:gosec // no limits, as little as there can be
	}
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.GET("/readyz", func(c echo.Context) error { return c.NoContent(http.StatusOK) })
	e.POST("/noop", answerNoop)
	switch {
	case *dsn != "" && *exchange:
		books, err := openNaiveMarket(*dsn, *pool, *prepared)
		if err != nil {
			return err
		}
		naiveExchangeHandler{books}.register(e)
	case *dsn != "" && *trips:
		office, err := openNaiveOffice(*dsn, *pool, *prepared)
		if err != nil {
			return err
		}
		e.POST("/v1/purchases", naiveOfficeHandler{office}.buy)
	case *dsn != "" && (*chat || *numberedChat):
		books, err := openNaiveBooks(*dsn, *pool, *prepared)
		if err != nil {
			return err
		}
		e.POST("/v1/rooms/lobby/messages", naiveChatHandler{books, *numberedChat}.post)
	case *dsn != "":
		books, err := openNaiveBooks(*dsn, *pool, *prepared)
		if err != nil {
			return err
		}
		e.POST("/naive", naiveHandler{books}.transfer)
	}
	return e.Start(*listen)
}

// transferRequest is the body of a transfer as the contract has it; the numbers are decimal.
type transferRequest struct {
	From   string `json:"from"`
	To     string `json:"to"`
	Amount int64  `json:"amount"`
}

// answerNoop is the ceiling: it reads a transfer and answers as for one that was accepted.
func answerNoop(c echo.Context) error {
	var t transferRequest
	if err := c.Bind(&t); err != nil {
		return err
	}
	return c.JSON(http.StatusAccepted, map[string]string{"id": t.To, "status": "queued"})
}

// naiveHandler is what one would write first: each request executes its transfer in a transaction of its own.
type naiveHandler struct{ books *naiveBooks }

func (h naiveHandler) transfer(c echo.Context) error {
	var t transferRequest
	if err := c.Bind(&t); err != nil {
		return err
	}
	from, err1 := strconv.ParseInt(t.From, 10, 64)
	to, err2 := strconv.ParseInt(t.To, 10, 64)
	if errors.Join(err1, err2) != nil || t.Amount < 1 || from == to {
		return echo.NewHTTPError(http.StatusUnprocessableEntity, "not a transfer")
	}
	balance, err := h.books.transfer(c.Request().Context(), from, to, t.Amount)
	if errors.Is(err, errOverdraft) {
		return echo.NewHTTPError(http.StatusConflict, err.Error())
	}
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, map[string]any{"status": "succeeded", "balance": balance})
}

// A baselineServer is a running server of a baseline.
type baselineServer struct {
	process *process
	address string
}

// startBaseline runs this program as the server of a baseline and waits until it answers.
func startBaseline(ctx context.Context, l *lab, name string, args ...string) (*baselineServer, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	args = append([]string{baselineCommand, "-listen", address}, args...)
	p, err := spawn(l.dir, name, l.self, args, cleanEnvironment())
	if err != nil {
		return nil, err
	}
	if err := p.waitReady(ctx, "http://"+address+"/readyz", 5*time.Millisecond); err != nil {
		p.kill()
		return nil, err
	}
	return &baselineServer{p, address}, nil
}

// clients connects n clients that transfer between the baseline's accounts, as guichet's clients do.
func (s *baselineServer) clients(ctx context.Context, n int, p pattern, path string) ([]*client, error) {
	numbers := make([]string, poolOf(n)+1)
	for i := range numbers {
		numbers[i] = accountNumber(i)
	}
	var clients []*client
	for i := range n {
		w, err := dialWire(ctx, s.address)
		if err != nil {
			closeAll(clients)
			return nil, fmt.Errorf("client %d: %w", i, err)
		}
		ask := newAsk(s.address, path, numbers[i+1], nil)
		clients = append(clients, &client{wire: w, next: p.transfers(ask, numbers, i+1)})
	}
	return clients, nil
}
