package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"guichet/models/bank"
	"guichet/models/database"
	"guichet/models/events"
	"guichet/models/exchange"
	"guichet/models/files"
	"guichet/models/games"
	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/messages"
	"guichet/models/money"
	"guichet/models/operation"
	"guichet/models/problem"
	"guichet/models/testbed"
	"guichet/models/testbed/stores"
	"guichet/models/trips"
)

func TestMain(m *testing.M) { testbed.Main(m) }

// onBothStores runs a test on SQLite and on MariaDB.
func onBothStores(t *testing.T, test func(t *testing.T, h *house)) {
	t.Helper()
	stores.Each(t, func(t *testing.T, db *database.DB) {
		must(t, operation.EnsureLanes(t.Context(), db, []string{holdsLane, bank.Lane, events.Lane, files.Lane, games.Lane, messages.Lane, trips.Lane, exchange.LaneName(0), exchange.LaneName(1)}))
		test(t, &house{T: t, db: db})
	})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// house is a store that processes accept and execute operations on, as handlers and workers do.
type house struct {
	*testing.T
	db    *database.DB
	users sync.Map // by account number
	box   box
}

// process has a clock, of which nobody knows how it runs compared to others, and makes ids of its own.
type process struct {
	*house
	ids   *id.Generator
	clock lamport.Clock
	slow  time.Duration // how far behind its clock on the wall is
}

func (h *house) process(start lamport.Stamp) *process {
	p := &process{house: h, ids: id.NewGenerator()}
	p.clock.Witness(start)
	return p
}

// open opens an account for a new user.
func (p *process) open(number string) {
	p.Helper()
	must(p, p.db.Write(p.Context(), func(tx database.Tx) error {
		return bank.OpenAccount(tx, &p.clock, number, p.userOf(number), time.Now())
	}))
}

// userOf is whose account has a number, be it opened or not.
func (p *process) userOf(number string) id.ID {
	user, _ := p.users.LoadOrStore(number, p.ids.Next())
	return user.(id.ID)
}

type command struct {
	kind    string
	payload any
	by      string // whose command it is, by the number of the account
}

func deposit(account string, amount money.Amount) command {
	return command{bank.KindDeposit, bank.CashCommand{Account: account, Amount: amount}, account}
}

func withdrawal(account string, amount money.Amount) command {
	return command{bank.KindWithdrawal, bank.CashCommand{Account: account, Amount: amount}, account}
}

func transfer(from, to string, amount money.Amount, reference string) command {
	return command{bank.KindTransfer, bank.TransferCommand{From: from, To: to, Amount: amount, Reference: reference}, from}
}

// accept journals a batch of commands, as an intake does.
func (p *process) accept(lane string, commands ...command) *operation.Envelope {
	p.Helper()
	base := p.ids.Next()
	envelope := &operation.Envelope{}
	var batch []operation.Command
	for i, c := range commands {
		payload, err := json.Marshal(c.payload)
		must(p, err)
		batch = append(batch, operation.Command{ID: base.WithIndex(i), UserID: p.userOf(c.by), Lane: lane, Kind: c.kind, Payload: payload,
			Lamport: p.clock.Tick(), SubmittedAt: time.Now().UTC().Truncate(time.Microsecond)})
	}
	must(p, p.db.Write(p.Context(), func(tx database.Tx) error { return operation.Append(tx, lane, batch) }))
	envelope.Add(operation.Batch{ID: base, Operations: len(batch)}, batch)
	return envelope
}

// execute executes an envelope as workers/work.go does; the operations with the indexes in failed run into a fault.
func (p *process) execute(e *operation.Envelope, failed ...int) {
	p.Helper()
	must(p, p.db.Write(p.Context(), func(tx database.Tx) error { return p.executeIn(tx, e, failed) }))
}

func (p *process) executeIn(tx database.Tx, e *operation.Envelope, failed []int) error {
	lane := e.Commands[0].Lane
	state, err := operation.LockLane(tx, lane)
	if err != nil {
		return err
	}
	if n, err := operation.Take(tx, lane, e.Batches); err != nil || n != len(e.Batches) {
		return errors.Join(err, fmt.Errorf("took %d batches", n))
	}
	round, err := p.load(tx, lane, e.Commands)
	if err != nil {
		return err
	}
	known := max(state.Lamport, round.lastStamp())
	for _, c := range e.Commands {
		known = max(known, c.Lamport)
	}
	p.clock.Receive(known)
	now := time.Now().Add(-p.slow).UTC().Truncate(time.Microsecond)
	var outcomes []operation.Outcome
	for i := range e.Commands {
		c := &e.Commands[i]
		o := operation.Outcome{OperationID: c.ID, Sequence: state.Sequence + int64(i) + 1, Lamport: p.clock.Tick(), Status: operation.Succeeded, StartedAt: now, FinishedAt: now}
		if slices.Contains(failed, i) {
			o.Status, o.Problem = operation.Failed, problem.New(problem.OperationFailed, "a fault")
			if err := operation.Park(tx, c.ID, "a fault", now); err != nil {
				return err
			}
		} else if refusal := round.decide(c, bank.Cause{OperationID: c.ID, Stamp: o.Lamport, At: now}); refusal != nil {
			o.Status, o.Problem = operation.Rejected, refusal
		}
		outcomes = append(outcomes, o)
	}
	last := outcomes[len(outcomes)-1]
	return errors.Join(round.save(tx), operation.Conclude(tx, lane, outcomes), operation.AdvanceLane(tx, lane, last.Sequence, last.Lamport))
}

// round is what a lane makes of an envelope.
type round interface {
	lastStamp() lamport.Stamp
	decide(c *operation.Command, cause bank.Cause) *problem.Problem
	save(tx database.Tx) error
}

func (h *house) load(tx database.Tx, lane string, commands []operation.Command) (round, error) {
	if familyOf(lane) == "exchange" {
		return loadFloor(tx, lane, commands)
	}
	if lane == trips.Lane {
		return loadOffice(tx, commands)
	}
	if lane == events.Lane {
		return h.box.load(tx, commands)
	}
	if lane == messages.Lane {
		return loadTalk(tx, commands)
	}
	if lane == files.Lane {
		return loadCabinet(tx, commands)
	}
	if lane == games.Lane {
		return loadReferee(tx, commands)
	}
	var numbers []string
	var holds []id.ID
	for i := range commands {
		if lane == holdsLane {
			h := decodeHold(&commands[i])
			numbers, holds = append(numbers, h.Account, h.To), append(holds, h.Hold)
			continue
		}
		m, err := bank.DecodeMovement(commands[i].Kind, commands[i].Payload)
		if err != nil {
			return nil, err
		}
		numbers = append(numbers, m.From, m.To)
	}
	ledger, err := bank.Load(tx, numbers, holds)
	return ledgerRound{ledger}, err
}

type ledgerRound struct{ *bank.Ledger }

func (r ledgerRound) lastStamp() lamport.Stamp { return r.LastStamp() }

func (r ledgerRound) save(tx database.Tx) error { return r.Save(tx) }

func (r ledgerRound) decide(c *operation.Command, cause bank.Cause) *problem.Problem {
	if c.Lane == holdsLane {
		return holdReplayer{r.Ledger}.replay(c, cause)
	}
	return bankReplayer{r.Ledger}.replay(c, cause)
}

// holdsLane is the lane of a counter that only these tests have: it sets money aside and spends it. Its replayer shows how a counter plugs in.
const holdsLane = "holds-1"

func init() {
	replayers["holds"] = func(_ database.Tx, ledger *bank.Ledger) (replayer, error) { return holdReplayer{ledger}, nil }
}

type holdCommand struct {
	Account, To string
	Hold        id.ID // zero: one with the id of the operation is to be made
	Amount      money.Amount
}

func authorise(account string, amount money.Amount) command {
	return command{"authorise", holdCommand{Account: account, To: bank.Cash, Amount: amount}, account}
}

func capture(hold id.ID, account, to string, amount money.Amount) command {
	return command{"capture", holdCommand{Hold: hold, Account: account, To: to, Amount: amount}, account}
}

func release(hold id.ID, account string, amount money.Amount) command {
	return command{"release", holdCommand{Hold: hold, Account: account, To: bank.Cash, Amount: amount}, account}
}

func decodeHold(c *operation.Command) holdCommand {
	var h holdCommand
	if err := json.Unmarshal(c.Payload, &h); err != nil {
		panic(err)
	}
	return h
}

type holdReplayer struct{ ledger *bank.Ledger }

func (r holdReplayer) replay(c *operation.Command, cause bank.Cause) *problem.Problem {
	h := decodeHold(c)
	var refusal *problem.Problem
	switch c.Kind {
	case "authorise":
		_, refusal = r.ledger.Authorise(cause, c.ID, h.Account, h.Amount)
	case "capture": // a tenth is kept by the house, so that the entry has three postings
		fee := max(1, h.Amount/10)
		_, refusal = r.ledger.Capture(cause, h.Hold, "purchase", "", h.Amount, []bank.Leg{{Account: h.To, Amount: h.Amount - fee}, {Account: bank.Cash, Amount: fee}})
	case "release":
		r.ledger.Release(cause, h.Hold, h.Amount)
	}
	return refusal
}

func (holdReplayer) compare(database.Tx, *Check) error { return nil }

// failing names the checks that do not hold, in order.
func failing(checks []*Check) []string {
	names := []string{}
	for _, c := range checks {
		if !c.Holds() {
			names = append(names, c.Name)
		}
	}
	return names
}

// findings is what all checks found, for messages.
func findings(checks []*Check) string {
	var text string
	for _, c := range checks {
		for _, f := range c.Findings {
			text += "\n" + c.Name + ": " + f
		}
	}
	return text
}
