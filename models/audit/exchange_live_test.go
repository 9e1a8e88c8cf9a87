package audit

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"guichet/models/bank"
	"guichet/models/database"
	"guichet/models/exchange"
	"guichet/models/id"
	"guichet/models/money"
)

// TestExchangeLive audits a store while two lanes, each passed on between two processes whose clocks are far apart, trade with the money of the same accounts, and
// trading is halted and resumed beside them. Whatever moment an audit sees, it must hold; and the books that it sees are not empty.
func TestExchangeLive(t *testing.T) {
	onBothStores(t, func(t *testing.T, h *house) {
		crowd := newCrowd(h)
		crowd.names = 20
		for _, number := range traders {
			crowd.doors[0].open(number)
			crowd.workers[0].execute(crowd.doors[1].accept(bank.Lane, deposit(number, 100_000)))
		}
		for lane, symbol := range symbols {
			crowd.doors[lane].list(symbol, lane, 1, 1, 333)
		}
		missing := func() string { return crowd.fewer(20, "trades", "SELECT COUNT(*) FROM trades") }
		crowd.audit(600, missing, crowd.trader(0), crowd.trader(1), crowd.moveTradersCash, crowd.halt)
		expectHolds(t, h)
	})
}

var (
	traders = []string{"ADA1", "BOB1", "EVE1"}
	symbols = []string{"TCB", "XYZ"} // by lane
)

func (c *crowd) moveTradersCash(r *rand.Rand) {
	number := traders[r.IntN(len(traders))]
	e := c.doors[r.IntN(2)].accept(bank.Lane, deposit(number, 500), withdrawal(number, money.Amount(1+r.IntN(1000))))
	worker := c.workers[r.IntN(2)]
	c.again(func(tx database.Tx) error { return worker.executeIn(tx, e, nil) })
}

func (c *crowd) halt(r *rand.Rand) {
	symbol, halted := symbols[r.IntN(2)], r.IntN(3) == 0
	c.again(func(tx database.Tx) error { return c.doors[r.IntN(2)].halt(tx, symbol, halted) })
}

// trader sends envelopes to one lane. Clients' ids are few, so that they are used again, in the other lane too.
func (c *crowd) trader(lane int) func(*rand.Rand) {
	symbol := symbols[lane]
	type placed struct {
		account string
		id      id.ID
	}
	var orders []placed
	return func(r *rand.Rand) {
		var commands []command
		for range 1 + r.IntN(20) {
			account := traders[r.IntN(len(traders))]
			switch n := r.IntN(12); {
			case n == 0:
				commands = append(commands, issue(account, symbol, int64(1+r.IntN(200))))
			case n == 1 && len(orders) > 0:
				one := orders[r.IntN(len(orders))]
				commands = append(commands, cancel(one.account, symbol, one.id))
			case n == 2 && r.IntN(4) == 0:
				commands = append(commands, cancelAll(account, symbol))
			default:
				commands = append(commands, someOrder(r, account, symbol))
			}
		}
		e := c.doors[r.IntN(2)].accept(exchange.LaneName(lane), commands...)
		worker := c.workers[r.IntN(2)]
		c.again(func(tx database.Tx) error { return worker.executeIn(tx, e, nil) })
		for i := range e.Commands {
			orders = append(orders, placed{commands[i].by, e.Commands[i].ID})
		}
	}
}

func someOrder(r *rand.Rand, account, symbol string) command {
	side := []exchange.Side{exchange.Buy, exchange.Sell}[r.IntN(2)]
	quantity, price := int64(1+r.IntN(30)), money.Amount(90+r.IntN(20))
	switch r.IntN(10) {
	case 0:
		return market(account, side, symbol, quantity)
	case 1:
		return limit(account, side, symbol, quantity, price).in(exchange.ImmediateOrCancel)
	case 2:
		return limit(account, side, symbol, quantity, price).in(exchange.FillOrKill)
	case 3:
		return limit(account, side, symbol, quantity, price).postOnly()
	case 4:
		return limit(account, side, symbol, quantity, price).called(fmt.Sprint("order-", r.IntN(50)))
	}
	return limit(account, side, symbol, quantity, price)
}
