package exchange

import (
	"encoding/json"
	"testing"

	"guichet/models/id"
)

// badOrders are orders that do not come through the contract.
func badOrders() map[string]OrderCommand {
	return map[string]OrderCommand{
		"no side":                 limit("RICH", "", 1, 1),
		"another side":            limit("RICH", "hold", 1, 1),
		"no type":                 {Account: "RICH", Side: Buy, Quantity: 1, Price: 1, TimeInForce: GoodTillCancelled},
		"no quantity":             limit("RICH", Buy, 0, 1),
		"less than none":          limit("RICH", Sell, -1, 1),
		"too many":                limit("RICH", Buy, MaxQuantity+1, 1),
		"no price":                limit("RICH", Buy, 1, 0),
		"a negative price":        limit("RICH", Buy, 1, -1),
		"too high a price":        limit("RICH", Buy, 1, MaxPrice+1),
		"no time in force":        limit("RICH", Buy, 1, 1).in(""),
		"post-only at once":       limit("RICH", Buy, 1, 1).in(ImmediateOrCancel).postOnly(),
		"post-only or kill":       limit("RICH", Buy, 1, 1).in(FillOrKill).postOnly(),
		"market that rests":       market("RICH", Buy, 1).in(GoodTillCancelled),
		"market that is not less": market("RICH", Buy, 1).postOnly(),
		"market with a price":     {Account: "RICH", Side: Buy, Type: MarketOrder, TimeInForce: ImmediateOrCancel, Quantity: 1, Price: 1},
	}
}

func TestDecodeCommand(t *testing.T) {
	t.Parallel()
	order := limit("1111111111", Buy, 50, 32).called("a-1").postOnly()
	order.Symbol = "TCB"
	for _, want := range []Command{
		{Kind: KindOrder, Order: order},
		{Kind: KindCancellation, Cancellation: CancellationCommand{"TCB", ids.Next()}},
		{Kind: KindMassCancellation, MassCancellation: MassCancellationCommand{"1111111111", "TCB"}},
		{Kind: KindIssue, Issue: IssueCommand{"1111111111", "TCB", MaxQuantity}},
	} {
		var from any
		switch want.Kind {
		case KindOrder:
			from = want.Order
		case KindCancellation:
			from = want.Cancellation
		case KindMassCancellation:
			from = want.MassCancellation
		case KindIssue:
			from = want.Issue
		}
		payload, err := json.Marshal(from)
		if err != nil {
			t.Fatal(err)
		}
		account := "1111111111"
		if want.Kind == KindCancellation {
			account = ""
		}
		if got, err := DecodeCommand(want.Kind, payload); err != nil || *got != want || got.Symbol() != "TCB" || got.Account() != account {
			t.Errorf("%s: %+v, %v", payload, got, err)
		}
	}
}

func TestDecodeCommandRefuses(t *testing.T) {
	t.Parallel()
	for name, command := range badOrders() {
		command.Symbol = "TCB"
		payload, err := json.Marshal(command)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := DecodeCommand(KindOrder, payload); err == nil {
			t.Errorf("%s: %s", name, payload)
		}
	}
	for _, tt := range [][2]string{
		{"robbery", `{"symbol":"TCB"}`}, {KindOrder, `{`}, {KindOrder, `{"symbol":"TCB","side":"buy","type":"limit","time_in_force":"gtc","quantity":1.5,"price":1}`},
		{KindIssue, `{"account":"1","symbol":"TCB"}`}, {KindIssue, `{"account":"1","symbol":"TCB","quantity":-1}`}, {KindIssue, `{"account":"1","symbol":"TCB","quantity":1000000000001}`},
		{KindMassCancellation, `{"account":"1","symbol":"tcb"}`}, {KindCancellation, `{"symbol":"TCB","order":"TCB"}`}, {KindCancellation, `{"symbol":"","order":"` + id.ID{1}.String() + `"}`},
	} {
		if got, err := DecodeCommand(tt[0], []byte(tt[1])); err == nil {
			t.Errorf("%s %s: %+v", tt[0], tt[1], got)
		}
	}
}

func TestSymbols(t *testing.T) {
	t.Parallel()
	for symbol, want := range map[string]bool{"A": true, "TCB": true, "A1": true, "ABCDEFGHIJKL": true, "ABCDEFGHIJKLM": false, "": false, "1A": false, "a": false, "A-B": false, "Ä": false, "A\n": false} {
		if ValidSymbol(symbol) != want {
			t.Errorf("%q: %t", symbol, !want)
		}
	}
	lanes := map[string]bool{}
	for n := range 100 {
		symbol := string(rune('A'+n%26)) + string(rune('A'+n/26))
		lanes[LaneOf(symbol, 4)] = true
		if LaneOf(symbol, 1) != "exchange-0" || LaneOf(symbol, 0) != "exchange-0" {
			t.Errorf("%s goes to %s", symbol, LaneOf(symbol, 1))
		}
	}
	if len(lanes) != 4 || !lanes["exchange-0"] || !lanes["exchange-3"] {
		t.Errorf("the lanes are %v", lanes)
	}
	if LaneOf("TCB", 64) != "exchange-38" { // written in symbols.lane: it may not change
		t.Errorf("TCB goes to %s", LaneOf("TCB", 64))
	}
}
