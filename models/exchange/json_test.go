package exchange

import (
	"encoding/json"
	"math"
	"reflect"
	"testing"
	"time"

	"guichet/models/id"
)

func TestJSON(t *testing.T) {
	t.Parallel()
	order, err := id.Parse("0199b1c2-d3e4-7f60-8a1b-2c3d4e5f6071")
	if err != nil {
		t.Fatal(err)
	}
	when := time.Date(2026, 11, 21, 14, 0, 0, 123_456_789, time.FixedZone("", 7200))
	open := Order{ID: order, Account: "1", UserID: order, Symbol: "TCB", Side: Buy, Type: LimitOrder, TimeInForce: GoodTillCancelled, PostOnly: true, Quantity: 50, Filled: 20, Price: 32, Status: Open, SubmittedAt: when}
	ended := Order{ID: order, ClientOrderID: "a.b_c:d-1", Symbol: "TCB", Side: Sell, Type: MarketOrder, TimeInForce: ImmediateOrCancel, Quantity: MaxQuantity, Filled: 1, Status: Cancelled, SubmittedAt: when, CompletedAt: when.Truncate(time.Second)}
	fill := Fill{UserID: order, OrderID: order, Symbol: "TCB", Number: 7, Side: Sell, Quantity: 50, Price: 32, Fee: 160, Liquidity: Maker, OrderComplete: true, At: when}
	trade := Trade{Symbol: "TCB", Number: math.MaxInt64, Price: 32, Quantity: 50, TakerSide: Buy, At: when}
	candle := Candle{Symbol: "TCB", Interval: 300, Start: when.Truncate(5 * time.Minute), Open: 1, High: 4, Low: 2, Close: 3, Volume: 5, Trades: 6}
	holding := Holding{Account: "1111111111", Symbol: "TCB", Quantity: 100, Held: 30}
	const orderID, at = `"0199b1c2-d3e4-7f60-8a1b-2c3d4e5f6071"`, `"2026-11-21T12:00:00.123456Z"`
	const aFill = `{"id":"TCB-7-sell","order_id":` + orderID + `,"symbol":"TCB","side":"sell","quantity":50,"price":32,"fee":160,"liquidity":"maker"`
	const aCandle = `{"symbol":"TCB","interval":"5m","start":"2026-11-21T12:00:00Z","open":1,"high":4,"low":2,"close":3,"volume":5,"trades":6}`
	for _, tt := range []struct {
		name string
		got  []byte
		want string
	}{
		{"open order", open.AppendJSON(nil), `{"id":` + orderID + `,"client_order_id":null,"symbol":"TCB","side":"buy","type":"limit","time_in_force":"gtc","post_only":true,"quantity":50,"filled_quantity":20,
			"remaining_quantity":30,"cancelled_quantity":0,"price":32,"status":"open","submitted_at":` + at + `,"completed_at":null}`},
		{"cancelled order", ended.AppendJSON(nil), `{"id":` + orderID + `,"client_order_id":"a.b_c:d-1","symbol":"TCB","side":"sell","type":"market","time_in_force":"ioc","post_only":false,"quantity":1000000000000,
			"filled_quantity":1,"remaining_quantity":0,"cancelled_quantity":999999999999,"price":null,"status":"cancelled","submitted_at":` + at + `,"completed_at":"2026-11-21T12:00:00Z"}`},
		{"fill", fill.AppendJSON(nil), aFill + `,"at":` + at + `}`},
		{"fill on the feed", fill.AppendEntry(nil), aFill + `,"order_complete":true}`},
		{"fill in a notice", fill.AppendNotice(nil), aFill + `,"order_complete":true,"at":` + at + `}`},
		{"trade", trade.AppendJSON(nil), `{"id":"TCB-9223372036854775807","symbol":"TCB","price":32,"quantity":50,"taker_side":"buy","at":` + at + `}`},
		{"trade on the feed", trade.AppendEntry(nil), `{"id":"TCB-9223372036854775807","symbol":"TCB","price":32,"quantity":50,"taker_side":"buy"}`},
		{"book change", (&BookChange{"TCB", 4, []Level{{31, 10, 2}, {30, 0, 0}}, nil}).AppendJSON(nil),
			`{"symbol":"TCB","sequence":4,"bids":[{"price":31,"quantity":10,"orders":2},{"price":30,"quantity":0,"orders":0}],"asks":[]}`},
		{"candle", candle.AppendJSON(nil), aCandle},
		{"candles", AppendCandlesChanged(nil, "TCB", []Candle{candle, candle}), `{"symbol":"TCB","candles":[` + aCandle + `,` + aCandle + `]}`},
		{"holding", holding.AppendJSON(nil), `{"symbol":"TCB","quantity":100,"held":30,"available":70}`},
		{"issue", AppendIssued(nil, &holding), `{"account":"1111111111","holding":{"symbol":"TCB","quantity":100,"held":30,"available":70}}`},
		{"mass cancellation", AppendMassCancelled(nil, "TCB", 3), `{"symbol":"TCB","cancelled_orders":3}`},
	} {
		var got, want any
		if err := json.Unmarshal(tt.got, &got); err != nil {
			t.Errorf("%s: %v: %s", tt.name, err, tt.got)
		}
		if err := json.Unmarshal([]byte(tt.want), &want); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %s\nwant %s", tt.name, tt.got, tt.want)
		}
	}
	if trade.ID() != "TCB-9223372036854775807" || fill.ID() != "TCB-7-sell" {
		t.Errorf("%s, %s", trade.ID(), fill.ID())
	}
}
