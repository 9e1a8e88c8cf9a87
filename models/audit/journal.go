package audit

import (
	"guichet/models/database"
	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/operation"
)

// journalAudit is the checks of the journal, which one reading of it serves.
type journalAudit struct {
	outcomes, sequences, fifo, parked, lamport *Check

	batches []*batchRow // those that start later than the operation at hand
	open    []*batchRow // those that it may be in
	failed  map[id.ID]*parkedRow
	replays map[string]int64 // by lane
	lines   map[line]accepted
}

// line is what one process accepted for one lane: it is executed in that order.
type line struct {
	lane string
	node uint64
}

// accepted is the last operation of a line that was executed.
type accepted struct {
	id       id.ID
	sequence int64
}

// checkJournal checks what was accepted against what was executed.
func checkJournal(tx database.Tx) ([]*Check, error) {
	j := &journalAudit{
		outcomes: &Check{Name: "one_outcome_each"}, sequences: &Check{Name: "lane_sequences_dense"}, fifo: &Check{Name: "fifo"},
		parked: &Check{Name: "parked_agree"}, lamport: &Check{Name: "lamport"},
		replays: map[string]int64{}, lines: map[line]accepted{},
	}
	var err error
	if j.batches, err = readBatches(tx); err != nil {
		return nil, err
	}
	if j.failed, err = readParked(tx); err != nil {
		return nil, err
	}
	for _, check := range []func(database.Tx) error{j.checkOperations, j.checkOrphans, j.checkLanes, j.checkEntryStamps, j.checkAccountStamps} {
		if err := check(tx); err != nil {
			return nil, err
		}
	}
	return []*Check{j.outcomes, j.sequences, j.fifo, j.parked, j.lamport}, nil
}

func (j *journalAudit) checkOperations(tx database.Tx) error {
	for o, err := range journal(tx) {
		if err != nil {
			return err
		}
		j.checkOutcome(o)
		j.checkParked(o)
		j.checkLine(o)
		if o.outcome.Valid {
			j.lamport.Checked++
			if lamport.Stamp(o.outcome.Int64) <= o.stamp {
				j.lamport.find("operation %s was accepted at %d and executed at %d", o.id, o.stamp, o.outcome.Int64)
			}
		}
	}
	j.closeBatches(j.open)
	j.closeBatches(j.batches)
	return nil
}

// checkOutcome: an operation either has an outcome or waits, once.
func (j *journalAudit) checkOutcome(o *journalRow) {
	j.outcomes.Checked++
	waits := j.waitsIn(o)
	switch ended := o.status.Valid; {
	case ended && waits > 0:
		j.outcomes.find("operation %s has ended, and still waits", o.id)
	case !ended && waits == 0:
		j.outcomes.find("operation %s has neither ended nor waits", o.id)
	case waits > 1:
		j.outcomes.find("operation %s waits in %d batches", o.id, waits)
	case ended && !operation.Status(o.status.String).Ended():
		j.outcomes.find("operation %s has ended as %q", o.id, o.status.String)
	case ended && o.executed.String != o.lane:
		j.outcomes.find("operation %s of lane %s was executed by lane %s", o.id, o.lane, o.executed.String)
	}
}

// waitsIn counts the waiting batches of the operation's lane that it is in. Operations come in the order of their ids.
func (j *journalAudit) waitsIn(o *journalRow) int {
	for len(j.batches) > 0 && !o.id.Less(j.batches[0].ID) {
		j.open, j.batches = append(j.open, j.batches[0]), j.batches[1:]
	}
	n := 0
	open := j.open[:0]
	for _, b := range j.open {
		if b.last().Less(o.id) {
			j.closeBatches([]*batchRow{b})
			continue
		}
		open = append(open, b)
		b.seen++
		if b.lane == o.lane {
			n++
		}
	}
	j.open = open
	return n
}

// closeBatches: the operations that a batch stands for are in the journal.
func (j *journalAudit) closeBatches(batches []*batchRow) {
	for _, b := range batches {
		if b.seen != b.Operations {
			j.outcomes.find("batch %s of lane %s stands for %d operations, of which the journal has %d", b.ID, b.lane, b.Operations, b.seen)
		}
	}
}

// checkParked: what has failed is parked, and nothing else is.
func (j *journalAudit) checkParked(o *journalRow) {
	failed := operation.Status(o.status.String) == operation.Failed
	p := j.failed[o.id]
	if p != nil {
		p.seen = true
		j.replays[o.lane] += p.replays
	}
	if failed || p != nil {
		j.parked.Checked++
	}
	if parked := p != nil && p.parked; parked != failed {
		j.parked.find("operation %s: its status is %q; parked: %t", o.id, o.status.String, parked)
	}
}

// checkLine: what one process accepted for a lane is executed in that order, apart from what was replayed later.
func (j *journalAudit) checkLine(o *journalRow) {
	if p := j.failed[o.id]; !o.sequence.Valid || p != nil && p.replays > 0 {
		return
	}
	key := line{o.lane, o.id.Node()}
	before, known := j.lines[key]
	j.lines[key] = accepted{o.id, o.sequence.Int64}
	if !known {
		return
	}
	j.fifo.Checked++
	if o.sequence.Int64 < before.sequence {
		j.fifo.find("lane %s executed %s as number %d, before %s, number %d, which the same process had accepted earlier",
			o.lane, o.id, o.sequence.Int64, before.id, before.sequence)
	}
}

func (j *journalAudit) checkOrphans(tx database.Tx) error {
	for operationID, err := range orphans(tx) {
		if err != nil {
			return err
		}
		j.outcomes.find("there is an outcome of %s, and no such operation", operationID)
	}
	for _, p := range j.failed {
		if !p.seen && p.parked {
			j.parked.find("operation %s is parked, and is itself missing", p.operation)
		}
	}
	return nil
}

// checkLanes: a lane's outcomes are numbered from 1, without holes but those that replayed operations have left, and their stamps ascend.
func (j *journalAudit) checkLanes(tx database.Tx) error {
	states, err := operation.ReadLanes(tx)
	if err != nil {
		return err
	}
	lanes := make(map[string]operation.LaneState, len(states))
	for _, s := range states {
		lanes[s.Name] = s
	}
	var now laneRun
	for row, err := range executed(tx) {
		if err != nil {
			return err
		}
		if row.lane != now.lane {
			now.end(j, lanes)
			now = laneRun{lane: row.lane}
		}
		now.add(j, row)
	}
	now.end(j, lanes)
	for lane := range lanes { // those without outcomes
		(&laneRun{lane: lane}).end(j, lanes)
	}
	return nil
}

// laneRun is one lane's outcomes as they were made.
type laneRun struct {
	lane     string
	outcomes int64
	sequence int64
	stamp    lamport.Stamp
}

func (r *laneRun) add(j *journalAudit, row *executedRow) {
	j.sequences.Checked++
	if row.sequence <= r.sequence {
		j.sequences.find("lane %s: outcome %d follows outcome %d", r.lane, row.sequence, r.sequence)
	}
	if r.outcomes > 0 && row.stamp <= r.stamp {
		j.lamport.find("lane %s: outcome %d is stamped %d, and the one before it %d", r.lane, row.sequence, row.stamp, r.stamp)
	}
	r.outcomes, r.sequence, r.stamp = r.outcomes+1, row.sequence, row.stamp
}

func (r *laneRun) end(j *journalAudit, lanes map[string]operation.LaneState) {
	if r.lane == "" { // before the first one
		return
	}
	state, known := lanes[r.lane]
	delete(lanes, r.lane)
	if !known {
		j.sequences.find("lane %s has %d outcomes, and is itself missing", r.lane, r.outcomes)
		return
	}
	if state.Sequence < r.sequence {
		j.sequences.find("lane %s stands at %d, and has an outcome %d", r.lane, state.Sequence, r.sequence)
	} else if holes := state.Sequence - r.outcomes; holes != j.replays[r.lane] { // each replay took one outcome away
		j.sequences.find("lane %s stands at %d and has %d outcomes; replays explain %d missing", r.lane, state.Sequence, r.outcomes, j.replays[r.lane])
	}
	if state.Lamport < r.stamp {
		j.lamport.find("lane %s stands at stamp %d, and has an outcome stamped %d", r.lane, state.Lamport, r.stamp)
	}
}

// checkEntryStamps: an entry bears the stamp of the outcome that made it.
func (j *journalAudit) checkEntryStamps(tx database.Tx) error {
	for e, err := range stampedEntries(tx) {
		if err != nil {
			return err
		}
		j.lamport.Checked++
		switch {
		case !e.outcome.Valid:
			j.lamport.find("entry %s.%d is stamped %d, and its operation has no outcome", e.operation, e.part, e.stamp)
		case lamport.Stamp(e.outcome.Int64) != e.stamp:
			j.lamport.find("entry %s.%d is stamped %d, and its operation's outcome %d", e.operation, e.part, e.stamp, e.outcome.Int64)
		}
	}
	return nil
}

// checkAccountStamps: what moves an account comes after all that moved it before, and after its opening; the account remembers the last stamp. That is what
// makes the stamps an order in which the journal can be replayed.
func (j *journalAudit) checkAccountStamps(tx database.Tx) error {
	accounts, err := readAccounts(tx)
	if err != nil {
		return err
	}
	var before stampedPosting
	for p, err := range stampedPostings(tx) {
		if err != nil {
			return err
		}
		a := accounts[p.account]
		switch {
		case a == nil: // balances_equal_postings tells
		case p.stamp > a.lamport:
			j.lamport.find("account %s stands at stamp %d, and operation %s moved it at %d", p.account, a.lamport, p.operation, p.stamp)
		case p.stamp <= a.opened:
			j.lamport.find("account %s was opened at stamp %d, and operation %s moved it at %d", p.account, a.opened, p.operation, p.stamp)
		case p.account == before.account && p.operation != before.operation && p.stamp <= before.stamp:
			j.lamport.find("account %s: operation %s moved it at stamp %d, after %s at %d", p.account, p.operation, p.stamp, before.operation, before.stamp)
		}
		before = *p
	}
	return nil
}
