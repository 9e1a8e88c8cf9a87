package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// exchangeDepth measures what a million resting orders cost: the mix on one symbol, with them and without, and how soon a worker that has to make that book
// anew executes the first order. The empty book is measured before and after, so that what else changes on the machine comes to both.
type exchangeDepth struct{}

const (
	deepBook = 1_000_000
	// depthWarmups is how many times the usual warm-up comes first: what making a book anew leaves to the garbage collector is not what a deep book costs.
	depthWarmups = 3
)

func (exchangeDepth) name() string { return "exchange-depth" }

func (e exchangeDepth) run(ctx context.Context, l *lab) error {
	depths := []int{0, deepBook, 0}
	rates := make([]float64, len(depths))
	for i, resting := range depths {
		h, err := l.openFloor(ctx, splitShape, symbolNames(1), crowd)
		if err != nil {
			return err
		}
		rates[i], err = e.measure(ctx, l, h, resting)
		if err := h.close(ctx, err); err != nil {
			return fmt.Errorf("%d resting orders: %w", resting, err)
		}
	}
	l.report.set(valueDepth, rates[1]/((rates[0]+rates[2])/2))
	return nil
}

// measure returns the rate of the mix beside so many resting orders.
func (e exchangeDepth) measure(ctx context.Context, l *lab, h *house, resting int) (float64, error) {
	took, err := e.restart(ctx, l, h, resting)
	if err != nil {
		return 0, err
	}
	m, f, err := h.trade(ctx, crowd, symbolNames(1), depthWarmups*l.warmup(), l.duration)
	if err != nil {
		return 0, err
	}
	trades, err := l.servers.count(ctx, runDatabase+".trades")
	if err != nil {
		return 0, err
	}
	memory, err := residentMemory(h.processes[1].pid)
	if err != nil {
		return 0, err
	}
	how := fmt.Sprintf("worker's start to the first order %s s; worker resident %.0f MB", threeDigits(took.Seconds()), float64(memory)/1e6)
	l.report.add(mixRow(fmt.Sprintf("%s, beside %d resting orders", exchangeRun, resting), crowd, m, f, trades, how))
	if resting > 0 {
		l.report.set(valueRebuild, took.Seconds())
	}
	return m.appliedRate(), nil
}

// restart puts resting orders into the book while there is no worker, starts one, and returns how long it is until that has executed an order.
func (exchangeDepth) restart(ctx context.Context, l *lab, h *house, resting int) (time.Duration, error) {
	worker := h.processes[1]
	if err := worker.stop(); err != nil {
		return 0, err
	}
	h.processes = slices.DeleteFunc(h.processes, func(p *process) bool { return p == worker })
	if resting > 0 {
		begin := time.Now()
		if err := l.servers.prefill(ctx, runDatabase, symbolNames(1)[0], resting, crowd); err != nil {
			return 0, fmt.Errorf("prefill: %w", err)
		}
		progress("  %d resting orders in %s", resting, time.Since(begin).Round(time.Millisecond))
	}
	begin := time.Now()
	if err := h.spawn(ctx, "worker"); err != nil {
		return 0, err
	}
	w, err := dialWire(ctx, h.address)
	if err != nil {
		return 0, err
	}
	defer w.close()
	err = w.conn.SetDeadline(begin.Add(readyTimeout))
	r, sendErr := w.roundTrip(h.desk(&h.people[1]).place(ticket{symbol: symbolNames(1)[0], side: "buy", kind: "limit", timeInForce: "gtc", quantity: 1, price: 1}))
	if err := errors.Join(err, sendErr); err != nil {
		return 0, err
	}
	took := time.Since(begin)
	_, err = finished(r)
	return took, err
}
