package audit

import (
	"database/sql"
	"iter"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"guichet/models/database"
	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/money"
	"guichet/models/operation"
	"guichet/models/problem"
)

// query streams the rows of a query, so that a journal of any length is read in little memory. The row that is yielded is overwritten by the next.
// Where an order is asked for that no key gives, the database sorts, on its own disk.
func query[T any](tx database.Tx, text string, fields func(*T) []any) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		quiet := tx.Gorm().Session(&gorm.Session{Logger: logger.Discard}) // a query over everything is slow, and that is no news
		rows, err := quiet.Raw(text).Rows()
		if err != nil {
			yield(nil, err)
			return
		}
		defer func() { _ = rows.Close() }()
		var row T
		into := fields(&row)
		for rows.Next() {
			if err := rows.Scan(into...); err != nil {
				yield(nil, err)
				return
			}
			if !yield(&row, nil) {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(nil, err)
		}
	}
}

type accountRow struct {
	number        string
	user          id.ID
	balance, held money.Amount
	postings      int64
	lastPostingUs int64
	lamport       lamport.Stamp
	opened        lamport.Stamp
}

func (a *accountRow) house() bool { return a.user.IsZero() }

// readAccounts reads all accounts into memory: there are far fewer of them than of operations.
func readAccounts(tx database.Tx) (map[string]*accountRow, error) {
	accounts := map[string]*accountRow{}
	for row, err := range query(tx, "SELECT number, user_id, balance, held, postings, last_posting_us, lamport, opened_lamport FROM accounts", func(a *accountRow) []any {
		return []any{&a.number, &a.user, &a.balance, &a.held, &a.postings, &a.lastPostingUs, &a.lamport, &a.opened}
	}) {
		if err != nil {
			return nil, err
		}
		account := *row
		accounts[account.number] = &account
	}
	return accounts, nil
}

type holdRow struct {
	id                id.ID
	account           string
	amount, remaining money.Amount
}

func holds(tx database.Tx) iter.Seq2[*holdRow, error] {
	return query(tx, "SELECT id, account, amount, remaining FROM holds", func(h *holdRow) []any {
		return []any{&h.id, &h.account, &h.amount, &h.remaining}
	})
}

// lineRow is an entry (not posted), or one of the postings of an entry.
type lineRow struct {
	operation id.ID
	part      int
	posted    bool
	amount    money.Amount
}

// lines yields each entry, followed by its postings.
func lines(tx database.Tx) iter.Seq2[*lineRow, error] {
	return query(tx, `SELECT operation_id, part, 0 AS posted, 0 AS amount FROM entries
		UNION ALL SELECT operation_id, part, 1, amount FROM postings ORDER BY operation_id, part, posted`, func(l *lineRow) []any {
		return []any{&l.operation, &l.part, &l.posted, &l.amount}
	})
}

type postingRow struct {
	account              string
	atUs, sequence       int64
	operation            id.ID
	part                 int
	amount, balanceAfter money.Amount
	counterparty         string
}

// postings yields them account by account, as on a statement. That is the order of their key.
func postings(tx database.Tx) iter.Seq2[*postingRow, error] {
	return query(tx, "SELECT account, at_us, sequence, operation_id, part, amount, balance_after, counterparty FROM postings ORDER BY account, at_us, sequence",
		func(p *postingRow) []any {
			return []any{&p.account, &p.atUs, &p.sequence, &p.operation, &p.part, &p.amount, &p.balanceAfter, &p.counterparty}
		})
}

type stampedPosting struct {
	account   string
	operation id.ID
	stamp     lamport.Stamp
}

// stampedPostings yields the stamps of the entries on each account, as on a statement.
func stampedPostings(tx database.Tx) iter.Seq2[*stampedPosting, error] {
	return query(tx, `SELECT p.account, p.operation_id, e.lamport FROM postings p JOIN entries e ON e.operation_id = p.operation_id AND e.part = p.part
		ORDER BY p.account, p.at_us, p.sequence`, func(p *stampedPosting) []any {
		return []any{&p.account, &p.operation, &p.stamp}
	})
}

type stampedEntry struct {
	operation id.ID
	part      int
	stamp     lamport.Stamp
	outcome   sql.NullInt64 // the stamp of the operation's outcome
}

func stampedEntries(tx database.Tx) iter.Seq2[*stampedEntry, error] {
	return query(tx, "SELECT e.operation_id, e.part, e.lamport, x.lamport FROM entries e LEFT JOIN outcomes x ON x.operation_id = e.operation_id",
		func(e *stampedEntry) []any { return []any{&e.operation, &e.part, &e.stamp, &e.outcome} })
}

// journalRow is an operation with its outcome, if it has one.
type journalRow struct {
	id       id.ID
	lane     string
	stamp    lamport.Stamp
	status   sql.NullString
	executed sql.NullString // the lane that the outcome names
	sequence sql.NullInt64
	outcome  sql.NullInt64 // the stamp of the outcome
}

// journal yields the operations in the order of their ids.
func journal(tx database.Tx) iter.Seq2[*journalRow, error] {
	return query(tx, `SELECT o.id, o.lane, o.lamport, x.status, x.lane, x.sequence, x.lamport
		FROM operations o LEFT JOIN outcomes x ON x.operation_id = o.id ORDER BY o.id`, func(r *journalRow) []any {
		return []any{&r.id, &r.lane, &r.stamp, &r.status, &r.executed, &r.sequence, &r.outcome}
	})
}

// orphans yields the outcomes that no operation has.
func orphans(tx database.Tx) iter.Seq2[*id.ID, error] {
	return query(tx, "SELECT x.operation_id FROM outcomes x LEFT JOIN operations o ON o.id = x.operation_id WHERE o.id IS NULL",
		func(operation *id.ID) []any { return []any{operation} })
}

type batchRow struct {
	operation.Batch
	lane string
	seen int
}

// last is the id of the batch's last operation.
func (b *batchRow) last() id.ID {
	return b.ID.WithIndex(min(b.ID.Index()+b.Operations, id.MaxBatch) - 1)
}

// readBatches reads what waits, in the order of the ids. Lanes bound how much that is.
func readBatches(tx database.Tx) ([]*batchRow, error) {
	var batches []*batchRow
	for row, err := range query(tx, "SELECT lane, id, operations FROM journal_batches ORDER BY id", func(b *batchRow) []any {
		return []any{&b.lane, &b.ID, &b.Operations}
	}) {
		if err != nil {
			return nil, err
		}
		batch := *row
		batches = append(batches, &batch)
	}
	return batches, nil
}

type parkedRow struct {
	operation id.ID
	parked    bool
	replays   int64
	seen      bool
}

// readParked reads the operations that ever failed, which are few.
func readParked(tx database.Tx) (map[id.ID]*parkedRow, error) {
	parked := map[id.ID]*parkedRow{}
	for row, err := range query(tx, "SELECT operation_id, parked, replays FROM parked_operations", func(p *parkedRow) []any {
		return []any{&p.operation, &p.parked, &p.replays}
	}) {
		if err != nil {
			return nil, err
		}
		one := *row
		parked[one.operation] = &one
	}
	return parked, nil
}

type executedRow struct {
	lane     string
	sequence int64
	stamp    lamport.Stamp
}

// executed yields the outcomes lane by lane, in the order in which they were made.
func executed(tx database.Tx) iter.Seq2[*executedRow, error] {
	return query(tx, "SELECT lane, sequence, lamport FROM outcomes ORDER BY lane, sequence, lamport", func(r *executedRow) []any {
		return []any{&r.lane, &r.sequence, &r.stamp}
	})
}

// recordedRow is an ended operation with one of the entries that it made, or none.
type recordedRow struct {
	operation.Command
	payload     []byte
	submittedUs int64
	sequence    int64
	status      operation.Status
	stamp       lamport.Stamp
	finishedUs  int64
	problem     sql.NullString
	part        sql.NullInt64
	entryKind   sql.NullString
	reference   sql.NullString
	atUs        sql.NullInt64
}

// recorded yields the ended operations in the order in which they are replayed; those with several entries come several times in a row.
// The order names columns of one table only, so that the database sorts that one, before it joins.
func recorded(tx database.Tx) iter.Seq2[*recordedRow, error] {
	return query(tx, `SELECT o.id, o.user_id, o.lane, o.kind, o.payload, o.submitted_at_us, x.sequence, x.status, x.lamport, x.finished_at_us, x.problem, e.part, e.kind, e.reference, e.at_us
		FROM outcomes x JOIN operations o ON o.id = x.operation_id LEFT JOIN entries e ON e.operation_id = x.operation_id
		ORDER BY x.lamport, x.lane, x.sequence`, func(r *recordedRow) []any {
		return []any{&r.ID, &r.UserID, &r.Lane, &r.Kind, &r.payload, &r.submittedUs, &r.sequence, &r.status, &r.stamp, &r.finishedUs, &r.problem, &r.part, &r.entryKind, &r.reference,
			&r.atUs}
	})
}

// readRefused reads with which codes operations of a lane were refused.
func readRefused(tx database.Tx, lane string) (map[id.ID]problem.Code, error) {
	type row struct {
		operation id.ID
		problem   sql.NullString
	}
	refused := map[id.ID]problem.Code{}
	for r, err := range query(tx, "SELECT operation_id, problem FROM outcomes WHERE lane = '"+lane+"' AND status = 'rejected'", func(r *row) []any {
		return []any{&r.operation, &r.problem}
	}) {
		if err != nil {
			return nil, err
		}
		code, _, _ := strings.Cut(r.problem.String, "\n")
		refused[r.operation] = problem.Code(strings.Clone(code)) // else all of the text is kept with it
	}
	return refused, nil
}
