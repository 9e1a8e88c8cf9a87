package audit

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"guichet/models/bank"
	"guichet/models/database"
	"guichet/models/id"
	"guichet/models/operation"
)

// history is a past in which everything happened that may happen. Its operations are named for the tests that falsify it.
type history struct {
	funded, refused, unknown, later, paid, failed, replayed, waiting, authorised id.ID
	openHold, endedHold                                                          id.ID
}

// live lets four processes, whose clocks have nothing to do with each other, make a history.
func (h *house) live() history {
	h.Helper()
	door, otherDoor, worker, standby := h.process(1000), h.process(7), h.process(2), h.process(500_000)
	door.open("ADA1")
	otherDoor.open("BOB1")

	e := door.accept(bank.Lane, deposit("ADA1", 1000), withdrawal("ADA1", 850), deposit("ADA1", 1400), transfer("ADA1", "BOB1", 550, "rent"))
	worker.execute(e)
	past := history{funded: e.Commands[0].ID, paid: e.Commands[3].ID}

	e = otherDoor.accept(bank.Lane, transfer("BOB1", "ADA1", 551, ""), transfer("BOB1", "EVE1", 1, "who?"), transfer("BOB1", "EVE1", 1, "still?"), deposit("BOB1", 5))
	standby.execute(e)
	past.refused, past.unknown, past.later = e.Commands[0].ID, e.Commands[1].ID, e.Commands[2].ID
	otherDoor.open("EVE1")
	worker.execute(door.accept(bank.Lane, transfer("BOB1", "EVE1", 1, "there you are")))

	e = door.accept(bank.Lane, deposit("BOB1", 70), withdrawal("BOB1", 20), deposit("BOB1", 7))
	worker.execute(e, 0, 1)
	past.failed, past.replayed = e.Commands[0].ID, e.Commands[1].ID
	replayed, err := operation.NewJournal(h.db).Replay(h.Context(), past.replayed, nil)
	must(h, err)
	again := &operation.Envelope{}
	again.Add(replayed.Batch, replayed.Commands)
	standby.execute(again)

	e = otherDoor.accept(holdsLane, authorise("ADA1", 100), authorise("ADA1", 50), authorise("ADA1", 1_000_000))
	worker.execute(e)
	past.authorised, past.openHold, past.endedHold = e.Commands[0].ID, e.Commands[0].ID, e.Commands[1].ID
	standby.execute(door.accept(holdsLane, capture(past.openHold, "ADA1", "EVE1", 30), capture(past.endedHold, "ADA1", "BOB1", 20), release(past.endedHold, "ADA1", 30)))
	worker.execute(door.accept(bank.Lane, withdrawal("EVE1", 3)))

	past.waiting = door.accept(bank.Lane, deposit("ADA1", 1), deposit("ADA1", 2)).Commands[1].ID
	return past
}

func TestHolds(t *testing.T) {
	onBothStores(t, func(t *testing.T, h *house) {
		empty, err := Run(t.Context(), h.db)
		must(t, err)
		if !empty.Holds() {
			t.Errorf("an empty store:%s", findings(empty.Checks))
		}
		h.live()
		report, err := Run(t.Context(), h.db)
		must(t, err)
		if !report.Holds() {
			t.Errorf("findings against a true history:%s", findings(report.Checks))
		}
		expectChecked(t, report.Checks, map[string]int64{"entries_sum_to_zero": 11, "balances_equal_postings": 24, "held_equals_holds": 8, "one_outcome_each": 21, "lane_sequences_dense": 19,
			"fifo": 14, "parked_agree": 2, "lamport": 30, "replay": 19,
			"book_not_crossed": 0, "levels_equal_orders": 0, "holdings_equal_issues": 0, "held_shares_equal_orders": 0, "held_cash_equals_orders": 0, "trades_dense": 0,
			"two_fills_each": 0, "filled_equals_fills": 0, "fees_equal_fills": 0, "trades_equal_entries": 0})
	})
}

// expectChecked wants the checks to have looked at so many things; those that are not named, at none, but for the lobby, which is always there.
func expectChecked(t *testing.T, checks []*Check, want map[string]int64) {
	t.Helper()
	checked := map[string]int64{}
	for _, c := range checks {
		checked[c.Name] = c.Checked
	}
	for name := range want {
		if _, found := checked[name]; !found {
			t.Errorf("there is no check %s", name)
		}
	}
	for name, n := range checked {
		if name == "rooms_belong" && want[name] == 0 {
			n--
		}
		if n != want[name] {
			t.Errorf("%s looked at %d things, not %d", name, n, want[name])
		}
	}
}

var errUndo = errors.New("undo")

// TestFindings falsifies the books, one lie at a time, and expects just those checks to report it that can see it.
func TestFindings(t *testing.T) {
	onBothStores(t, func(t *testing.T, h *house) {
		past := h.live()
		expectFindings(t, h, lies(past))
	})
}

// expectFindings tells each lie to the store, which is true again after it.
func expectFindings(t *testing.T, h *house, lies []lie) {
	t.Helper()
	for _, lie := range lies {
		checks := lie.tell(t, h)
		if got := failing(checks); !slices.Equal(got, strings.Fields(lie.seenBy)) {
			t.Errorf("%s: seen by %v, not by [%s]%s", lie.name, got, lie.seenBy, findings(checks))
		}
	}
}

type lie struct {
	name       string
	seenBy     string
	statements []statementOf
}

// tell audits a store that says the lie, and undoes it.
func (l *lie) tell(t *testing.T, h *house) (checks []*Check) {
	t.Helper()
	err := h.db.Write(t.Context(), func(tx database.Tx) (err error) {
		for _, statement := range l.statements {
			if n, err := tx.Exec(statement.text, statement.args...); err != nil || n == 0 {
				return fmt.Errorf("%q changed %d rows: %w", statement.text, n, err)
			}
		}
		if checks, err = checkAll(tx); err != nil {
			return err
		}
		return errUndo
	})
	if !errors.Is(err, errUndo) {
		t.Fatalf("%s: %v", l.name, err)
	}
	return checks
}

type statementOf struct {
	text string
	args []any
}

func tell(text string, args ...any) statementOf {
	for i := range args {
		if operationID, ok := args[i].(id.ID); ok {
			args[i] = operationID[:]
		}
	}
	return statementOf{text, args}
}

func lies(past history) []lie {
	return slices.Concat(liesOfTheLedger(past), liesOfTheJournal(past), liesOfStamps(past), liesOnlyTheReplaySees(past))
}

func liesOfTheLedger(past history) []lie {
	return []lie{
		{"a posting says more", "entries_sum_to_zero balances_equal_postings replay", []statementOf{tell("UPDATE postings SET amount = amount + 1 WHERE account = 'cash' AND sequence = 1")}},
		{"an entry is gone", "entries_sum_to_zero replay", []statementOf{tell("DELETE FROM entries WHERE operation_id = ?", past.paid)}},
		{"an entry without postings", "entries_sum_to_zero replay", []statementOf{tell("INSERT INTO entries SELECT operation_id, 7, kind, reference, lamport, at_us FROM entries WHERE operation_id = ?", past.paid)}},
		{"an entry with one posting", "entries_sum_to_zero balances_equal_postings replay", []statementOf{tell("DELETE FROM postings WHERE operation_id = ? AND account = 'cash'", past.funded)}},
		{"an amount at the end of 64 bits", "entries_sum_to_zero balances_equal_postings replay", []statementOf{tell("UPDATE postings SET amount = 9223372036854775807 WHERE operation_id = ? AND amount > 0", past.paid)}},
		{"a balance is larger", "balances_equal_postings replay", []statementOf{tell("UPDATE accounts SET balance = balance + 1 WHERE number = 'ADA1'")}},
		{"a balance from nowhere", "balances_equal_postings replay", []statementOf{
			tell("INSERT INTO accounts (number, user_id, balance, lamport, opened_lamport, opened_at_us) VALUES ('RICH', ?, 5, 1, 1, 1)", past.paid)}},
		{"a running balance is larger", "balances_equal_postings replay", []statementOf{tell("UPDATE postings SET balance_after = balance_after + 1 WHERE account = 'ADA1' AND sequence = 2")}},
		{"an account counts one posting more", "balances_equal_postings", []statementOf{tell("UPDATE accounts SET postings = postings + 1 WHERE number = 'ADA1'")}},
		{"an account's last posting is later", "balances_equal_postings", []statementOf{tell("UPDATE accounts SET last_posting_us = last_posting_us + 1 WHERE number = 'ADA1'")}},
		{"a posting is renumbered", "balances_equal_postings replay", []statementOf{tell("UPDATE postings SET sequence = sequence + 1 WHERE account = 'EVE1' AND sequence = (SELECT postings FROM accounts WHERE number = 'EVE1')")}},
		{"time goes back", "balances_equal_postings lamport replay", []statementOf{tell("UPDATE postings SET at_us = at_us + 3600000000 WHERE account = 'ADA1' AND sequence = 1")}},
		{"an account is gone", "balances_equal_postings held_equals_holds replay", []statementOf{tell("DELETE FROM accounts WHERE number = 'ADA1'")}},
		{"more is held", "held_equals_holds replay", []statementOf{tell("UPDATE accounts SET held = held + 1 WHERE number = 'ADA1'")}},
		{"a hold is gone", "held_equals_holds", []statementOf{tell("DELETE FROM holds WHERE id = ?", past.openHold)}},
		{"a hold had less than nothing", "held_equals_holds", []statementOf{tell("UPDATE holds SET amount = -1 WHERE id = ?", past.endedHold)}},
		{"more is held than there is", "held_equals_holds replay", []statementOf{
			tell("UPDATE holds SET amount = 5000, remaining = 5000 WHERE id = ?", past.openHold), tell("UPDATE accounts SET held = 5000 WHERE number = 'ADA1'")}},
	}
}

func liesOfTheJournal(past history) []lie {
	return []lie{
		{"a waiting batch is gone", "one_outcome_each", []statementOf{tell("DELETE FROM journal_batches")}},
		{"a batch is longer", "one_outcome_each", []statementOf{tell("UPDATE journal_batches SET operations = operations + 1")}},
		{"a batch is longer than ids go", "one_outcome_each", []statementOf{tell("UPDATE journal_batches SET operations = 999999")}},
		{"a batch waits in another lane", "one_outcome_each", []statementOf{tell("UPDATE journal_batches SET lane = ?", holdsLane)}},
		{"a waiting operation is gone", "one_outcome_each", []statementOf{tell("DELETE FROM operations WHERE id = ?", past.waiting)}},
		{"an operation waits twice", "one_outcome_each", []statementOf{tell("INSERT INTO journal_batches (lane, id, operations) VALUES ('bank', ?, 1)", past.waiting)}},
		{"an ended operation still waits", "one_outcome_each", []statementOf{tell("INSERT INTO journal_batches (lane, id, operations) VALUES ('bank', ?, 1)", past.paid)}},
		{"an operation is gone", "one_outcome_each", []statementOf{tell("DELETE FROM operations WHERE id = ?", past.refused)}},
		{"an operation that moved money is gone", "one_outcome_each replay", []statementOf{tell("DELETE FROM operations WHERE id = ?", past.paid)}},
		{"an outcome is gone", "one_outcome_each lane_sequences_dense", []statementOf{tell("DELETE FROM outcomes WHERE operation_id = ?", past.refused)}},
		{"an operation ended as nothing known", "one_outcome_each replay", []statementOf{tell("UPDATE outcomes SET status = 'queued' WHERE operation_id = ?", past.refused)}},
		{"a lane is ahead of its outcomes", "lane_sequences_dense", []statementOf{tell("UPDATE lanes SET sequence = sequence + 1 WHERE name = 'bank'")}},
		{"a lane is behind its outcomes", "lane_sequences_dense", []statementOf{tell("UPDATE lanes SET sequence = sequence - 1 WHERE name = 'bank'")}},
		{"a lane is gone", "lane_sequences_dense", []statementOf{tell("DELETE FROM lanes WHERE name = ?", holdsLane)}},
		{"an outcome is renumbered", "lane_sequences_dense", []statementOf{tell("UPDATE outcomes SET sequence = sequence + 1000 WHERE lane = ? AND lamport = (SELECT lamport FROM lanes WHERE name = ?)", holdsLane, holdsLane)}},
		{"two outcomes have one number", "lane_sequences_dense", []statementOf{tell("UPDATE outcomes SET sequence = sequence - 1 WHERE operation_id = ?", past.later)}},
		{"an operation was replayed once more", "lane_sequences_dense", []statementOf{tell("UPDATE parked_operations SET replays = replays + 1 WHERE operation_id = ?", past.replayed)}},
		{"two refusals changed places", "fifo", []statementOf{
			tell("UPDATE outcomes SET sequence = sequence + 1, lamport = lamport + 1 WHERE operation_id = ?", past.unknown),
			tell("UPDATE outcomes SET sequence = sequence - 1, lamport = lamport - 1 WHERE operation_id = ?", past.later)}},
		{"a failed operation is not parked", "parked_agree", []statementOf{tell("UPDATE parked_operations SET parked = FALSE WHERE operation_id = ?", past.failed)}},
		{"a failed operation was never parked", "parked_agree", []statementOf{tell("DELETE FROM parked_operations WHERE operation_id = ?", past.failed)}},
		{"a replayed operation is parked", "parked_agree", []statementOf{tell("UPDATE parked_operations SET parked = TRUE WHERE operation_id = ?", past.replayed)}},
		{"what never was is parked", "parked_agree", []statementOf{tell("UPDATE parked_operations SET operation_id = ? WHERE operation_id = ?", id.NewGenerator().Next(), past.failed)}},
	}
}

func liesOfStamps(past history) []lie {
	return []lie{
		{"an operation was accepted after it was executed", "lamport", []statementOf{tell("UPDATE operations SET lamport = 999999999 WHERE id = ?", past.refused)}},
		{"an entry is stamped otherwise", "lamport", []statementOf{tell("UPDATE entries SET lamport = lamport + 1 WHERE operation_id = ?", past.funded)}},
		{"an account's stamp is behind", "lamport", []statementOf{tell("UPDATE accounts SET lamport = opened_lamport WHERE number = 'ADA1'")}},
		{"a lane's stamp is behind", "lamport", []statementOf{tell("UPDATE lanes SET lamport = lamport - 1 WHERE name = ?", holdsLane)}},
		{"an account is opened after it was paid", "lamport replay", []statementOf{tell("UPDATE accounts SET opened_lamport = lamport WHERE number = 'EVE1'")}},
		{"an outcome's stamp repeats", "lamport", []statementOf{tell("UPDATE outcomes SET lamport = lamport - 1 WHERE operation_id = ?", past.later)}},
		{"an account is moved against the order of the stamps", "lamport replay", []statementOf{
			tell("UPDATE outcomes SET lamport = 2000000000 WHERE operation_id = ?", past.funded), tell("UPDATE entries SET lamport = 2000000000 WHERE operation_id = ?", past.funded),
			tell("UPDATE accounts SET lamport = 2000000000")}},
	}
}

func liesOnlyTheReplaySees(past history) []lie {
	return []lie{
		{"a success is a refusal", "replay", []statementOf{tell("UPDATE outcomes SET status = 'rejected', problem = 'insufficient_funds\nno' WHERE operation_id = ?", past.paid)}},
		{"a refusal is a success", "replay", []statementOf{tell("UPDATE outcomes SET status = 'succeeded', problem = NULL WHERE operation_id = ?", past.refused)}},
		{"a refusal has another reason", "replay", []statementOf{tell("UPDATE outcomes SET problem = 'unknown_account\nno' WHERE operation_id = ?", past.refused)}},
		{"a command asks for more", "replay", []statementOf{tell(`UPDATE operations SET payload = '{"from":"ADA1","to":"BOB1","amount":551}' WHERE id = ?`, past.paid)}},
		{"a command cannot be read", "replay", []statementOf{tell("UPDATE operations SET payload = '{' WHERE id = ?", past.refused)}},
		{"a command cannot be executed", "replay", []statementOf{tell(`UPDATE operations SET payload = '{"from":"BOB1","to":"BOB1","amount":1}' WHERE id = ?`, past.refused)}},
		{"a command is of a kind that is not known", "replay", []statementOf{tell("UPDATE operations SET kind = 'robbery' WHERE id = ?", past.refused)}},
		{"an entry has another reference", "replay", []statementOf{tell("UPDATE entries SET reference = 'loan' WHERE operation_id = ?", past.paid)}},
		{"an entry is of another time", "replay", []statementOf{tell("UPDATE entries SET at_us = at_us + 1 WHERE operation_id = ?", past.paid)}},
		{"a posting has another counterparty", "replay", []statementOf{tell("UPDATE postings SET counterparty = 'EVE1' WHERE operation_id = ? AND account = 'ADA1'", past.paid)}},
		{"a hold is larger, and its account agrees", "replay", []statementOf{
			tell("UPDATE holds SET remaining = remaining + 1 WHERE id = ?", past.openHold), tell("UPDATE accounts SET held = held + 1 WHERE number = 'ADA1'")}},
		{"money was made, and everything agrees", "replay", []statementOf{
			tell("UPDATE postings SET amount = amount - 5, balance_after = balance_after - 5 WHERE account = 'cash' AND sequence = 1"),
			tell("UPDATE postings SET balance_after = balance_after - 5 WHERE account = 'cash' AND sequence > 1"), tell("UPDATE accounts SET balance = balance - 5 WHERE number = 'cash'"),
			tell("UPDATE postings SET amount = amount + 5 WHERE account = 'ADA1' AND sequence = 1"),
			tell("UPDATE postings SET balance_after = balance_after + 5 WHERE account = 'ADA1'"), tell("UPDATE accounts SET balance = balance + 5 WHERE number = 'ADA1'")}},
		{"a failed operation had an effect", "replay", []statementOf{
			tell("UPDATE outcomes SET status = 'failed' WHERE operation_id = ?", past.paid),
			tell("INSERT INTO parked_operations (operation_id, parked, cause, parked_at_us) VALUES ( ?, TRUE, '', 1)", past.paid)}},
		{"a lane is not known", "replay", []statementOf{
			tell("UPDATE operations SET lane = 'cellar' WHERE lane = ?", holdsLane), tell("UPDATE outcomes SET lane = 'cellar' WHERE lane = ?", holdsLane),
			tell("UPDATE lanes SET name = 'cellar' WHERE name = ?", holdsLane)}},
	}
}
