package bank

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"guichet/models/database"
	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/money"
	"guichet/models/operation"
)

var (
	// ErrNumberTaken says that another account has the number.
	ErrNumberTaken = errors.New("bank: the account number is taken")
	// ErrNotFound says that there is no such account, posting or operation on the account.
	ErrNotFound = errors.New("bank: not found")
)

const accountColumns = "number, user_id, balance, held, postings, last_posting_us, lamport, opened_lamport, opened_at_us"

// OpenAccount opens an account for a user. It waits for what the lanes are executing, so that the stamp of its opening comes after every refusal of the
// number as unknown, which had no row to leave a stamp on.
func OpenAccount(tx database.Tx, clock *lamport.Clock, number string, user id.ID, at time.Time) error {
	lanes, err := operation.LockLanes(tx)
	if err != nil {
		return err
	}
	var last lamport.Stamp
	for _, lane := range lanes {
		last = max(last, lane.Lamport)
	}
	stamp := int64(clock.Receive(last))
	rows := database.Rows{Table: "accounts", Columns: []string{"number", "user_id", "lamport", "opened_lamport", "opened_at_us"}}
	rows.Add(number, user[:], stamp, stamp, operation.Micro(at))
	err = rows.Insert(tx)
	if database.IsDuplicate(err) {
		return ErrNumberTaken
	}
	return err
}

// OpenHouseAccount opens an account of the house's own, with the stamp of what it is opened for: nobody can have named it before that.
func OpenHouseAccount(tx database.Tx, number string, stamp lamport.Stamp, at time.Time) error {
	rows := database.Rows{Table: "accounts", Columns: []string{"number", "lamport", "opened_lamport", "opened_at_us"}}
	rows.Add(number, int64(stamp), int64(stamp), operation.Micro(at))
	return rows.Insert(tx)
}

// OpenAnyAccount opens an account with a number that is given: ten digits, at random, so that they tell nothing of how many there are.
func OpenAnyAccount(tx database.Tx, clock *lamport.Clock, user id.ID, at time.Time) (string, error) {
	for range 10 {
		n, err := rand.Int(rand.Reader, big.NewInt(9_000_000_000))
		if err != nil {
			return "", err
		}
		number := strconv.FormatInt(1_000_000_000+n.Int64(), 10)
		var taken int
		if err := tx.Gorm().Raw("SELECT COUNT(*) FROM accounts WHERE number = ?", number).Row().Scan(&taken); err != nil {
			return "", err
		}
		if taken == 0 { // an insert that fails would end the transaction on some stores, so look first; the key still guards
			return number, OpenAccount(tx, clock, number, user, at)
		}
	}
	return "", ErrNumberTaken
}

// Load reads and locks the accounts with the given numbers, and the given holds with their accounts. Those that do not exist are absent. With it, in the same
// breath and after the locks are had, is read what the functions in also ask for.
func Load(tx database.Tx, numbers []string, holds []id.ID, also ...func(database.Tx) error) (*Ledger, error) {
	var accounts []Account
	var loaded []Hold
	err := tx.Deferred(func(tx database.Tx) error {
		if err := loadHolds(tx, holds, &loaded); err != nil {
			return err
		}
		if err := loadAccounts(tx, numbers, &accounts); err != nil {
			return err
		}
		for _, read := range also {
			if err := read(tx); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		err = tx.Flush()
	}
	if err == nil {
		err = loadAccounts(tx, ownersOf(loaded, numbers), &accounts)
	}
	return NewLedger(accounts, loaded), err
}

// ownersOf names the accounts of holds that are not among the sorted numbers.
func ownersOf(holds []Hold, numbers []string) []string {
	var owners []string
	for i := range holds {
		if _, known := slices.BinarySearch(numbers, holds[i].Account); !known {
			owners = append(owners, holds[i].Account)
		}
	}
	return owners
}

// loadAccounts locks in the order of the numbers, which all lanes share, so that lanes cannot deadlock.
func loadAccounts(tx database.Tx, numbers []string, into *[]Account) error {
	slices.Sort(numbers)
	distinct := slices.Compact(slices.Clone(numbers))
	if len(distinct) == 0 {
		return nil
	}
	args := make([]any, len(distinct))
	for i := range distinct {
		args[i] = distinct[i]
	}
	return queryAccounts(tx, into, "WHERE number IN "+database.Placeholders(len(args))+" ORDER BY number"+tx.ForUpdate(), args...)
}

func queryAccounts(tx database.Tx, into *[]Account, where string, args ...any) error {
	return tx.Query(func(rows *sql.Rows) error {
		for rows.Next() {
			var a Account
			var last, opened int64
			if err := rows.Scan(&a.Number, &a.UserID, &a.Balance, &a.Held, &a.Postings, &last, &a.Lamport, &a.Opened, &opened); err != nil {
				return err
			}
			a.LastPosting, a.OpenedAt = operation.FromMicro(last), operation.FromMicro(opened)
			*into = append(*into, a)
		}
		return rows.Err()
	}, "SELECT "+accountColumns+" FROM accounts "+where, args...)
}

func loadHolds(tx database.Tx, ids []id.ID, into *[]Hold) error {
	if len(ids) == 0 {
		return nil
	}
	slices.SortFunc(ids, func(a, b id.ID) int { return strings.Compare(string(a[:]), string(b[:])) })
	args := make([]any, len(ids))
	for i := range ids {
		args[i] = ids[i][:]
	}
	return tx.Query(func(rows *sql.Rows) error {
		for rows.Next() {
			var h Hold
			if err := rows.Scan(&h.ID, &h.Account, &h.Amount, &h.Remaining, &h.OperationID, &h.Lamport); err != nil {
				return err
			}
			*into = append(*into, h)
		}
		return rows.Err()
	}, "SELECT id, account, amount, remaining, operation_id, lamport FROM holds WHERE id IN "+database.Placeholders(len(args))+" ORDER BY id"+tx.ForUpdate(), args...)
}

// Save stores what the round has made: entries with their postings, and the accounts and holds as they are now.
func (l *Ledger) Save(tx database.Tx) error {
	entries := database.Rows{Table: "entries", Columns: []string{"operation_id", "part", "kind", "reference", "lamport", "at_us"}}
	postings := database.Rows{Table: "postings", Columns: []string{"account", "at_us", "sequence", "operation_id", "part", "amount", "balance_after", "counterparty"}}
	for i := range l.Entries {
		e := &l.Entries[i]
		var reference any
		if e.Reference != "" {
			reference = e.Reference
		}
		at := operation.Micro(e.At)
		entries.Add(e.OperationID[:], e.Part, e.Kind, reference, int64(e.Lamport), at)
		for j := range e.Postings {
			p := &e.Postings[j]
			postings.Add(p.Account, at, p.Sequence, e.OperationID[:], e.Part, int64(p.Amount), int64(p.BalanceAfter), p.Counterparty)
		}
	}
	// One after the other: after an error that ended the transaction, the next statement would be one of its own, and stay.
	for _, write := range []func(database.Tx) error{entries.Insert, postings.Insert, l.saveAccounts, l.saveHolds} {
		if err := write(tx); err != nil {
			return err
		}
	}
	return nil
}

func (l *Ledger) saveAccounts(tx database.Tx) error {
	rows := database.Rows{Table: "accounts", Columns: strings.Split(accountColumns, ", ")}
	for _, a := range l.touched {
		var user any
		if !a.House() {
			user = a.UserID[:]
		}
		rows.Add(a.Number, user, int64(a.Balance), int64(a.Held), a.Postings, operation.Micro(a.LastPosting), int64(a.Lamport), int64(a.Opened), operation.Micro(a.OpenedAt))
	}
	return rows.Upsert(tx, []string{"number"}, []string{"balance", "held", "postings", "last_posting_us", "lamport"})
}

func (l *Ledger) saveHolds(tx database.Tx) error {
	rows := database.Rows{Table: "holds", Columns: []string{"id", "account", "amount", "remaining", "operation_id", "lamport"}}
	for _, h := range l.touchedHolds {
		rows.Add(h.ID[:], h.Account, int64(h.Amount), int64(h.Remaining), h.OperationID[:], int64(h.Lamport))
	}
	return rows.Upsert(tx, []string{"id"}, []string{"remaining", "lamport"})
}

// Accounts reads a user's accounts whose numbers follow after, by number.
func Accounts(tx database.Tx, user id.ID, after string, limit int) (accounts []Account, err error) {
	err = queryAccounts(tx, &accounts, "WHERE user_id = ? AND number > ? ORDER BY number LIMIT ?", user[:], after, limit)
	return accounts, err
}

// GetAccount reads one account of a user, or ErrNotFound.
func GetAccount(tx database.Tx, user id.ID, number string) (Account, error) {
	var accounts []Account
	err := queryAccounts(tx, &accounts, "WHERE number = ? AND user_id = ?", number, user[:])
	if err != nil {
		return Account{}, err
	}
	if len(accounts) == 0 {
		return Account{}, ErrNotFound
	}
	return accounts[0], nil
}

// Line is a line of a statement.
type Line struct {
	OperationID  id.ID
	Part         int
	Kind         string
	Reference    *string
	Amount       money.Amount
	BalanceAfter money.Amount
	Counterparty string
	AtUs         int64
	Sequence     int64
	Lamport      lamport.Stamp
}

// Statement reads an account's lines older than the one with the given sequence and time (zero: from the newest), newest first.
func Statement(tx database.Tx, account string, beforeUs, beforeSequence int64, limit int) ([]Line, error) {
	where, args := "p.account = ?", []any{account}
	if beforeSequence > 0 {
		where += " AND (p.at_us, p.sequence) < (?, ?) AND p.at_us <= ?" // the last is what MySQL uses the key for
		args = append(args, beforeUs, beforeSequence, beforeUs)
	}
	var lines []Line
	err := tx.Gorm().Raw(`SELECT p.operation_id, p.part, e.kind, e.reference, p.amount, p.balance_after, p.counterparty, p.at_us, p.sequence, e.lamport
		FROM postings p JOIN entries e ON e.operation_id = p.operation_id AND e.part = p.part
		WHERE `+where+` ORDER BY p.at_us DESC, p.sequence DESC LIMIT ?`, append(args, limit)...).Scan(&lines).Error
	return lines, err
}

// BalanceAt is the balance of an account at a time, inclusive: 0 before its first posting.
func BalanceAt(ctx context.Context, db *database.DB, account string, at time.Time) (money.Amount, error) {
	var balances []money.Amount
	err := db.Read(ctx).Gorm().Raw("SELECT balance_after FROM postings WHERE account = ? AND at_us <= ? ORDER BY at_us DESC, sequence DESC LIMIT 1",
		account, operation.Micro(at)).Scan(&balances).Error
	if err != nil || len(balances) == 0 {
		return 0, err
	}
	return balances[0], nil
}

// BalanceAfter is the balance of an account right after an operation, and when that was; ErrNotFound if the operation did not move it.
func BalanceAfter(ctx context.Context, db *database.DB, account string, op id.ID) (money.Amount, time.Time, error) {
	var rows []struct {
		BalanceAfter money.Amount
		AtUs         int64
	}
	err := db.Read(ctx).Gorm().Raw(`SELECT p.balance_after, p.at_us FROM entries e JOIN postings p ON p.account = ? AND p.at_us = e.at_us AND p.operation_id = e.operation_id AND p.part = e.part
		WHERE e.operation_id = ? ORDER BY e.part DESC LIMIT 1`, account, op[:]).Scan(&rows).Error
	if err != nil {
		return 0, time.Time{}, err
	}
	if len(rows) == 0 {
		return 0, time.Time{}, ErrNotFound
	}
	return rows[0].BalanceAfter, operation.FromMicro(rows[0].AtUs), nil
}
