package exchange

import (
	"guichet/models/bank"
	"guichet/models/money"
	"guichet/models/problem"
)

// Place decides an order: it trades what can be traded at once, and the rest rests or is cancelled. It refuses, in this order, and then changes nothing:
// unknown_symbol, symbol_halted, unknown_account, duplicate_client_order_id, invalid_lot, invalid_tick, insufficient_shares, notional_overflow,
// insufficient_funds, balance_limit (a sell whose proceeds at its limit the account could not take), post_only_would_cross, fok_not_fillable.
// An order that Check does not pass did not come through the contract, and panics.
func (m *Market) Place(r *Round, c Cause, command *OrderCommand) (*Facts, *problem.Problem) {
	if err := command.Check(); err != nil {
		panic(err)
	}
	account, refusal := m.admit(r, &c, command)
	if refusal != nil {
		return nil, refusal
	}
	stop, refusal := m.match(r, &c, command, account)
	if refusal != nil {
		return nil, refusal
	}
	facts := &Facts{Order: newOrder(&c, command)}
	if command.ClientOrderID != "" {
		r.History.AddClientOrderID(c.UserID, command.ClientOrderID)
	}
	for i := range m.matches {
		m.settle(r, &c, &m.matches[i], facts)
	}
	m.finish(r, &c, stop, facts)
	return facts, nil
}

func newOrder(c *Cause, command *OrderCommand) Order {
	return Order{
		ID: c.OperationID, Account: command.Account, UserID: c.UserID, ClientOrderID: command.ClientOrderID, Symbol: command.Symbol, Side: command.Side,
		Type: command.Type, TimeInForce: command.TimeInForce, PostOnly: command.PostOnly, Quantity: command.Quantity, Price: command.Price, Status: Open,
		Priority: int64(c.Stamp), SubmittedAt: c.SubmittedAt, Lamport: c.Stamp,
	}
}

// admit makes the checks that need no look at the book.
func (m *Market) admit(r *Round, c *Cause, command *OrderCommand) (*bank.Account, *problem.Problem) {
	if refusal := m.known(c, command.Symbol); refusal != nil {
		return nil, refusal
	}
	if m.symbol.Halted {
		return nil, problem.Newf(problem.SymbolHalted, "trading in %s is halted", command.Symbol)
	}
	account, refusal := see(r, c, command.Account)
	if refusal != nil {
		return nil, refusal
	}
	switch {
	case command.ClientOrderID != "" && r.History.hasClientOrderID(c.UserID, command.ClientOrderID):
		return nil, problem.Newf(problem.DuplicateClientOrderID, "you have given the id %s to an order before", command.ClientOrderID)
	case command.Quantity%m.symbol.Lot != 0:
		return nil, problem.Newf(problem.InvalidLot, "%s is traded in lots of %d", command.Symbol, m.symbol.Lot)
	case command.Price%m.symbol.Tick != 0:
		return nil, problem.Newf(problem.InvalidTick, "prices of %s are multiples of %d", command.Symbol, m.symbol.Tick)
	}
	return account, m.afford(r, c, command, account)
}

// afford makes the checks of what the account has, and of what it may have.
func (m *Market) afford(r *Round, c *Cause, command *OrderCommand, account *bank.Account) *problem.Problem {
	if command.Side == Sell {
		var available int64
		if holding := r.Holdings.see(command.Account, command.Symbol, c.Stamp); holding != nil {
			available = holding.Available()
		}
		if available < command.Quantity {
			return problem.Newf(problem.InsufficientShares, "account %s has %d %s available", command.Account, available, command.Symbol)
		}
	}
	if command.Type == MarketOrder { // it spends what there is
		return nil
	}
	notional, fits := Notional(command.Price, command.Quantity)
	switch {
	case !fits:
		return problem.Newf(problem.NotionalOverflow, "%d × %d is more than %d", command.Quantity, command.Price, money.MaxBalance)
	case command.Side == Buy && account.Available() < notional:
		return problem.Newf(problem.InsufficientFunds, "account %s has %d available", account.Number, account.Available())
	case command.Side == Sell && account.Balance > money.MaxBalance-notional+Fee(notional, m.symbol.FeeBps):
		return problem.Newf(problem.BalanceLimit, "the balance of account %s would exceed what an account may hold", account.Number)
	}
	return nil
}

// match finds the matches of an order in the book, into m.matches, and why they end. It changes nothing.
func (m *Market) match(r *Round, c *Cause, command *OrderCommand, account *bank.Account) (Stop, *problem.Problem) {
	m.matches = m.matches[:0]
	if command.PostOnly {
		if m.book.Crosses(command.Side, command.Price) {
			return 0, problem.New(problem.PostOnlyWouldCross, "the order would trade at once")
		}
		return StopNobody, nil
	}
	taker := Incoming{Side: command.Side, Price: command.Price, Quantity: command.Quantity, Owner: m.owners[command.Account], Judge: m.judge(r, c, account, command.Side)}
	if command.Type == MarketOrder && command.Side == Buy {
		taker.Capped, taker.Budget, taker.Lot = true, account.Available(), m.symbol.Lot
	}
	var stop Stop
	m.matches, stop = m.book.Matches(&taker, m.matches)
	if command.TimeInForce == FillOrKill && stop != StopFilled {
		return stop, problem.Newf(problem.FOKNotFillable, "%d shares cannot be traded at once", command.Quantity)
	}
	return stop, nil
}

// judge keeps balances within their limit: a maker whose account cannot take the proceeds is dropped, and a taker trades no further. It adds up what
// the accounts would have received by then.
func (m *Market) judge(r *Round, c *Cause, taker *bank.Account, side Side) func(Match) Verdict {
	received := map[*bank.Account]money.Amount{}
	return func(match Match) Verdict {
		seller, verdict := taker, StopTaker
		if side == Buy {
			seller, verdict = r.Ledger.Account(m.owned[match.Owner].account), DropMaker
		}
		if seller == nil {
			panic("exchange: the account of a maker was not loaded")
		}
		notional := match.Price * money.Amount(match.Quantity)
		proceeds := notional - Fee(notional, m.symbol.FeeBps)
		if seller.Balance+received[seller]+proceeds > money.MaxBalance {
			if _, refusal := see(r, c, seller.Number); refusal != nil { // the decision depends on its balance
				panic(refusal)
			}
			return verdict
		}
		received[seller] += proceeds
		return Agreed
	}
}

// settle makes a match: the book, the money, the shares and both orders change together.
func (m *Market) settle(r *Round, c *Cause, match *Match, facts *Facts) {
	if match.Quantity == 0 {
		m.cancel(r, c, match.Maker, facts)
		return
	}
	taker, maker := &facts.Order, m.order(match.Maker)
	m.touch(maker.Side, maker.Price)
	if match.Left == 0 {
		m.drop(match.Maker)
	} else {
		m.resting[match.Maker].stamp = c.Stamp
	}
	m.book.Apply(match)
	taker.Filled += match.Quantity
	maker.Filled += match.Quantity
	m.symbol.Trades++
	trade := Trade{Symbol: m.symbol.Symbol, Number: m.symbol.Trades, Price: match.Price, Quantity: match.Quantity, TakerSide: taker.Side,
		MakerOrder: maker.ID, TakerOrder: taker.ID, At: c.At, Lamport: c.Stamp}
	fee := m.pay(r, c, &trade, taker, &maker)
	m.deliver(r, c, &trade, taker, &maker)
	fills := [...]Fill{newFill(&trade, taker, Taker, fee), newFill(&trade, &maker, Maker, fee)}
	facts.Trades, m.changes.Trades = append(facts.Trades, trade), append(m.changes.Trades, trade)
	facts.Fills, m.changes.Fills = append(facts.Fills, fills[:]...), append(m.changes.Fills, fills[:]...)
	if match.Left == 0 {
		m.end(r, c, &maker, Filled)
		return
	}
	maker.Lamport = c.Stamp
	m.note(&maker)
}

// pay makes the ledger's entry: the buyer pays, the seller receives it less the fee, which it returns.
func (m *Market) pay(r *Round, c *Cause, trade *Trade, taker, maker *Order) money.Amount {
	notional := trade.Price * money.Amount(trade.Quantity)
	fee := Fee(notional, m.symbol.FeeBps)
	buyer, seller := taker, maker
	if taker.Side == Sell {
		buyer, seller = maker, taker
	}
	legs := make([]bank.Leg, 0, 3)
	if buyer == taker {
		legs = append(legs, bank.Leg{Account: buyer.Account, Amount: -notional})
	}
	if notional > fee {
		legs = append(legs, bank.Leg{Account: seller.Account, Amount: notional - fee})
	}
	if fee > 0 {
		legs = append(legs, bank.Leg{Account: FeesAccount(trade.Symbol), Amount: fee})
	}
	var refusal *problem.Problem
	if buyer == taker { // it holds nothing yet
		_, refusal = r.Ledger.Post(c.Cause, KindTrade, trade.ID(), legs)
	} else {
		_, refusal = r.Ledger.Capture(c.Cause, maker.ID, KindTrade, trade.ID(), notional, legs)
	}
	if refusal != nil { // every reason was looked for before
		panic(refusal)
	}
	return fee
}

// deliver moves the shares. A maker's are held, a taker's are not yet.
func (m *Market) deliver(r *Round, c *Cause, trade *Trade, taker, maker *Order) {
	if taker.Side == Sell {
		r.Holdings.move(taker.Account, trade.Symbol, c.Stamp, -trade.Quantity, 0)
		r.Holdings.move(maker.Account, trade.Symbol, c.Stamp, trade.Quantity, 0)
		return
	}
	r.Holdings.move(maker.Account, trade.Symbol, c.Stamp, -trade.Quantity, -trade.Quantity)
	r.Holdings.move(taker.Account, trade.Symbol, c.Stamp, trade.Quantity, 0)
}

func newFill(trade *Trade, o *Order, liquidity Liquidity, fee money.Amount) Fill {
	f := Fill{UserID: o.UserID, Account: o.Account, OrderID: o.ID, Symbol: trade.Symbol, Number: trade.Number, Side: o.Side, Quantity: trade.Quantity,
		Price: trade.Price, Liquidity: liquidity, OrderComplete: o.Filled == o.Quantity, At: trade.At, Lamport: trade.Lamport}
	if o.Side == Sell {
		f.Fee = fee
	}
	return f
}

// finish decides what becomes of an order after its matches.
func (m *Market) finish(r *Round, c *Cause, stop Stop, facts *Facts) {
	o := &facts.Order
	switch {
	case stop == StopFilled:
		m.end(r, c, o, Filled)
	case stop == StopNobody && o.TimeInForce == GoodTillCancelled:
		m.hold(r, c, o)
		m.touch(o.Side, o.Price)
		m.rest(o)
		m.note(o)
	default:
		m.end(r, c, o, Cancelled)
		facts.Cancelled = append(facts.Cancelled, *o)
	}
}

// hold sets aside what an order needs that is about to rest.
func (m *Market) hold(r *Round, c *Cause, o *Order) {
	if o.Side == Sell {
		r.Holdings.move(o.Account, o.Symbol, c.Stamp, 0, o.Remaining())
		return
	}
	if _, refusal := r.Ledger.Authorise(c.Cause, o.ID, o.Account, o.Price*money.Amount(o.Remaining())); refusal != nil {
		panic(refusal) // what it has paid was not more than its limit, so there is enough
	}
}
