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

// naiveBooks are the tables of the naive handler, written as one usually does with gorm: an account
// row with its balance, locked and updated by each transfer, and an entry with two postings. It is
// what guichet is compared with, so it is tuned as far as its shape allows and no further.
type naiveBooks struct{ db *gorm.DB }

type naiveAccount struct {
	ID      int64 `gorm:"primaryKey;autoIncrement:false"`
	Balance int64
}

type naiveEntry struct {
	ID int64 `gorm:"primaryKey"`
	At time.Time
}

// naivePosting is clustered by entry: inserts go to the end of the table, and the index answers for statements.
type naivePosting struct {
	EntryID      int64 `gorm:"primaryKey;autoIncrement:false"`
	AccountID    int64 `gorm:"primaryKey;autoIncrement:false;index"`
	Amount       int64
	BalanceAfter int64
}

var errOverdraft = errors.New("the account does not hold that much")

// openNaiveBooks connects through a pool of so many connections, all of which stay open.
func openNaiveBooks(dsn string, pool int, prepared bool) (*naiveBooks, error) {
	config, err := driver.ParseDSN(dsn)
	if err != nil {
		return nil, err
	}
	config.InterpolateParams = !prepared
	config.ParseTime = true
	db, err := gorm.Open(mysql.Open(config.FormatDSN()), &gorm.Config{
		PrepareStmt: prepared,
		// The transaction is ours; gorm's own around each statement would only be savepoints within it.
		SkipDefaultTransaction: true,
		Logger:                 logger.Discard,
	})
	if err != nil {
		return nil, err
	}
	connections, err := db.DB()
	if err != nil {
		return nil, err
	}
	connections.SetMaxOpenConns(pool)
	connections.SetMaxIdleConns(pool)
	return &naiveBooks{db}, nil
}

func (b *naiveBooks) close() error {
	connections, err := b.db.DB()
	if err != nil {
		return err
	}
	return connections.Close()
}

// reset makes the tables anew, with accounts 0 … n-1 that hold balance each.
func (b *naiveBooks) reset(n int, balance int64) error {
	tables := []any{&naivePosting{}, &naiveEntry{}, &naiveAccount{}}
	if err := b.db.Migrator().DropTable(tables...); err != nil {
		return err
	}
	if err := b.db.AutoMigrate(tables...); err != nil {
		return err
	}
	accounts := make([]naiveAccount, n)
	for i := range accounts {
		accounts[i] = naiveAccount{ID: firstAccount + int64(i), Balance: balance}
	}
	return b.db.CreateInBatches(accounts, 200).Error
}

// transfer moves amount and returns what the sender has left. Should the database choose it as the
// victim of a deadlock it tries again; with rows locked in id order that has not been seen.
func (b *naiveBooks) transfer(ctx context.Context, from, to, amount int64) (balance int64, err error) {
	const attempts = 3
	for range attempts {
		err = b.db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
			balance, err = transferWithin(tx, from, to, amount)
			return err
		})
		if !isDeadlock(err) {
			break
		}
	}
	return balance, err
}

func transferWithin(tx *gorm.DB, from, to, amount int64) (int64, error) {
	var accounts []naiveAccount
	lock := clause.Locking{Strength: "UPDATE"}
	if err := tx.Clauses(lock).Where("id IN ?", []int64{from, to}).Order("id").Find(&accounts).Error; err != nil {
		return 0, err
	}
	if len(accounts) != 2 {
		return 0, fmt.Errorf("accounts %d, %d: %d exist", from, to, len(accounts))
	}
	sender, receiver := accounts[0], accounts[1]
	if sender.ID != from {
		sender, receiver = receiver, sender
	}
	if sender.Balance < amount {
		return 0, errOverdraft
	}
	sender.Balance -= amount
	receiver.Balance += amount
	for _, a := range []naiveAccount{sender, receiver} {
		if err := tx.Model(&naiveAccount{}).Where("id = ?", a.ID).Update("balance", a.Balance).Error; err != nil {
			return 0, err
		}
	}
	entry := naiveEntry{At: time.Now().UTC()}
	if err := tx.Create(&entry).Error; err != nil {
		return 0, err
	}
	postings := []naivePosting{
		{entry.ID, sender.ID, -amount, sender.Balance},
		{entry.ID, receiver.ID, amount, receiver.Balance},
	}
	return sender.Balance, tx.Create(&postings).Error
}

func isDeadlock(err error) bool {
	const deadlock = 1213
	var refusal *driver.MySQLError
	return errors.As(err, &refusal) && refusal.Number == deadlock
}

// check proves that the baseline did its work: no money came or went, each balance is what its
// postings say, and there are two postings an entry.
func (b *naiveBooks) check(n int, balance int64) error {
	var wrong, entries, postings int64
	query := `SELECT COUNT(*) FROM naive_accounts a WHERE a.balance <> ? +
		(SELECT COALESCE(SUM(amount), 0) FROM naive_postings p WHERE p.account_id = a.id)`
	err := errors.Join(
		b.db.Raw(query, balance).Scan(&wrong).Error,
		b.db.Model(&naiveEntry{}).Count(&entries).Error,
		b.db.Model(&naivePosting{}).Count(&postings).Error,
	)
	if err != nil {
		return err
	}
	var sum int64
	if err := b.db.Model(&naiveAccount{}).Select("SUM(balance)").Scan(&sum).Error; err != nil {
		return err
	}
	if wrong != 0 || postings != 2*entries || sum != int64(n)*balance {
		return fmt.Errorf("naive books do not hold: %d balances wrong, %d entries, %d postings, sum %d", wrong, entries, postings, sum)
	}
	return nil
}
