package audit

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"strings"

	"guichet/models/bank"
	"guichet/models/database"
	"guichet/models/events"
	"guichet/models/files"
	"guichet/models/games"
	"guichet/models/messages"
	"guichet/models/operation"
	"guichet/models/problem"
	"guichet/models/trips"
)

// replayer executes the operations of one counter again, by the rules that its lane executes them by.
type replayer interface {
	// replay decides a command and returns the refusal, if there is one. It panics where the command cannot be executed.
	replay(command *operation.Command, cause bank.Cause) *problem.Problem
	// compare reports where the counter's own tables are not as the replay has left things.
	compare(tx database.Tx, c *Check) error
}

// replayers makes the replayer of each counter, on the ledger that all of them pay through. The key is the name of its lane, or else what stands before the
// first "-" of the names of its lanes, as in exchange-3.
var replayers = map[string]func(database.Tx, *bank.Ledger) (replayer, error){
	bank.Lane:     newBankReplayer,
	"exchange":    newExchangeReplayer,
	trips.Lane:    newTripsReplayer,
	events.Lane:   newEventsReplayer,
	messages.Lane: newMessagesReplayer,
	games.Lane:    newGamesReplayer,
	files.Lane:    newFilesReplayer,
}

func familyOf(lane string) string {
	family, _, _ := strings.Cut(lane, "-")
	return family
}

// replayJournal executes all that ever ended once more, on an empty ledger, in the order (stamp, lane, sequence), and compares what comes of it with what is
// recorded. In that order everything that an operation depended on comes before it: whatever it reads bears the stamp of its last change, or refusal,
// and its own is greater.
func replayJournal(tx database.Tx) ([]*Check, error) {
	r := &replay{check: &Check{Name: "replay"}, replayers: map[string]replayer{}}
	if err := r.open(tx); err != nil {
		return nil, err
	}
	if err := r.readPostings(tx); err != nil {
		return nil, err
	}
	var now *ended
	for row, err := range recorded(tx) {
		if err != nil {
			return nil, err
		}
		if now == nil || now.ID != row.ID {
			r.again(now)
			now = newEnded(row)
		}
		now.add(row)
	}
	r.again(now)
	r.comparePostings()
	for _, family := range slices.Sorted(maps.Keys(r.replayers)) {
		if err := r.replayers[family].compare(tx, r.check); err != nil {
			return nil, err
		}
	}
	return []*Check{r.check}, nil
}

type replay struct {
	check     *Check
	ledger    *bank.Ledger
	replayers map[string]replayer // by lane, or by family of lanes
	postings  map[string]*trail   // by account
}

// trail is the postings recorded on one account, in their order: a digest of each, which takes 8 bytes where the posting itself would take 150.
type trail struct {
	digests  []uint64
	replayed int
}

// open sets up the ledger as it was when no operation had been executed: every account that there is, with nothing on it. To an operation
// stamped before its opening, an account is unknown.
func (r *replay) open(tx database.Tx) error {
	rows, err := readAccounts(tx)
	if err != nil {
		return err
	}
	accounts := make([]bank.Account, 0, len(rows))
	r.postings = make(map[string]*trail, len(rows))
	for number, row := range rows {
		accounts = append(accounts, bank.Account{Number: number, UserID: row.user, Opened: row.opened, Lamport: row.opened})
		r.postings[number] = &trail{}
	}
	r.ledger = bank.NewLedger(accounts, nil)
	for family, open := range replayers {
		if r.replayers[family], err = open(tx, r.ledger); err != nil {
			return err
		}
	}
	return nil
}

var seed = maphash.MakeSeed()

// digest is equal for equal postings, and for others as good as never: the seed is random.
func digest(p *postingRow) uint64 {
	b := make([]byte, 0, 128)
	for _, n := range [...]int64{p.atUs, p.sequence, int64(p.part), int64(p.amount), int64(p.balanceAfter)} {
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	b = append(b, p.operation[:]...)
	b = append(b, p.counterparty...)
	return maphash.Bytes(seed, b)
}

func (r *replay) readPostings(tx database.Tx) error {
	for p, err := range postings(tx) {
		if err != nil {
			return err
		}
		if t := r.postings[p.account]; t != nil {
			t.digests = append(t.digests, digest(p))
		} else {
			r.check.find("there is a posting on account %s, and no such account", p.account)
		}
	}
	return nil
}

// ended is an operation with its outcome and its entries, as recorded.
type ended struct {
	operation.Command
	cause  bank.Cause
	status operation.Status
	code   problem.Code // of the refusal; empty for none
	parts  []part
}

// part is an entry without its postings.
type part struct {
	part      int
	kind      string
	reference string
	atUs      int64
}

func (p part) String() string {
	return fmt.Sprintf("{part %d, %s, %q, at %d µs}", p.part, p.kind, p.reference, p.atUs)
}

func newEnded(row *recordedRow) *ended {
	code, _, _ := strings.Cut(row.problem.String, "\n")
	e := &ended{Command: row.Command, status: row.status, code: problem.Code(code),
		cause: bank.Cause{OperationID: row.ID, Stamp: row.stamp, At: operation.FromMicro(row.finishedUs)}}
	e.Payload, e.SubmittedAt = row.payload, operation.FromMicro(row.submittedUs)
	return e
}

func (e *ended) add(row *recordedRow) {
	if row.part.Valid {
		e.parts = append(e.parts, part{int(row.part.Int64), row.entryKind.String, row.reference.String, row.atUs.Int64})
	}
}

// again executes an operation once more.
func (r *replay) again(e *ended) {
	if e == nil {
		return
	}
	r.check.Checked++
	defer r.ledger.Forget()
	defer func() {
		if cause := recover(); cause != nil {
			r.check.find("operation %s (%s): it ended as %s, and cannot be executed: %v", e.ID, e.Kind, e.status, cause)
		}
	}()
	if e.status == operation.Failed { // and has no effect
		r.compareParts(e, nil)
		return
	}
	again := r.replayerOf(e.Lane)
	if again == nil {
		r.check.find("operation %s (%s): nothing replays lane %s", e.ID, e.Kind, e.Lane)
		return
	}
	status, code := operation.Succeeded, problem.Code("")
	if refusal := again.replay(&e.Command, e.cause); refusal != nil {
		status, code = operation.Rejected, refusal.Code
	}
	if status != e.status || code != e.code {
		r.check.find("operation %s (%s): it ended as %s %s, and replayed as %s %s", e.ID, e.Kind, e.status, e.code, status, code)
	}
	r.compareParts(e, r.ledger.Entries)
	for i := range r.ledger.Entries {
		r.compareEntry(&r.ledger.Entries[i])
	}
}

// replayerOf is the replayer of a lane's counter, or nil.
func (r *replay) replayerOf(lane string) replayer {
	if own := r.replayers[lane]; own != nil {
		return own
	}
	return r.replayers[familyOf(lane)]
}

func (r *replay) compareParts(e *ended, entries []bank.Entry) {
	slices.SortFunc(e.parts, func(a, b part) int { return a.part - b.part })
	again := make([]part, len(entries))
	for i := range entries {
		again[i] = part{entries[i].Part, entries[i].Kind, entries[i].Reference, operation.Micro(entries[i].At)}
	}
	if !slices.Equal(e.parts, again) {
		r.check.find("operation %s (%s): its entries are %v, and replayed %v", e.ID, e.Kind, e.parts, again)
	}
}

// compareEntry compares the postings of an entry with what is recorded in their places on the accounts.
func (r *replay) compareEntry(entry *bank.Entry) {
	for i := range entry.Postings {
		p := &entry.Postings[i]
		t := r.postings[p.Account]
		again := digest(&postingRow{atUs: operation.Micro(entry.At), sequence: p.Sequence, operation: entry.OperationID, part: entry.Part,
			amount: p.Amount, balanceAfter: p.BalanceAfter, counterparty: p.Counterparty})
		if t.replayed >= len(t.digests) || t.digests[t.replayed] != again {
			r.check.find("account %s: posting %d is not recorded as it was replayed: %s moved it by %d (counterparty %s) and left %d",
				p.Account, p.Sequence, entry.ID(), p.Amount, p.Counterparty, p.BalanceAfter)
		}
		t.replayed++
	}
}

func (r *replay) comparePostings() {
	for _, number := range slices.Sorted(maps.Keys(r.postings)) {
		if t := r.postings[number]; t.replayed < len(t.digests) {
			r.check.find("account %s has %d postings; replayed, there are %d", number, len(t.digests), t.replayed)
		}
	}
}
