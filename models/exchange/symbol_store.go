package exchange

import (
	"database/sql"
	"errors"
	"time"

	"guichet/models/bank"
	"guichet/models/database"
	"guichet/models/lamport"
	"guichet/models/operation"
)

var (
	// ErrSymbolTaken says that the symbol is listed already.
	ErrSymbolTaken = errors.New("exchange: the symbol is taken")
	// ErrUnknownSymbol says that no symbol has the name.
	ErrUnknownSymbol = errors.New("exchange: no such symbol")
)

const selectSymbol = "SELECT symbol, name, tick, lot, fee_bps, lane, halted, sequence, trades, issued, lamport, listed_lamport, listed_at_us FROM symbols "

// InsertSymbol lists a symbol and opens the account that its fees go to; it sets Lamport and Listed. It waits for what the lanes are executing, so that the
// stamp of the listing comes after every refusal of the symbol as unknown, which had no row to leave a stamp on. ErrSymbolTaken: it is listed already.
func InsertSymbol(tx database.Tx, clock *lamport.Clock, s *Symbol) error {
	lanes, err := operation.LockLanes(tx)
	if err != nil {
		return err
	}
	var last lamport.Stamp
	for _, lane := range lanes {
		last = max(last, lane.Lamport)
	}
	s.Lamport = clock.Receive(last)
	s.Listed = s.Lamport
	rows := database.Rows{Table: "symbols", Columns: []string{"symbol", "name", "tick", "lot", "fee_bps", "lane", "lamport", "listed_lamport", "listed_at_us"}}
	rows.Add(s.Symbol, s.Name, int64(s.Tick), s.Lot, s.FeeBps, s.Lane, int64(s.Lamport), int64(s.Listed), operation.Micro(s.ListedAt))
	if err := rows.Insert(tx); err != nil {
		if database.IsDuplicate(err) {
			return ErrSymbolTaken
		}
		return err
	}
	return bank.OpenHouseAccount(tx, FeesAccount(s.Symbol), s.Listed, s.ListedAt)
}

// Halt halts or resumes the trading of a symbol, and returns the symbol as it is then, or ErrUnknownSymbol. It waits for what the symbol's lane is executing:
// whatever that decided has a smaller stamp than the change, and whatever it decides from now on a greater one.
func Halt(tx database.Tx, clock *lamport.Clock, symbol string, halted bool, at time.Time) (Symbol, error) {
	s, err := GetSymbol(tx, symbol)
	if err != nil {
		return s, err
	}
	lane, err := operation.LockLane(tx, s.Lane)
	if err != nil {
		return s, err
	}
	if s, err = oneSymbol(tx, symbol, tx.ForUpdate()); err != nil || s.Halted == halted {
		return s, err
	}
	s.Halted, s.Lamport = halted, clock.Receive(max(lane.Lamport, s.Lamport))
	if _, err := tx.Exec("UPDATE symbols SET halted = ?, lamport = ? WHERE symbol = ?", halted, int64(s.Lamport), symbol); err != nil {
		return s, err
	}
	rows := database.Rows{Table: "symbol_halts", Columns: []string{"symbol", "lamport", "halted", "at_us"}}
	rows.Add(symbol, int64(s.Lamport), halted, operation.Micro(at))
	return s, rows.Insert(tx)
}

// Symbols reads the symbols that follow after, by name.
func Symbols(tx database.Tx, after string, limit int) ([]Symbol, error) {
	return querySymbols(tx, "WHERE symbol > ? ORDER BY symbol LIMIT ?", after, limit)
}

// GetSymbol reads one symbol, or ErrUnknownSymbol.
func GetSymbol(tx database.Tx, symbol string) (Symbol, error) { return oneSymbol(tx, symbol, "") }

func oneSymbol(tx database.Tx, symbol, lock string) (Symbol, error) {
	symbols, err := querySymbols(tx, "WHERE symbol = ?"+lock, symbol)
	if err != nil {
		return Symbol{}, err
	}
	if len(symbols) == 0 {
		return Symbol{}, ErrUnknownSymbol
	}
	return symbols[0], nil
}

func querySymbols(tx database.Tx, where string, args ...any) (symbols []Symbol, err error) {
	err = tx.Query(func(rows *sql.Rows) error {
		for rows.Next() {
			var s Symbol
			var listedAt int64
			if err := rows.Scan(&s.Symbol, &s.Name, &s.Tick, &s.Lot, &s.FeeBps, &s.Lane, &s.Halted, &s.Sequence, &s.Trades, &s.Issued, &s.Lamport, &s.Listed, &listedAt); err != nil {
				return err
			}
			s.ListedAt = operation.FromMicro(listedAt)
			symbols = append(symbols, s)
		}
		return rows.Err()
	}, selectSymbol+where, args...)
	return symbols, err
}
