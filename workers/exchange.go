package workers

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"guichet/models/bank"
	"guichet/models/database"
	"guichet/models/exchange"
	"guichet/models/feed"
	"guichet/models/id"
	"guichet/models/identity"
	"guichet/models/lamport"
	"guichet/models/operation"
	"guichet/models/problem"
)

// exchangeCounter executes the orders, cancellations and issues of the symbols of one lane.
type exchangeCounter struct {
	floor *exchange.Floor
	ids   *id.Generator // of notices
}

func newExchangeCounter(lane string) *exchangeCounter {
	return &exchangeCounter{floor: exchange.NewFloor(lane), ids: id.NewGenerator()}
}

type exchangeRound struct {
	*exchangeCounter
	*exchange.Round
	commands map[id.ID]command
	fills    []exchange.Fill
	signedIn map[id.ID]bool
	last     lamport.Stamp
	at       time.Time
}

// command is an exchange's command as it was read.
type command struct {
	*exchange.Command
	err error // why it cannot be read
}

func (x *exchangeCounter) load(tx database.Tx, commands []operation.Command) (round, error) {
	r := &exchangeRound{exchangeCounter: x, commands: make(map[id.ID]command, len(commands))}
	submitted := make([]exchange.Submitted, 0, len(commands))
	for i := range commands {
		read, err := exchange.DecodeCommand(commands[i].Kind, commands[i].Payload)
		r.commands[commands[i].ID] = command{read, err}
		if err == nil {
			submitted = append(submitted, exchange.Submitted{Command: read, User: commands[i].UserID})
		}
	}
	var err error
	r.Round, err = x.floor.Load(tx, submitted)
	return r, err
}

func (x *exchangeCounter) forget() { x.floor.Forget() }

func (r *exchangeRound) lastStamp() lamport.Stamp {
	return max(r.Round.LastStamp(), r.floor.LastStamp())
}

func (r *exchangeRound) decide(c *operation.Command, stamp lamport.Stamp, at time.Time) decision {
	read := r.commands[c.ID]
	if read.err != nil {
		panic(fmt.Errorf("a payload that did not come through the contract: %w", read.err))
	}
	r.last, r.at = stamp, at
	cause := exchange.Cause{Cause: bank.Cause{OperationID: c.ID, Stamp: stamp, At: at}, UserID: c.UserID, SubmittedAt: c.SubmittedAt}
	market := r.floor.Market(read.Symbol())
	if read.Kind == exchange.KindIssue {
		holding, refusal := market.Issue(r.Round, cause, &read.Issue)
		if refusal != nil {
			return decision{refusal: refusal}
		}
		return decision{result: exchange.AppendIssued(nil, holding)}
	}
	facts, refusal := apply(market, r.Round, cause, read.Command)
	if refusal != nil {
		return decision{refusal: refusal}
	}
	r.fills = append(r.fills, facts.Fills...)
	d := decision{entries: entriesOf(facts, &cause)}
	if read.Kind == exchange.KindMassCancellation {
		d.result = exchange.AppendMassCancelled(nil, read.Symbol(), len(facts.Cancelled))
	} else {
		d.result = facts.Order.AppendJSON(make([]byte, 0, 384))
	}
	return d
}

func apply(m *exchange.Market, r *exchange.Round, cause exchange.Cause, c *exchange.Command) (*exchange.Facts, *problem.Problem) {
	switch c.Kind {
	case exchange.KindOrder:
		return m.Place(r, cause, &c.Order)
	case exchange.KindCancellation:
		return m.Cancel(r, cause, &c.Cancellation)
	default:
		return m.CancelAll(r, cause, &c.MassCancellation)
	}
}

// entriesOf is what the feed tells of one operation, besides that it has ended.
func entriesOf(facts *exchange.Facts, cause *exchange.Cause) []feed.Entry {
	entries := make([]feed.Entry, 0, len(facts.Trades)+len(facts.Fills)+len(facts.Cancelled))
	add := func(topic, event string, data []byte) {
		entries = append(entries, feed.Entry{Topic: topic, Event: event, At: cause.At, Lamport: cause.Stamp, OperationID: cause.OperationID, Data: data})
	}
	for i := range facts.Trades {
		t := &facts.Trades[i]
		add(feed.TradesTopic+t.Symbol, feed.Traded, t.AppendEntry(nil))
	}
	for i := range facts.Fills {
		f := &facts.Fills[i]
		add(feed.UserTopic(f.UserID), feed.OrderFilled, f.AppendEntry(nil))
	}
	for i := range facts.Cancelled {
		o := &facts.Cancelled[i]
		add(feed.UserTopic(o.UserID), feed.OrderCanceled, o.AppendJSON(nil))
	}
	return entries
}

// prepare finds out, besides what the floor wants to know, who is away: they are told of their fills when they sign in.
func (r *exchangeRound) prepare(tx database.Tx) error {
	if err := r.floor.Prepare(tx); err != nil {
		return err
	}
	users := map[id.ID]bool{}
	for i := range r.fills {
		users[r.fills[i].UserID] = true
	}
	var err error
	r.signedIn, err = identity.AreSignedIn(tx, slices.Collect(maps.Keys(users)))
	return err
}

func (r *exchangeRound) store(tx database.Tx) ([]feed.Entry, error) {
	changed, err := r.floor.Save(tx, r.Round, func(order id.ID) bool { _, placed := r.commands[order]; return placed })
	if err != nil {
		return nil, err
	}
	var entries []feed.Entry
	add := func(topic, event string, data []byte) {
		entries = append(entries, feed.Entry{Topic: topic, Event: event, At: r.at, Lamport: r.last, Data: data})
	}
	for i := range changed {
		c := &changed[i]
		if c.Book.Changed() {
			add(feed.BookTopic+c.Symbol.Symbol, feed.BookChanged, c.Book.AppendJSON(nil))
		}
		if len(c.Candles) > 0 {
			add(feed.CandlesTopic+c.Symbol.Symbol, feed.CandlesChanged, exchange.AppendCandlesChanged(nil, c.Symbol.Symbol, c.Candles))
		}
	}
	return entries, identity.AddNotices(tx, r.notices()...)
}

func (r *exchangeRound) notices() []identity.Notice {
	var notices []identity.Notice
	for i := range r.fills {
		f := &r.fills[i]
		if r.signedIn[f.UserID] {
			continue
		}
		notices = append(notices, identity.Notice{ID: r.ids.Next(), UserID: f.UserID, Kind: feed.OrderFilled, At: f.At, Data: f.AppendNotice(nil),
			Text: fmt.Sprintf("Your order to %s %s: %d at %d.", f.Side, f.Symbol, f.Quantity, f.Price)})
	}
	return notices
}
