package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"
)

// orderMix is the load of the exchange, in the place where rows of transfers have their pattern.
const orderMix pattern = "order mix"

// The mix, in per cent of what clients send: limit orders, cancellations of their own resting orders, market orders, and for the rest fill-or-kill and
// immediate-or-cancel in turns. It is the mix that the book is measured with in memory, around a middle that moves over a band of prices and back.
const (
	limitShare  = 68
	cancelShare = 25
	marketShare = 6

	center = 1_000_000 // minor units
	band   = 1000
	// ordersPerStep is how many requests move the middle by one.
	ordersPerStep = 512
	// largestQuantity is that of a limit order; what trades at once or not at all is up to takerFactor as large.
	largestQuantity = 100
	takerFactor     = 4
	// mostRemembered bounds how many resting orders a client knows of: some have been filled since, which nobody tells it.
	mostRemembered = 32
)

// mixWords tells the mix in the report's conditions.
const mixWords = "exchange: 68 % limit, 25 % cancel (the own resting order that is farthest behind the middle), 6 % market, 1 % FOK or IOC, around a middle that moves by 1 " +
	"every 512 requests; clients wait for the outcome; applied: decided and settled, without what a rule rejected"

// A flow is what the traders of one load share.
type flow struct {
	symbols  []string
	sent     atomic.Int64
	answered atomic.Int64
	declined atomic.Int64 // a rule said no: the order was filled before its cancellation, or a FOK found too little
}

// middle counts a request, and returns the price around which it trades.
func (f *flow) middle() int64 { return center + swing(f.sent.Add(1)/ordersPerStep) }

// swing goes from 0 to band, to -band and back to 0, by one a step.
func swing(step int64) int64 {
	switch step %= 4 * band; {
	case step < band:
		return step
	case step < 3*band:
		return 2*band - step
	default:
		return step - 4*band
	}
}

func (f *flow) declinedShare() float64 {
	return float64(f.declined.Load()) / float64(max(1, f.answered.Load()))
}

// An action is one thing of the mix.
type action int

const (
	placeLimit action = iota
	placeMarket
	placeFOK
	placeIOC
	withdraw
)

func drawAction(rng *rand.Rand) action {
	switch n := rng.IntN(100); {
	case n < limitShare:
		return placeLimit
	case n < limitShare+cancelShare:
		return withdraw
	case n < limitShare+cancelShare+marketShare:
		return placeMarket
	case rng.IntN(2) == 0:
		return placeFOK
	default:
		return placeIOC
	}
}

// A trader is one client of the flow: what it asks, and what it knows of its own orders.
type trader struct {
	flow    *flow
	desk    *desk
	asked   action
	offered quote // the order that was asked for
	resting []quote
}

// A quote is an order that rests, as far as its owner knows.
type quote struct {
	id    string
	side  string
	price int64
}

// depth is how far behind the middle the order waits: below 0 it is beyond it, and most likely filled.
func (q *quote) depth(middle int64) int64 {
	if q.side == "sell" {
		return q.price - middle
	}
	return middle - q.price
}

func newTrader(f *flow, d *desk) *trader {
	return &trader{flow: f, desk: d, resting: make([]quote, 0, mostRemembered)}
}

// next asks for something of the mix. Who has nothing to withdraw places a limit order.
func (t *trader) next(rng *rand.Rand) []byte {
	middle := t.flow.middle()
	if t.asked = drawAction(rng); t.asked == withdraw {
		if len(t.resting) > 0 {
			return t.desk.cancel(t.farthest(middle))
		}
		t.asked = placeLimit
	}
	return t.desk.place(t.draw(rng, middle))
}

// farthest forgets the resting order that is farthest behind the middle, and returns its id.
func (t *trader) farthest(middle int64) string {
	far := 0
	for i := range t.resting {
		if t.resting[i].depth(middle) > t.resting[far].depth(middle) {
			far = i
		}
	}
	chosen := t.resting[far].id
	t.resting = slices.Delete(t.resting, far, far+1)
	return chosen
}

// draw makes an order of the kind that is asked for: its price is mostly on its own side of the middle, and sometimes beyond.
func (t *trader) draw(rng *rand.Rand, middle int64) ticket {
	o := ticket{symbol: t.flow.symbols[rng.IntN(len(t.flow.symbols))], side: "buy", kind: "limit", timeInForce: "gtc", quantity: 1 + rng.Int64N(largestQuantity)}
	offset := int64(rng.ExpFloat64()*20) - 1
	o.price = middle - offset
	if rng.IntN(2) == 0 {
		o.side, o.price = "sell", middle+offset
	}
	switch t.asked {
	case placeMarket:
		o.kind, o.timeInForce, o.price = "market", "ioc", 0
	case placeFOK:
		o.timeInForce = "fok"
	case placeIOC:
		o.timeInForce = "ioc"
	default:
		t.offered = quote{side: o.side, price: o.price}
		return o
	}
	o.quantity *= takerFactor
	return o
}

// judge expects that what was asked for was done, or that a rule which it may meet said no.
func (t *trader) judge(r reply) (verdict, error) {
	if r.status != http.StatusOK {
		return 0, unexpected(r)
	}
	t.flow.answered.Add(1)
	if !bytes.Contains(r.body, []byte(`"status":"succeeded"`)) {
		return accepted, t.refused(r)
	}
	if t.asked == placeLimit && bytes.Contains(r.body, []byte(`"status":"open"`)) {
		var err error
		if t.offered.id, err = operationID(r.body); err != nil {
			return 0, err
		}
		t.remember(t.offered)
	}
	return applied, nil
}

// refused is an error unless the mix has to expect it.
func (t *trader) refused(r reply) error {
	var o struct {
		Status  string
		Problem struct{ Code string }
	}
	if err := json.Unmarshal(r.body, &o); err != nil {
		return err
	}
	t.flow.declined.Add(1)
	code := o.Problem.Code
	if o.Status == "rejected" && (t.asked == withdraw && code == "order_not_open" || t.asked == placeFOK && code == "fok_not_fillable") {
		return nil
	}
	return unexpected(r)
}

// remember keeps an order as resting. When there are too many, the oldest goes: nobody tells its owner, but it is the one that is most likely filled.
func (t *trader) remember(q quote) {
	if len(t.resting) == mostRemembered {
		t.resting = slices.Delete(t.resting, 0, 1)
	}
	t.resting = append(t.resting, q)
}

// operationID is the id of an answered operation, which is also that of the order that it placed. It comes first.
func operationID(body []byte) (string, error) {
	_, rest, _ := bytes.Cut(body, []byte(`"id":"`))
	text, _, found := bytes.Cut(rest, []byte(`"`))
	if !found {
		return "", fmt.Errorf("no id in %s", body)
	}
	return string(text), nil
}

// A ticket is an order to be placed.
type ticket struct {
	symbol, side, kind, timeInForce string
	quantity, price                 int64 // price 0: none
}

// A desk writes the requests of one client. What it returns is valid until the next.
type desk struct {
	host, headers string // headers: whole lines with their ends
	body, request []byte
}

func newDesk(host string, headers ...string) *desk {
	d := &desk{host: host}
	for _, line := range headers {
		d.headers += line + "\r\n"
	}
	return d
}

func (d *desk) place(o ticket) []byte {
	b := d.body[:0]
	b = append(append(b, `{"symbol":"`...), o.symbol...)
	b = append(append(b, `","side":"`...), o.side...)
	b = append(append(b, `","type":"`...), o.kind...)
	b = append(append(b, `","time_in_force":"`...), o.timeInForce...)
	b = strconv.AppendInt(append(b, `","quantity":`...), o.quantity, 10)
	if o.price != 0 {
		b = strconv.AppendInt(append(b, `,"price":`...), o.price, 10)
	}
	b = append(b, '}')
	d.body = b
	d.head("POST", "")
	r := strconv.AppendInt(append(d.request, "Content-Type: application/json\r\nContent-Length: "...), int64(len(b)), 10)
	d.request = append(append(r, "\r\n\r\n"...), b...)
	return d.request
}

func (d *desk) cancel(id string) []byte {
	d.head("DELETE", "/"+id)
	d.request = append(d.request, "\r\n"...)
	return d.request
}

// head begins the request.
func (d *desk) head(method, below string) {
	r := d.request[:0]
	r = append(append(r, method...), " /v1/orders"...)
	r = append(append(r, below...), " HTTP/1.1\r\nHost: "...)
	r = append(append(r, d.host...), "\r\n"...)
	r = append(r, d.headers...)
	d.request = r
}

// crowds are the client counts that the exchange is measured at: those above one, unless there are no others.
func crowds(clients []int) []int {
	if len(clients) > 1 && clients[0] == 1 {
		return clients[1:]
	}
	return clients
}
