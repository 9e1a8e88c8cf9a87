package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// Names of values that scenarios set and figures read.
const (
	valueWaitP50      = "wait p50 ms"
	valueWaitP99      = "wait p99 ms"
	valueIdleCPU      = "idle CPU %"
	valueIdleMemory   = "idle memory MB"
	valueStart        = "start s"
	valueOverloadP99  = "overload p99 ms"
	valueOverloadGap  = "overload backlog share"
	valueFailover     = "failover s"
	valueFailoverSwap = "failover inversions"
	valueFillP50      = "fill p50 ms"
	valueFillP99      = "fill p99 ms"
	valueUnsettled    = "matched and not settled"
	valueDepth        = "deep book over empty"
	valueRebuild      = "rebuild s"
	valueBookRate     = "book M operations/s"
	valueBookAllocs   = "book allocations"
	valueBookDepth    = "deep book over empty in memory"
	valueRowLag       = "reservation to row p99 s"
	valueOversold     = "seats oversold"
	valueMissing      = "reservations missing"
	valueFanoutMemory = "fan-out memory MB"
	valueUploadMemory = "upload memory MiB"
)

// crowd is the number of clients at which throughput is compared.
const crowd = 256

// A figure is something to reach: a measured value and the bound that it should keep.
type figure struct {
	what  string
	bound float64
	most  bool   // the bound is the most it may be, rather than the least
	aim   string // of which the bound is the modest part
	unit  string
	value func(*report) (v float64, known bool)
}

var figures = []figure{
	{
		what: "applied/s at 256 clients who take their 202 and go on, api and worker apart, over the naive handler's best", bound: 3.5, aim: "aim 5 ×", unit: "×",
		value: func(r *report) (float64, bool) {
			return ratio(r.appliedAt(splitShape, uniform), r.best(naiveRun, uniform))
		},
	},
	{
		what: "the same on the embedded pair, over the same naive figure", bound: 2.5, unit: "×",
		value: func(r *report) (float64, bool) {
			return ratio(r.appliedAt(embeddedShape, uniform), r.best(naiveRun, uniform))
		},
	},
	{
		what: "hot account, over the naive handler's best on it", bound: 5, unit: "×",
		value: func(r *report) (float64, bool) {
			return ratio(r.appliedAt(splitShape, hot), r.best(naiveRun, hot))
		},
	},
	{
		what: "hot account, over uniform", bound: 0.75, unit: "×",
		value: func(r *report) (float64, bool) {
			return ratio(r.appliedAt(splitShape, hot), r.appliedAt(splitShape, uniform))
		},
	},
	{what: "POST with Prefer: wait, one client, one after the other, idle system otherwise, p50 (worst of the shapes)", bound: 3, most: true, unit: "ms", value: named(valueWaitP50)},
	{what: "the same, p99", bound: 15, most: true, unit: "ms", value: named(valueWaitP99)},
	{what: "CPU of all processes when idle, MariaDB and Redis among them (worst of the shapes)", bound: 1, most: true, unit: "% of a core", value: named(valueIdleCPU)},
	{what: "overload, POST to applied, p99 (worst of the two)", bound: 500, most: true, unit: "ms", value: named(valueOverloadP99)},
	{what: "overload, accepted and not applied in its 5 s (worst)", bound: 0.1, most: true, unit: "of accepted", value: named(valueOverloadGap)},
	{what: "standby serves after kill -9 of the holder (worst)", bound: 5, most: true, unit: "s", value: named(valueFailover)},
	{what: "operations out of order across those kills", bound: 0, most: true, value: named(valueFailoverSwap)},
	{what: "start to ready, embedded (worst)", bound: 2, most: true, unit: "s", value: named(valueStart)},
	{what: "memory when idle, embedded", bound: 80, most: true, unit: "MB", value: named(valueIdleMemory)},
	{
		what: "exchange, orders settled/s at 256 clients, api and worker apart", bound: 5000, unit: "/s",
		value: func(r *report) (float64, bool) {
			line, known := r.find(exchangeRun, crowd, orderMix)
			return line.applied, known
		},
	},
	{
		what: "the same, over the best of a naive handler that matches in SQL", bound: 2, unit: "×",
		value: func(r *report) (float64, bool) {
			line, _ := r.find(exchangeRun, crowd, orderMix)
			return ratio(line.applied, r.best(naiveExchangeRun, orderMix))
		},
	},
	{what: "order to both fills on the feed, idle system, p50 (worst of the shapes)", bound: 15, most: true, unit: "ms", value: named(valueFillP50)},
	{what: "the same, p99", bound: 40, most: true, unit: "ms", value: named(valueFillP99)},
	{what: "the book in memory, the same mix, one core", bound: 5, unit: "M operations/s", value: named(valueBookRate)},
	{what: "allocations of it", bound: 0, most: true, unit: "an operation", value: named(valueBookAllocs)},
	{what: "orders/s over HTTP beside 1,000,000 that rest, over an empty book", bound: 0.9, unit: "×", value: named(valueDepth)},
	{what: "the same in memory", bound: 0.9, unit: "×", value: named(valueBookDepth)},
	{what: "a worker's start to the first order on that book", bound: 10, most: true, unit: "s", value: named(valueRebuild)},
	{what: "trades matched and not settled after a burst (worst of its last moments)", bound: 0, most: true, value: named(valueUnsettled)},
	{
		what: "trips, purchases paid/s at 256 clients for one hot trip, over the best of a naive handler with FOR UPDATE on the class", bound: 4, aim: "aim 6 ×", unit: "×",
		value: func(r *report) (float64, bool) {
			line, _ := r.find(tripRun, crowd, hotTrip)
			return ratio(line.applied, r.best(naiveTripRun, hotTrip))
		},
	},
	{
		what: "reservations/s over HTTP at 256 clients, free seats, over the no-op HTTP ceiling", bound: 0.35, aim: "aim 0.5 ×", unit: "×",
		value: func(r *report) (float64, bool) { return r.ofCeiling(freeSeats) },
	},
	{
		what: "the same, everything sold out", bound: 0.45, aim: "aim 0.6 ×", unit: "×",
		value: func(r *report) (float64, bool) { return r.ofCeiling(soldOut) },
	},
	{what: "seats oversold in the race, Redis killed in some rounds", bound: 0, most: true, value: named(valueOversold)},
	{what: "reservations of it that were answered 201 and are missing later", bound: 0, most: true, value: named(valueMissing)},
	{what: "reservation to its row in MySQL under that load, p99 (worst of the client counts)", bound: 1.5, most: true, unit: "s", value: named(valueRowLag)},
	{
		what: "messages accepted and stored/s at 256 clients in one room, over the best of a naive handler with one INSERT a request", bound: 8, unit: "×",
		value: func(r *report) (float64, bool) {
			line, _ := r.find(messageRun, crowd, oneRoom)
			return ratio(line.applied, r.best(naiveChatRun, oneRoom))
		},
	},
	{
		what: "the same, over the best of one that gives the message the room's next sequence, too", bound: 8, unit: "×",
		value: func(r *report) (float64, bool) {
			line, _ := r.find(messageRun, crowd, oneRoom)
			return ratio(line.applied, r.best(numberedChatRun, oneRoom))
		},
	},
	{
		what: "fan-out of a room, messages received/s by 100 readers, over a bare net/http broadcast", bound: 0.75, unit: "×",
		value: func(r *report) (float64, bool) { return r.ofBareFanout(100) },
	},
	{what: "the same by 1,000 readers", bound: 1, unit: "×", value: func(r *report) (float64, bool) { return r.ofBareFanout(1000) }},
	{what: "the same by 5,000 readers", bound: 1.2, unit: "×", value: func(r *report) (float64, bool) { return r.ofBareFanout(5000) }},
	{
		what: "POST to received, 1,000 readers of 50 messages/s, p50, over the bare broadcast's", bound: 1, most: true, unit: "×",
		value: func(r *report) (float64, bool) {
			return r.ofBareLatency(func(q quantiles) time.Duration { return q.p50 })
		},
	},
	{
		what: "the same, p99", bound: 1, most: true, unit: "×",
		value: func(r *report) (float64, bool) {
			return r.ofBareLatency(func(q quantiles) time.Duration { return q.p99 })
		},
	},
	{what: "memory of the api process with 5,000 readers (worst of the loads)", bound: 120, most: true, unit: "MB", value: named(valueFanoutMemory)},
	{what: "memory that a file of 1 GiB takes the process that receives and sends it (worst of the shapes)", bound: 32, most: true, unit: "MiB", value: named(valueUploadMemory)},
}

func (r *report) appliedAt(s shape, p pattern) float64 {
	line, _ := r.find(s.label, crowd, p)
	return line.applied
}

// ofCeiling is what part of the no-op HTTP ceiling reservations reach under a load.
func (r *report) ofCeiling(p pattern) (float64, bool) {
	line, _ := r.find(reservationRun, crowd, p)
	ceiling, _ := r.find(noopRun, crowd, uniform)
	return ratio(line.accepted, ceiling.accepted)
}

// ofBareFanout is what the fan-out delivers of what the bare broadcast does, to so many readers.
func (r *report) ofBareFanout(readers int) (float64, bool) {
	line, _ := r.find(fanoutRun, readers, saturated)
	bare, _ := r.find(bareFanoutRun, readers, saturated)
	return ratio(line.applied, bare.applied)
}

// ofBareLatency is a quantile of the fan-out's latency as a multiple of the bare broadcast's.
func (r *report) ofBareLatency(at func(quantiles) time.Duration) (float64, bool) {
	line, _ := r.find(fanoutRun, latencyReaders, paced)
	bare, _ := r.find(bareFanoutRun, latencyReaders, paced)
	return ratio(at(line.latency).Seconds(), at(bare.latency).Seconds())
}

func ratio(a, b float64) (float64, bool) {
	if a == 0 || b == 0 {
		return 0, false
	}
	return a / b, true
}

func named(name string) func(*report) (float64, bool) {
	return func(r *report) (float64, bool) {
		v, known := r.values[name]
		return v, known
	}
}

// printFigures writes each figure with its target and whether it was reached.
func (r *report) printFigures(w io.Writer) {
	fmt.Fprint(w, "\n| figure | target | measured | |\n| --- | --- | --- | --- |\n")
	for _, f := range figures {
		measured, verdict := f.judge(r)
		fmt.Fprintf(w, "| %s | %s | %s | %s |\n", f.what, f.target(), measured, verdict)
	}
}

func (f figure) target() string {
	sign := "≥"
	if f.most {
		sign = "≤"
	}
	text := strings.TrimSpace(sign + " " + threeDigits(f.bound) + " " + f.unit)
	if f.aim != "" {
		text += " (" + f.aim + ")"
	}
	return text
}

func (f figure) judge(r *report) (measured, verdict string) {
	v, known := f.value(r)
	if !known {
		return "not measured", ""
	}
	verdict = "short"
	if f.most && v <= f.bound || !f.most && v >= f.bound {
		verdict = "ok"
	}
	return strings.TrimSpace(threeDigits(v) + " " + f.unit), verdict
}

// threeDigits writes 0.0123, 4.56, 789 or 1283: three digits and no exponent.
func threeDigits(v float64) string {
	if v >= 100 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}
