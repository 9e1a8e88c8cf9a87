package main

import (
	"context"
	"fmt"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// naiveTrip is the only trip of the naive ticket office.
const naiveTrip = 1

// naiveOffice is the naive books with tickets: what is sold is paid to account 0. It is what guichet's trips are compared with, so it is tuned as far as its
// shape allows: the class is found by its key, both accounts are read by one statement and written by another, and locks are taken in one order.
type naiveOffice struct{ *naiveBooks }

type naiveClass struct {
	TripID int64  `gorm:"primaryKey;autoIncrement:false"`
	Name   string `gorm:"primaryKey;size:40"`
	Price  int64
	Stock  int64
	Sold   int64
}

type naivePurchase struct {
	ID        int64 `gorm:"primaryKey"`
	AccountID int64 `gorm:"index"`
	TripID    int64
	Class     string `gorm:"size:40"`
	Quantity  int64
	Total     int64
	EntryID   int64
	At        time.Time
}

func openNaiveOffice(dsn string, pool int, prepared bool) (*naiveOffice, error) {
	books, err := openNaiveBooks(dsn, pool, prepared)
	if err != nil {
		return nil, err
	}
	return &naiveOffice{books}, nil
}

// open makes the tables anew, with the account of the office, buyers 1 … n who have cash, and the trip.
func (o *naiveOffice) open(n int) error {
	tables := []any{&naivePurchase{}, &naiveClass{}}
	if err := o.db.Migrator().DropTable(tables...); err != nil {
		return err
	}
	if err := o.db.AutoMigrate(tables...); err != nil {
		return err
	}
	if err := o.reset(n+1, naiveBalance); err != nil {
		return err
	}
	return o.db.Create(&naiveClass{TripID: naiveTrip, Name: hotClass, Price: ticketPrice, Stock: hotStock}).Error
}

// buy sells tickets to an account. Should the database choose it as the victim of a deadlock it tries again; with rows locked in one order that has not been seen.
func (o *naiveOffice) buy(ctx context.Context, account, trip int64, class string, quantity int64) (p naivePurchase, err error) {
	const attempts = 3
	for range attempts {
		p = naivePurchase{AccountID: account, TripID: trip, Class: class, Quantity: quantity, At: time.Now().UTC()}
		err = o.db.WithContext(ctx).Transaction(func(tx *gorm.DB) error { return buyWithin(tx, &p) })
		if !isDeadlock(err) {
			break
		}
	}
	return p, err
}

func buyWithin(tx *gorm.DB, p *naivePurchase) error {
	var class naiveClass
	if err := tx.Clauses(forUpdate).Where("trip_id = ? AND name = ?", p.TripID, p.Class).Take(&class).Error; err != nil {
		return err
	}
	if class.Stock-class.Sold < p.Quantity {
		return naiveRefusalError("not_enough_stock")
	}
	p.Total = class.Price * p.Quantity
	var accounts []naiveAccount
	if err := tx.Clauses(forUpdate).Where("id IN ?", []int64{firstAccount, p.AccountID}).Order("id").Find(&accounts).Error; err != nil {
		return err
	}
	if len(accounts) != 2 {
		return fmt.Errorf("account %d: %d of it and the office's exist", p.AccountID, len(accounts))
	}
	office, buyer := &accounts[0], &accounts[1] // the office's number is the smallest
	if buyer.Balance < p.Total {
		return naiveRefusalError("insufficient_funds")
	}
	buyer.Balance -= p.Total
	office.Balance += p.Total
	if err := tx.Model(&naiveClass{}).Where("trip_id = ? AND name = ?", p.TripID, p.Class).Update("sold", class.Sold+p.Quantity).Error; err != nil {
		return err
	}
	if err := tx.Clauses(clause.OnConflict{DoUpdates: clause.AssignmentColumns([]string{"balance"})}).Create(&accounts).Error; err != nil {
		return err
	}
	entry := naiveEntry{At: p.At}
	if err := tx.Create(&entry).Error; err != nil {
		return err
	}
	postings := []naivePosting{{entry.ID, office.ID, p.Total, office.Balance}, {entry.ID, buyer.ID, -p.Total, buyer.Balance}}
	if err := tx.Create(&postings).Error; err != nil {
		return err
	}
	p.EntryID = entry.ID
	return tx.Create(p).Error
}

// checkSales proves that the baseline did its work: the books hold, as many tickets are sold as the clients bought, and each purchase has an entry of its total.
func (o *naiveOffice) checkSales(n int, bought int64) error {
	if err := o.check(n+1, naiveBalance); err != nil {
		return err
	}
	var sold, purchases, entries, wrong int64
	for query, into := range map[string]*int64{
		"SELECT SUM(sold) FROM naive_classes":  &sold,
		"SELECT COUNT(*) FROM naive_purchases": &purchases,
		"SELECT COUNT(*) FROM naive_entries":   &entries,
		`SELECT COUNT(*) FROM naive_purchases p LEFT JOIN naive_postings x ON x.entry_id = p.entry_id AND x.account_id = p.account_id
			WHERE x.amount IS NULL OR x.amount <> -p.total`: &wrong,
	} {
		if err := o.db.Raw(query).Scan(into).Error; err != nil {
			return err
		}
	}
	if sold != bought || purchases != bought || entries != bought || wrong != 0 {
		return fmt.Errorf("naive ticket office does not hold: %d bought, %d sold, %d purchases, %d entries, %d of them wrong", bought, sold, purchases, entries, wrong)
	}
	return nil
}
