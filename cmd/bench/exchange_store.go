package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	driver "github.com/go-sql-driver/mysql"
	"gorm.io/driver/mysql"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"
)

// naiveMarket is the tables of the naive exchange. It is what guichet's exchange is compared with, so it is tuned as far as its shape allows: an index that gives the
// best orders in their order, one statement for all rows of a table, locks taken in one order so that there are no deadlocks, and no gap locks (READ COMMITTED).
type naiveMarket struct{ db *gorm.DB }

// naiveSymbol is locked by whoever matches: two orders that meet only each other would not see each other otherwise. Its ID is that of its fees account.
type naiveSymbol struct {
	ID     int64  `gorm:"primaryKey;autoIncrement:false"`
	Symbol string `gorm:"size:12;uniqueIndex"`
}

type naiveTrader struct {
	ID      int64 `gorm:"primaryKey;autoIncrement:false"`
	Balance int64
	Held    int64
}

type naiveHolding struct {
	AccountID int64  `gorm:"primaryKey;autoIncrement:false"`
	Symbol    string `gorm:"primaryKey;size:12"`
	Quantity  int64
	Held      int64
}

// naiveOrder has its place in the book as Place, the smaller the better on both sides, so that one ascending index serves both.
type naiveOrder struct {
	ID          int64  `gorm:"primaryKey;index:book,priority:5"`
	AccountID   int64  `gorm:"index"`
	Symbol      string `gorm:"size:12;index:book,priority:1"`
	Side        string `gorm:"size:4;index:book,priority:2"`
	Status      string `gorm:"size:9;index:book,priority:3"`
	Place       int64  `gorm:"index:book,priority:4"`
	Type        string `gorm:"size:6"`
	TimeInForce string `gorm:"size:3"`
	Quantity    int64
	Filled      int64
	Price       int64
	SubmittedAt time.Time
	CompletedAt *time.Time
}

type naiveTrade struct {
	ID         int64  `gorm:"primaryKey"`
	Symbol     string `gorm:"size:12;index"`
	Price      int64
	Quantity   int64
	TakerSide  string `gorm:"size:4"`
	MakerOrder int64
	TakerOrder int64
	At         time.Time
}

type naiveFill struct {
	TradeID   int64  `gorm:"primaryKey;autoIncrement:false"`
	Side      string `gorm:"primaryKey;size:4"`
	OrderID   int64  `gorm:"index"`
	AccountID int64  `gorm:"index"`
	Quantity  int64
	Price     int64
	Fee       int64
	Liquidity string `gorm:"size:5"`
}

// A naiveRefusalError is a rule that says no, as a code of the contract.
type naiveRefusalError string

func (r naiveRefusalError) Error() string { return string(r) }

// openNaiveMarket connects through a pool of so many connections, all of which stay open.
func openNaiveMarket(dsn string, pool int, prepared bool) (*naiveMarket, error) {
	config, err := driver.ParseDSN(dsn)
	if err != nil {
		return nil, err
	}
	config.InterpolateParams = !prepared
	config.ParseTime = true
	config.Params = map[string]string{"tx_isolation": "'READ-COMMITTED'"}
	db, err := gorm.Open(mysql.Open(config.FormatDSN()), &gorm.Config{PrepareStmt: prepared, SkipDefaultTransaction: true, Logger: logger.Discard})
	if err != nil {
		return nil, err
	}
	connections, err := db.DB()
	if err != nil {
		return nil, err
	}
	connections.SetMaxOpenConns(pool)
	connections.SetMaxIdleConns(pool)
	return &naiveMarket{db}, nil
}

func (b *naiveMarket) close() error { return (&naiveBooks{b.db}).close() }

// reset makes the tables anew, with traders 1 … n, who have cash and shares.
func (b *naiveMarket) reset(symbols []string, n int) error {
	tables := []any{&naiveSymbol{}, &naiveTrader{}, &naiveHolding{}, &naiveOrder{}, &naiveTrade{}, &naiveFill{}, &naiveEntry{}, &naivePosting{}}
	if err := b.db.Migrator().DropTable(tables...); err != nil {
		return err
	}
	if err := b.db.AutoMigrate(tables...); err != nil {
		return err
	}
	var listed []naiveSymbol
	var traders []naiveTrader
	var holdings []naiveHolding
	for i, symbol := range symbols {
		fees := int64(i + 1)
		listed, traders = append(listed, naiveSymbol{fees, symbol}), append(traders, naiveTrader{ID: fees})
	}
	for i := 1; i <= n; i++ {
		account := int64(firstAccount + i)
		traders = append(traders, naiveTrader{ID: account, Balance: funding})
		for _, symbol := range symbols {
			holdings = append(holdings, naiveHolding{AccountID: account, Symbol: symbol, Quantity: shareholding})
		}
	}
	return errors.Join(b.db.Create(&listed).Error, b.db.CreateInBatches(traders, 200).Error, b.db.CreateInBatches(holdings, 200).Error)
}

// within runs a transaction. Should the database choose it as the victim of a deadlock, it runs again.
func (b *naiveMarket) within(ctx context.Context, do func(tx *gorm.DB) error) (err error) {
	const attempts = 5
	for range attempts {
		if err = b.db.WithContext(ctx).Transaction(do); !isDeadlock(err) {
			break
		}
	}
	return err
}

// place executes an order and sets what became of it.
func (b *naiveMarket) place(ctx context.Context, o *naiveOrder) error {
	asked := *o
	return b.within(ctx, func(tx *gorm.DB) error {
		*o = asked
		m := naiveMatch{tx: tx, taker: o}
		for _, step := range []func() error{m.lockSymbol, m.findMakers, m.lockOwners, m.admit, m.trade, m.store} {
			if err := step(); err != nil {
				return err
			}
		}
		return nil
	})
}

// cancel withdraws an order of an account's.
func (b *naiveMarket) cancel(ctx context.Context, asked *naiveOrder) error {
	return b.within(ctx, func(tx *gorm.DB) error {
		o := naiveOrder{}
		if err := tx.Where("id = ? AND account_id = ?", asked.ID, asked.AccountID).Take(&o).Error; err != nil {
			return err
		}
		m := naiveMatch{tx: tx, taker: &o}
		if err := m.lockSymbol(); err != nil { // in the order of locks that place has
			return err
		}
		if err := tx.Clauses(forUpdate).Take(&o, o.ID).Error; err != nil {
			return err
		}
		if o.Status != "open" {
			return naiveRefusalError("order_not_open")
		}
		now := time.Now().UTC()
		rest := o.Quantity - o.Filled
		o.Status, o.CompletedAt = "cancelled", &now
		*asked = o
		if err := tx.Model(&o).Select("status", "completed_at").Updates(&o).Error; err != nil {
			return err
		}
		if o.Side == "buy" {
			return tx.Model(&naiveTrader{}).Where("id = ?", o.AccountID).Update("held", gorm.Expr("held - ?", rest*o.Price)).Error
		}
		return tx.Model(&naiveHolding{}).Where("account_id = ? AND symbol = ?", o.AccountID, o.Symbol).Update("held", gorm.Expr("held - ?", rest)).Error
	})
}

var forUpdate = clause.Locking{Strength: "UPDATE"}

// check proves that the baseline did its work: cash and shares are conserved, balances are what their postings say, entries sum to zero, holds are what open orders
// require, each trade has two fills and an entry, orders are filled by what their fills say, and no book is crossed. It returns how many trades there were.
func (b *naiveMarket) check(symbols []string, n int) (trades int64, err error) {
	wrong := []struct{ what, query string }{
		{"balances", fmt.Sprintf(`SELECT COUNT(*) FROM naive_traders a WHERE balance <> IF(id < %d, 0, %d) + (SELECT COALESCE(SUM(amount), 0) FROM naive_postings WHERE account_id = a.id)`, firstAccount, int64(funding))},
		{"cash", fmt.Sprintf(`SELECT COALESCE(SUM(balance), 0) <> %d FROM naive_traders`, int64(n)*funding)},
		{"entries", `SELECT COUNT(*) FROM (SELECT 1 FROM naive_postings GROUP BY entry_id HAVING SUM(amount) <> 0) AS x`},
		{"shares", fmt.Sprintf(`SELECT COUNT(*) FROM (SELECT 1 FROM naive_holdings GROUP BY symbol HAVING SUM(quantity) <> %d) AS x`, int64(n)*shareholding)},
		{"held cash", `SELECT COUNT(*) FROM naive_traders a WHERE held > balance OR held <> (SELECT COALESCE(SUM((quantity - filled) * price), 0) FROM naive_orders
			WHERE account_id = a.id AND side = 'buy' AND status = 'open')`},
		{"held shares", `SELECT COUNT(*) FROM naive_holdings h WHERE held > quantity OR held <> (SELECT COALESCE(SUM(quantity - filled), 0) FROM naive_orders
			WHERE account_id = h.account_id AND symbol = h.symbol AND side = 'sell' AND status = 'open')`},
		{"fills", `SELECT (SELECT COUNT(*) FROM naive_fills) <> 2 * (SELECT COUNT(*) FROM naive_trades) OR (SELECT COUNT(*) FROM naive_entries) <> (SELECT COUNT(*) FROM naive_trades)`},
		{"orders", `SELECT COUNT(*) FROM naive_orders o WHERE filled > quantity OR (filled = quantity) <> (status = 'filled')
			OR filled <> (SELECT COALESCE(SUM(quantity), 0) FROM naive_fills WHERE order_id = o.id)`},
		{"crossed books", `SELECT COUNT(*) FROM naive_symbols s WHERE (SELECT MAX(price) FROM naive_orders WHERE symbol = s.symbol AND side = 'buy' AND status = 'open') >=
			(SELECT MIN(price) FROM naive_orders WHERE symbol = s.symbol AND side = 'sell' AND status = 'open')`},
	}
	for _, w := range wrong {
		var count int64
		if err := b.db.Raw(w.query).Scan(&count).Error; err != nil {
			return 0, fmt.Errorf("%s: %w", w.what, err)
		}
		if count != 0 {
			return 0, fmt.Errorf("naive exchange does not hold: %d %s wrong", count, w.what)
		}
	}
	err = b.db.Model(&naiveTrade{}).Where("symbol IN ?", symbols).Count(&trades).Error
	return trades, err
}
