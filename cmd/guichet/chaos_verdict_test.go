package main

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"guichet/models/database"
	"guichet/models/id"
)

// verdict is what became of the promises.
type verdict struct {
	acked, unknown                                 int // unknown: never answered, and nobody can ask again
	ackedLost, doubled, moneyDelta, fifoInversions int64
	failed                                         int
}

func (v verdict) String() string {
	return fmt.Sprintf("acked_lost=%d doubled=%d money_delta=%d fifo_inversions=%d", v.ackedLost, v.doubled, v.moneyDelta, v.fifoInversions)
}

// executedTransfer is an operation as the store has it.
type executedTransfer struct {
	id       id.ID
	sequence int64
	status   string // empty without an outcome
	entries  int64
	payload  struct {
		From, To, Reference string
		Amount              int64
	}
}

// judge waits until everything accepted has been executed, and compares what the store has with what people were told.
func (c *crowd) judge() {
	c.Helper()
	db := c.house.database()
	eventually(c, "an empty journal", func() error {
		var waiting int64
		err := db.Read(context.Background()).Gorm().Raw("SELECT COUNT(*) FROM journal_batches").Row().Scan(&waiting)
		if err == nil && waiting > 0 {
			err = fmt.Errorf("%d batches wait", waiting)
		}
		return err
	})
	v := c.verdict(db)
	c.Logf("%s (%d acknowledged, %d never answered, %d times 503)", v, v.acked, v.unknown, c.refused.Load())
	if v.String() != "acked_lost=0 doubled=0 money_delta=0 fifo_inversions=0" {
		c.Errorf("a promise was broken: %s", v)
	}
	if v.failed > 0 {
		c.Errorf("%d operations have failed: a fault of a store was taken for a bug", v.failed)
	}
	c.house.audit()
}

func (c *crowd) verdict(db *database.DB) verdict {
	c.Helper()
	var v verdict
	transfers := readTransfers(c, db)
	byReference := map[string]int{}
	byID := map[id.ID]*executedTransfer{}
	balances := map[string]int64{}
	for _, p := range c.people {
		balances[p.account] = startCash
	}
	for _, t := range transfers {
		byID[t.id] = t
		if byReference[t.payload.Reference]++; byReference[t.payload.Reference] > 1 {
			v.doubled++
		}
		switch t.status {
		case "succeeded":
			balances[t.payload.From] -= t.payload.Amount
			balances[t.payload.To] += t.payload.Amount
			v.doubled += abs(t.entries - 1)
		case "failed":
			v.failed++
			fallthrough
		default:
			v.doubled += t.entries
		}
	}
	for account, want := range balances {
		v.moneyDelta += abs(number(c, db, "SELECT balance FROM accounts WHERE number = ?", account) - want)
	}
	v.moneyDelta += abs(number(c, db, "SELECT SUM(balance) FROM accounts"))
	for _, p := range c.people {
		p.judge(c, &v, byID)
	}
	return v
}

// judge compares what one customer was told with what the store has.
func (p *customer) judge(t testing.TB, v *verdict, byID map[id.ID]*executedTransfer) {
	t.Helper()
	last := map[uint64]*executedTransfer{} // by the process that acknowledged it
	for _, s := range p.submissions {
		if s.operation.IsZero() {
			v.unknown++
			continue
		}
		v.acked++
		found := byID[s.operation]
		if found == nil || found.status == "" || found.payload.Reference != s.reference || s.status != "" && s.status != found.status {
			v.ackedLost++
			t.Errorf("%s was acknowledged as %s %q; the store has %+v", s.reference, s.operation, s.status, found)
			continue
		}
		before := last[s.operation.Node()]
		if before != nil && before.sequence >= found.sequence {
			v.fifoInversions++
			t.Errorf("%s was executed as %d, and %s, acknowledged before it by the same process, as %d", s.reference, found.sequence, before.payload.Reference, before.sequence)
		}
		last[s.operation.Node()] = found
	}
}

func readTransfers(t testing.TB, db *database.DB) []*executedTransfer {
	t.Helper()
	rows, err := db.Read(context.Background()).Gorm().Raw(`SELECT o.id, o.payload, COALESCE(x.sequence, 0), COALESCE(x.status, ''),
		(SELECT COUNT(*) FROM entries e WHERE e.operation_id = o.id) FROM operations o LEFT JOIN outcomes x ON x.operation_id = o.id WHERE o.kind = 'transfer'`).Rows()
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var transfers []*executedTransfer
	for rows.Next() {
		one := &executedTransfer{}
		var payload []byte
		if err := rows.Scan(&one.id, &payload, &one.sequence, &one.status, &one.entries); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(payload, &one.payload); err != nil {
			t.Fatal(err)
		}
		transfers = append(transfers, one)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return transfers
}

func abs(n int64) int64 { return max(n, -n) }
