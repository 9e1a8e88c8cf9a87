package audit

import (
	"time"

	"guichet/models/bank"
	"guichet/models/database"
	"guichet/models/exchange"
	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/money"
	"guichet/models/operation"
	"guichet/models/problem"
)

// list lists a symbol that is traded in one of two lanes.
func (p *process) list(name string, lane int, tick money.Amount, lot int64, feeBps int) {
	p.Helper()
	must(p, p.db.Write(p.Context(), func(tx database.Tx) error {
		s := exchange.Symbol{Symbol: name, Name: name, Tick: tick, Lot: lot, FeeBps: feeBps, Lane: exchange.LaneName(lane), ListedAt: time.Now()}
		return exchange.InsertSymbol(tx, &p.clock, &s)
	}))
}

// halt halts or resumes trading.
func (p *process) halt(tx database.Tx, symbol string, halted bool) error {
	_, err := exchange.Halt(tx, &p.clock, symbol, halted, time.Now())
	return err
}

func (p *process) mustHalt(symbol string, halted bool) {
	p.Helper()
	must(p, p.db.Write(p.Context(), func(tx database.Tx) error { return p.halt(tx, symbol, halted) }))
}

func issue(account, symbol string, quantity int64) command {
	return command{exchange.KindIssue, exchange.IssueCommand{Account: account, Symbol: symbol, Quantity: quantity}, "ADMIN"}
}

// limit is an order that rests until it is cancelled.
func limit(account string, side exchange.Side, symbol string, quantity int64, price money.Amount) command {
	return ordered(exchange.OrderCommand{Account: account, Symbol: symbol, Side: side, Type: exchange.LimitOrder, TimeInForce: exchange.GoodTillCancelled, Quantity: quantity, Price: price})
}

// market is an order that trades at any price, and does not rest.
func market(account string, side exchange.Side, symbol string, quantity int64) command {
	return ordered(exchange.OrderCommand{Account: account, Symbol: symbol, Side: side, Type: exchange.MarketOrder, TimeInForce: exchange.ImmediateOrCancel, Quantity: quantity})
}

func ordered(c exchange.OrderCommand) command { return command{exchange.KindOrder, c, c.Account} }

// with is an order that is not quite so.
func (c command) with(change func(o *exchange.OrderCommand)) command {
	o := c.payload.(exchange.OrderCommand)
	change(&o)
	return ordered(o)
}

func (c command) called(clientOrderID string) command {
	return c.with(func(o *exchange.OrderCommand) { o.ClientOrderID = clientOrderID })
}

func (c command) in(force exchange.TimeInForce) command {
	return c.with(func(o *exchange.OrderCommand) { o.TimeInForce = force })
}

func (c command) postOnly() command {
	return c.with(func(o *exchange.OrderCommand) { o.PostOnly = true })
}

func cancel(by, symbol string, order id.ID) command {
	return command{exchange.KindCancellation, exchange.CancellationCommand{Symbol: symbol, Order: order}, by}
}

func cancelAll(account, symbol string) command {
	return command{exchange.KindMassCancellation, exchange.MassCancellationCommand{Account: account, Symbol: symbol}, account}
}

// floorRound is an envelope of the exchange, as workers/exchange.go executes it. It knows no market from before: every envelope is a takeover.
type floorRound struct {
	*exchange.Round
	floor    *exchange.Floor
	commands map[id.ID]*exchange.Command
}

func loadFloor(tx database.Tx, lane string, commands []operation.Command) (round, error) {
	r := &floorRound{floor: exchange.NewFloor(lane), commands: map[id.ID]*exchange.Command{}}
	var submitted []exchange.Submitted
	for i := range commands {
		c, err := exchange.DecodeCommand(commands[i].Kind, commands[i].Payload)
		if err != nil {
			return nil, err
		}
		r.commands[commands[i].ID] = c
		submitted = append(submitted, exchange.Submitted{Command: c, User: commands[i].UserID})
	}
	var err error
	r.Round, err = r.floor.Load(tx, submitted)
	return r, err
}

func (r *floorRound) lastStamp() lamport.Stamp { return max(r.LastStamp(), r.floor.LastStamp()) }

func (r *floorRound) decide(c *operation.Command, cause bank.Cause) (refusal *problem.Problem) {
	read := r.commands[c.ID]
	m, by := r.floor.Market(read.Symbol()), exchange.Cause{Cause: cause, UserID: c.UserID, SubmittedAt: c.SubmittedAt}
	switch read.Kind {
	case exchange.KindOrder:
		_, refusal = m.Place(r.Round, by, &read.Order)
	case exchange.KindCancellation:
		_, refusal = m.Cancel(r.Round, by, &read.Cancellation)
	case exchange.KindMassCancellation:
		_, refusal = m.CancelAll(r.Round, by, &read.MassCancellation)
	case exchange.KindIssue:
		_, refusal = m.Issue(r.Round, by, &read.Issue)
	}
	return refusal
}

func (r *floorRound) save(tx database.Tx) error {
	if err := r.floor.Prepare(tx); err != nil {
		return err
	}
	_, err := r.floor.Save(tx, r.Round, func(order id.ID) bool { return r.commands[order] != nil })
	return err
}

// tradingDay is a past of the exchange in which everything happened that may happen. Its orders are named for the tests that falsify it.
type tradingDay struct {
	bought, sold      id.ID // by ADA1 and BOB1, all of each: trade TCB-1
	openBuy, openSell id.ID // 18 of 20 at 30 remain of the one, which is ADA1's, and 8 of 20 at 35 of the other, which is EVE1's
	cancelled         id.ID // it had no fill
	refused, halted   id.ID // for want of shares, and while trading was halted
	issued            id.ID
	taker             id.ID // of trades TCB-2 and TCB-3
}

// trade lets processes, whose clocks have nothing to do with each other, make a trading day in two lanes.
func (h *house) trade() tradingDay {
	h.Helper()
	const first, second = "exchange-0", "exchange-1"
	door, otherDoor, worker, standby := h.process(1000), h.process(7), h.process(2), h.process(500_000)
	for _, number := range []string{"ADA1", "BOB1", "EVE1"} {
		door.open(number)
		worker.execute(door.accept(bank.Lane, deposit(number, 10_000)))
	}
	standby.execute(otherDoor.accept(first, limit("ADA1", exchange.Buy, "TCB", 1, 1), cancelAll("ADA1", "TCB"), issue("ADA1", "TCB", 1))) // nobody knows it yet
	otherDoor.list("TCB", 0, 1, 1, exchange.DefaultFeeBps)
	otherDoor.list("XYZ", 1, 5, 10, 1)
	otherDoor.list("IDLE", 0, 1, 1, 0)

	var day tradingDay
	e := door.accept(first, issue("BOB1", "TCB", 100), issue("EVE1", "TCB", 60), issue("NOBODY", "TCB", 1), limit("BOB1", exchange.Sell, "TCB", 50, 32).called("b-1"),
		limit("ADA1", exchange.Buy, "TCB", 50, 32).called("a-1"), limit("ADA1", exchange.Sell, "TCB", 51, 40))
	worker.execute(e)
	day.issued, day.sold, day.bought, day.refused = e.Commands[0].ID, e.Commands[3].ID, e.Commands[4].ID, e.Commands[5].ID
	standby.execute(otherDoor.accept(second, issue("BOB1", "XYZ", 400), limit("BOB1", exchange.Sell, "XYZ", 200, 15).called("b-1"), limit("BOB1", exchange.Sell, "XYZ", 200, 15).called("b-2"),
		limit("BOB1", exchange.Sell, "XYZ", 200, 500), limit("ADA1", exchange.Buy, "XYZ", 15, 15),
		limit("ADA1", exchange.Buy, "XYZ", 10, 16), limit("ADA1", exchange.Buy, "XYZ", 100, 20), market("EVE1", exchange.Buy, "XYZ", 3000))) // 17 of the second she could pay for, and buys a lot

	e = otherDoor.accept(first, limit("ADA1", exchange.Buy, "TCB", 20, 30), limit("ADA1", exchange.Buy, "TCB", 5, 29), limit("EVE1", exchange.Sell, "TCB", 20, 33), limit("BOB1", exchange.Sell, "TCB", 10, 33),
		limit("BOB1", exchange.Sell, "TCB", 7, 34), limit("EVE1", exchange.Buy, "TCB", 3, 28), limit("ADA1", exchange.Sell, "TCB", 4, 36))
	standby.execute(e)
	day.openBuy, day.cancelled, day.openSell = e.Commands[0].ID, e.Commands[1].ID, e.Commands[2].ID
	e = door.accept(first, cancel("ADA1", "TCB", day.cancelled), cancel("BOB1", "TCB", day.openBuy), cancel("ADA1", "TCB", day.bought), cancel("ADA1", "TCB", door.ids.Next()), // 33: 20 + 10, 34: 7
		limit("ADA1", exchange.Buy, "TCB", 25, 33).in(exchange.ImmediateOrCancel), limit("ADA1", exchange.Buy, "TCB", 25, 34).in(exchange.FillOrKill), limit("ADA1", exchange.Buy, "TCB", 1, 33).postOnly(),
		limit("BOB1", exchange.Sell, "TCB", 1, 40).called("b-1"), limit("BOB1", exchange.Buy, "TCB", 8, 34), // the next sell is his own
		market("EVE1", exchange.Sell, "TCB", 2))
	worker.execute(e)
	day.taker = e.Commands[4].ID

	door.mustHalt("TCB", true)
	door.mustHalt("TCB", true) // as it is
	e = otherDoor.accept(first, limit("ADA1", exchange.Buy, "TCB", 1, 1), cancelAll("BOB1", "TCB"))
	standby.execute(e)
	day.halted = e.Commands[0].ID
	otherDoor.mustHalt("TCB", false)
	otherDoor.mustHalt("XYZ", true)

	e = door.accept(first, limit("EVE1", exchange.Sell, "TCB", 20, 35), limit("ADA1", exchange.Buy, "TCB", 6, 35), limit("EVE1", exchange.Sell, "TCB", 1, 36), market("BOB1", exchange.Buy, "TCB", 6),
		limit("ADA1", exchange.Sell, "TCB", 2, 1).in(exchange.FillOrKill), limit("EVE1", exchange.Buy, "TCB", 1, 1_000_000_000_000_000))
	worker.execute(e, 4)
	day.openSell = e.Commands[0].ID
	replayed, err := operation.NewJournal(h.db).Replay(h.Context(), e.Commands[4].ID, nil)
	must(h, err)
	again := &operation.Envelope{}
	again.Add(replayed.Batch, replayed.Commands)
	standby.execute(again)
	worker.execute(otherDoor.accept(bank.Lane, withdrawal("ADA1", 10_000), withdrawal("BOB1", 10))) // of the first, a part is held
	standby.execute(door.accept(second, cancelAll("ADA1", "XYZ"), market("ADA1", exchange.Buy, "XYZ", 10)))
	standby.execute(door.accept(second, limit("ADA1", exchange.Buy, "TCB", 1, 1), cancel("ADA1", "TCB", day.openBuy))) // the lane has no such symbol
	return day
}
