package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"
)

// exchangeLatency measures how soon both sides of a trade are told of it on a system that does nothing else: one user's order rests, another's takes it, and
// the time runs from sending the taking order until both have their order.filled on the feed.
type exchangeLatency struct{}

const (
	// fewestRounds make a p99 that means something, however short the window.
	fewestRounds = 200
	// fillTimeout is how long a fill may take at all.
	fillTimeout = 20 * time.Second
)

func (exchangeLatency) name() string { return "exchange-latency" }

func (e exchangeLatency) run(ctx context.Context, l *lab) error {
	for _, s := range shapes {
		h, err := l.openFloor(ctx, s, symbolNames(1), 2)
		if err != nil {
			return err
		}
		if err := h.close(ctx, e.measure(ctx, l, h)); err != nil {
			return fmt.Errorf("%s: %w", s.word, err)
		}
	}
	return nil
}

func (e exchangeLatency) measure(ctx context.Context, l *lab, h *house) (err error) {
	var pair duel
	defer func() { err = errors.Join(err, pair.close()) }()
	for i := range pair {
		if pair[i], err = h.openCorner(ctx, &h.people[1+i]); err != nil {
			return err
		}
	}
	if _, err := pair.rounds(ctx, 10, 0, 0); err != nil { // until everything is warm
		return err
	}
	for _, think := range []time.Duration{thinking, 0} {
		q, err := pair.rounds(ctx, fewestRounds, think, l.duration)
		if err != nil {
			return err
		}
		how := "back to back"
		if think > 0 {
			how = fmt.Sprintf("after pauses of 0–%d ms", think.Milliseconds())
			l.report.set(valueFillP50, inMillis(q.p50))
			l.report.set(valueFillP99, inMillis(q.p99))
		}
		l.report.add(row{
			run: "order to both fills on the feed, idle system; " + h.label, clients: 2, latency: q,
			remarks: fmt.Sprintf("%d rounds, %s; slowest %s ms", q.count, how, millis(q.max)),
		})
	}
	return nil
}

// A duel is two users who trade with each other, in turns of who rests and who takes.
type duel [2]*corner

// A corner is one user of a duel: a connection for orders, and a stream that tells of fills.
type corner struct {
	wire   *wire
	desk   *desk
	cancel context.CancelFunc // of the stream
	fills  chan filled
	ended  chan error // why the stream did
}

// filled is an order.filled entry as it was received.
type filled struct {
	order string
	at    time.Time
}

func (h *house) openCorner(ctx context.Context, p *person) (*corner, error) {
	w, err := dialWire(ctx, h.address)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	c := &corner{wire: w, desk: h.desk(p), cancel: cancel, fills: make(chan filled, 16), ended: make(chan error, 1)}
	body, err := h.openFeed(ctx, p)
	if err != nil {
		cancel()
		w.close()
		return nil, err
	}
	go func() {
		defer func() { _ = body.Close() }() // what it had to say was read
		c.ended <- readFills(body, c.fills)
	}()
	return c, nil
}

// openFeed follows a person's own entries until the context ends.
func (h *house) openFeed(ctx context.Context, p *person) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+h.address+"/v1/feed", nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+p.token)
	response, err := http.DefaultClient.Do(request) // which has no timeout: the stream lasts
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		defer func() { _ = response.Body.Close() }() // the status says it
		return nil, fmt.Errorf("the feed of %s: %s", p.username, response.Status)
	}
	return response.Body, nil
}

// readFills sends what a stream tells of fills, until it ends.
func readFills(stream io.Reader, fills chan<- filled) error {
	lines := bufio.NewReader(stream)
	var event string
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return err
		}
		at := time.Now()
		line = bytes.TrimRight(line, "\r\n")
		if name, ok := bytes.CutPrefix(line, []byte("event: ")); ok {
			event = string(name)
			continue
		}
		data, ok := bytes.CutPrefix(line, []byte("data: "))
		if !ok || event != "order.filled" {
			continue
		}
		_, rest, _ := bytes.Cut(data, []byte(`"order_id":"`))
		order, _, found := bytes.Cut(rest, []byte(`"`))
		if !found {
			return fmt.Errorf("no order_id in %s", data)
		}
		fills <- filled{string(order), at}
	}
}

// rounds trades at least so many times, and until the window has passed, with pauses of 0 … think before each taking order.
func (d duel) rounds(ctx context.Context, fewest int, think, window time.Duration) (quantiles, error) {
	rng := rand.New(rand.NewPCG(3, 4))
	recorder := newRecorder()
	end := time.Now().Add(window)
	for n := 0; n < fewest || time.Now().Before(end); n++ {
		maker, taker := d[n%2], d[(n+1)%2]
		o := ticket{symbol: symbolNames(1)[0], side: "sell", kind: "limit", timeInForce: "gtc", quantity: 1, price: center}
		resting, err := maker.order(o)
		if err != nil {
			return quantiles{}, err
		}
		if think > 0 {
			waitUntil(ctx, time.Now().Add(time.Duration(rng.Int64N(int64(think)))), nil)
		}
		o.side = "buy"
		sent := time.Now()
		taking, err := taker.order(o)
		if err != nil {
			return quantiles{}, err
		}
		told1, err1 := maker.told(ctx, resting)
		told2, err2 := taker.told(ctx, taking)
		if err := errors.Join(err1, err2); err != nil {
			return quantiles{}, err
		}
		recorder.record(0, max(told1.Sub(sent), told2.Sub(sent)))
	}
	return recorder.quantiles(), nil
}

// order places an order, which must succeed, and returns its id.
func (c *corner) order(o ticket) (string, error) {
	if err := c.wire.conn.SetDeadline(time.Now().Add(fillTimeout)); err != nil {
		return "", err
	}
	r, err := c.wire.roundTrip(c.desk.place(o))
	if err != nil {
		return "", err
	}
	if _, err := finished(r); err != nil {
		return "", err
	}
	return operationID(r.body)
}

// told waits for the fill of an order, which is the next one, and returns when it was received.
func (c *corner) told(ctx context.Context, order string) (time.Time, error) {
	select {
	case f := <-c.fills:
		if f.order != order {
			return f.at, fmt.Errorf("a fill of order %s, and not of %s", f.order, order)
		}
		return f.at, nil
	case err := <-c.ended:
		return time.Time{}, fmt.Errorf("the feed ended: %w", err)
	case <-ctx.Done():
		return time.Time{}, ctx.Err()
	case <-time.After(fillTimeout):
		return time.Time{}, fmt.Errorf("no fill of order %s within %s", order, fillTimeout)
	}
}

// close ends what was opened. A stream that had ended by itself is an error.
func (d duel) close() error {
	var errs []error
	for _, c := range d {
		if c == nil {
			continue
		}
		select {
		case err := <-c.ended:
			errs = append(errs, fmt.Errorf("the feed ended: %w", err))
		default:
		}
		c.cancel()
		c.wire.close()
	}
	return errors.Join(errs...)
}
