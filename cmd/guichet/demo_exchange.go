package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"guichet/models/exchange"
)

// demoSymbol is a symbol of the demonstration.
type demoSymbol struct {
	Symbol string `json:"symbol"`
	Name   string `json:"name"`
	Tick   int64  `json:"tick"` // minor units
	Lot    int64  `json:"lot"`  // shares
	FeeBps int    `json:"fee_bps"`
}

var demoSymbols = []demoSymbol{
	{"TCB", "Turing Computing Bureau", 1, 1, exchange.DefaultFeeBps},
	{"LOOM", "Jacquard Looms", 5, 10, 250},
	{"WIRE", "Nanosecond Wire", 1, 1, 25},
}

// demoShares is how many of each symbol each person is granted.
const demoShares = 1000

// demoOrder is an order of the demonstration.
type demoOrder struct {
	Symbol   string `json:"symbol"`
	Side     string `json:"side"`
	Quantity int64  `json:"quantity"`
	Price    int64  `json:"price"` // minor units
}

// demoOrders rest on both sides of each book, so that a newcomer's first order is filled at once. In a book each person is on one side only: of what they
// offer themselves nobody can buy.
var demoOrders = map[string][]demoOrder{
	"ada": {
		{"TCB", "buy", 80, 30}, {"TCB", "buy", 120, 29}, {"TCB", "buy", 200, 27},
		{"LOOM", "sell", 50, 205}, {"LOOM", "sell", 120, 210},
		{"WIRE", "buy", 25, 118}, {"WIRE", "buy", 40, 117},
	},
	"grace": {
		{"TCB", "sell", 100, 32}, {"TCB", "sell", 150, 33}, {"TCB", "sell", 250, 35},
		{"LOOM", "buy", 50, 195}, {"LOOM", "buy", 120, 190},
		{"WIRE", "sell", 25, 120}, {"WIRE", "sell", 40, 121},
	},
}

// demoExchange lists symbols, grants shares and places orders, unless there are symbols already, or nobody has told the admin's password.
func (a *app) demoExchange(ctx context.Context, client *demoClient, adminPassword string) error {
	listed, err := exchange.Symbols(a.db.Read(ctx), "", 1)
	if err != nil || len(listed) > 0 || adminPassword == "" {
		return err
	}
	if err := client.as(ctx, "admin", adminPassword, func() error { return client.listDemoSymbols(ctx) }); err != nil {
		return err
	}
	for _, p := range demoPeople {
		err := client.as(ctx, p.name, p.password, func() error {
			for _, order := range demoOrders[p.name] {
				if err := client.succeed(ctx, "/orders", order); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *demoClient) listDemoSymbols(ctx context.Context) error {
	for _, symbol := range demoSymbols {
		if _, err := c.post(ctx, "/symbols", symbol, nil); err != nil {
			return err
		}
		for _, p := range demoPeople {
			if err := c.succeed(ctx, "/symbols/"+symbol.Symbol+"/issues", map[string]any{"account": p.account, "quantity": demoShares}); err != nil {
				return err
			}
		}
	}
	return nil
}

// succeed submits an operation and wants it to have succeeded.
func (c *demoClient) succeed(ctx context.Context, path string, body any) error {
	var ended struct {
		Status  string          `json:"status"`
		Problem json.RawMessage `json:"problem"`
	}
	if _, err := c.post(ctx, path, body, &ended); err != nil {
		return err
	}
	if ended.Status != "succeeded" {
		return fmt.Errorf("%s: %v is %s: %s", path, body, ended.Status, ended.Problem)
	}
	return nil
}

func printDemoSymbols(out io.Writer) {
	fmt.Fprintf(out, "\nSymbols, with orders to buy from and to sell to\n")
	for _, s := range demoSymbols {
		fmt.Fprintf(out, "  %-4s  %s\n", s.Symbol, s.Name)
	}
}
