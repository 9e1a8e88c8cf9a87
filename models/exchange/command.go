package exchange

import (
	"encoding/json"
	"fmt"

	"guichet/models/id"
	"guichet/models/money"
)

// Kinds of the exchange's commands.
const (
	KindOrder            = "order"
	KindCancellation     = "order_cancellation"
	KindMassCancellation = "order_mass_cancellation"
	KindIssue            = "share_issue"
)

// KindTrade is the kind of the journal entries that trades make.
const KindTrade = "trade"

// OrderCommand is the payload of an order. Its type and time in force are given: handlers fill in what a request leaves out.
type OrderCommand struct {
	Account       string       `json:"account"`
	Symbol        string       `json:"symbol"`
	Side          Side         `json:"side"`
	Type          Type         `json:"type"`
	TimeInForce   TimeInForce  `json:"time_in_force"`
	PostOnly      bool         `json:"post_only,omitempty"`
	Quantity      int64        `json:"quantity"`
	Price         money.Amount `json:"price,omitempty"` // of a limit order
	ClientOrderID string       `json:"client_order_id,omitempty"`
}

// CancellationCommand is the payload of the cancellation of one order. The symbol is that of the order.
type CancellationCommand struct {
	Symbol string `json:"symbol"`
	Order  id.ID  `json:"order"`
}

// MassCancellationCommand is the payload of the cancellation of all open orders that an account has in a symbol.
type MassCancellationCommand struct {
	Account string `json:"account"`
	Symbol  string `json:"symbol"`
}

// IssueCommand is the payload of a grant of new shares.
type IssueCommand struct {
	Account  string `json:"account"`
	Symbol   string `json:"symbol"`
	Quantity int64  `json:"quantity"`
}

// Command is any of the exchange's commands, read: the one that Kind names is set.
type Command struct {
	Kind             string
	Order            OrderCommand
	Cancellation     CancellationCommand
	MassCancellation MassCancellationCommand
	Issue            IssueCommand
}

// Symbol is the symbol that the command is about.
func (c *Command) Symbol() string {
	switch c.Kind {
	case KindOrder:
		return c.Order.Symbol
	case KindCancellation:
		return c.Cancellation.Symbol
	case KindMassCancellation:
		return c.MassCancellation.Symbol
	default:
		return c.Issue.Symbol
	}
}

// Account is the account that the command names, or empty for a cancellation, which names the order.
func (c *Command) Account() string {
	switch c.Kind {
	case KindOrder:
		return c.Order.Account
	case KindMassCancellation:
		return c.MassCancellation.Account
	default:
		return c.Issue.Account
	}
}

// DecodeCommand reads the payload of a command. What cannot have come through the contract is an error.
func DecodeCommand(kind string, payload []byte) (*Command, error) {
	c := Command{Kind: kind}
	var into any
	switch kind {
	case KindOrder:
		into = &c.Order
	case KindCancellation:
		into = &c.Cancellation
	case KindMassCancellation:
		into = &c.MassCancellation
	case KindIssue:
		into = &c.Issue
	default:
		return &c, fmt.Errorf("exchange: no command is called %q", kind)
	}
	if err := json.Unmarshal(payload, into); err != nil {
		return &c, err
	}
	return &c, c.check()
}

func (c *Command) check() error {
	if !ValidSymbol(c.Symbol()) {
		return fmt.Errorf("exchange: %s of symbol %q", c.Kind, c.Symbol())
	}
	switch c.Kind {
	case KindOrder:
		return c.Order.Check()
	case KindIssue:
		if !validQuantity(c.Issue.Quantity) {
			return fmt.Errorf("exchange: an issue of %d shares", c.Issue.Quantity)
		}
	}
	return nil
}

// Check says what of an order is not as the contract has it, whatever the symbol.
func (c *OrderCommand) Check() error {
	switch {
	case c.Side != Buy && c.Side != Sell:
		return fmt.Errorf("exchange: an order to %q", c.Side)
	case !validQuantity(c.Quantity):
		return fmt.Errorf("exchange: an order of %d shares", c.Quantity)
	case c.Type == LimitOrder:
		return c.checkLimit()
	case c.Type == MarketOrder:
		return c.checkMarket()
	}
	return fmt.Errorf("exchange: an order of type %q", c.Type)
}

func (c *OrderCommand) checkLimit() error {
	switch {
	case c.Price < 1 || c.Price > MaxPrice:
		return fmt.Errorf("exchange: a limit order at %d", c.Price)
	case c.TimeInForce != GoodTillCancelled && c.TimeInForce != ImmediateOrCancel && c.TimeInForce != FillOrKill:
		return fmt.Errorf("exchange: a limit order in force %q", c.TimeInForce)
	case c.PostOnly && c.TimeInForce != GoodTillCancelled:
		return fmt.Errorf("exchange: a post-only order in force %q", c.TimeInForce)
	}
	return nil
}

func (c *OrderCommand) checkMarket() error {
	switch {
	case c.Price != 0:
		return fmt.Errorf("exchange: a market order at %d", c.Price)
	case c.TimeInForce != ImmediateOrCancel && c.TimeInForce != FillOrKill:
		return fmt.Errorf("exchange: a market order in force %q", c.TimeInForce)
	case c.PostOnly:
		return fmt.Errorf("exchange: a market order that is post-only")
	}
	return nil
}

func validQuantity(quantity int64) bool { return quantity >= 1 && quantity <= MaxQuantity }
