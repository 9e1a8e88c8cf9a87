package audit

import (
	"maps"
	"slices"

	"guichet/models/database"
	"guichet/models/id"
	"guichet/models/money"
)

// checkLedger checks that the ledger adds up, by itself: nothing here knows what moved the money.
func checkLedger(tx database.Tx) ([]*Check, error) {
	accounts, err := readAccounts(tx)
	if err != nil {
		return nil, err
	}
	var checks []*Check
	for _, check := range []func() (*Check, error){
		func() (*Check, error) { return checkEntries(tx) },
		func() (*Check, error) { return checkBalances(tx, accounts) },
		func() (*Check, error) { return checkHolds(tx, accounts) },
	} {
		found, err := check()
		if err != nil {
			return nil, err
		}
		checks = append(checks, found)
	}
	return checks, nil
}

// checkEntries: the postings of an entry, two at the least, sum to zero, and every posting belongs to an entry.
func checkEntries(tx database.Tx) (*Check, error) {
	c := &Check{Name: "entries_sum_to_zero"}
	var now entrySum
	for line, err := range lines(tx) {
		if err != nil {
			return nil, err
		}
		if line.operation != now.operation || line.part != now.part || c.Checked == 0 {
			now.end(c)
			now = entrySum{operation: line.operation, part: line.part}
			c.Checked++
		}
		now.add(line)
	}
	now.end(c)
	return c, nil
}

// entrySum adds up one entry.
type entrySum struct {
	operation id.ID
	part      int
	entries   int
	postings  int
	sum       money.Amount
	overflow  bool
}

func (s *entrySum) add(line *lineRow) {
	if !line.posted {
		s.entries++
		return
	}
	s.postings++
	sum, err := s.sum.Add(line.amount)
	s.sum, s.overflow = sum, s.overflow || err != nil
}

func (s *entrySum) end(c *Check) {
	switch {
	case s.entries == 0 && s.postings == 0: // before the first one
	case s.entries == 0:
		c.find("entry %s.%d has %d postings, and is itself missing", s.operation, s.part, s.postings)
	case s.postings < 2:
		c.find("entry %s.%d has %d postings", s.operation, s.part, s.postings)
	case s.overflow:
		c.find("the postings of entry %s.%d do not fit into 64 bits", s.operation, s.part)
	case s.sum != 0:
		c.find("the postings of entry %s.%d sum to %d", s.operation, s.part, s.sum)
	}
}

// checkBalances: an account's balance is the sum of its postings; they are numbered from 1 without holes, in the order of their times, and each says
// what the balance was after it.
func checkBalances(tx database.Tx, accounts map[string]*accountRow) (*Check, error) {
	c := &Check{Name: "balances_equal_postings"}
	var now statement
	posted := make(map[string]bool, len(accounts))
	for p, err := range postings(tx) {
		if err != nil {
			return nil, err
		}
		if p.account != now.account {
			now.end(c, accounts)
			now = statement{account: p.account}
			posted[p.account] = true
		}
		now.add(c, p)
		c.Checked++
	}
	now.end(c, accounts)
	for _, number := range slices.Sorted(maps.Keys(accounts)) {
		if !posted[number] {
			(&statement{account: number}).end(c, accounts)
		}
	}
	return c, nil
}

// statement adds up the postings of one account.
type statement struct {
	account  string
	postings int64 // how many
	sequence int64 // of the last one
	balance  money.Amount
	lastUs   int64
}

func (s *statement) add(c *Check, p *postingRow) {
	if p.sequence != s.sequence+1 {
		c.find("account %s: posting %d follows %d", s.account, p.sequence, s.sequence)
	}
	balance, err := s.balance.Add(p.amount)
	if err != nil || balance != p.balanceAfter {
		c.find("account %s: posting %d says that the balance is %d after it, and it is %d", s.account, p.sequence, p.balanceAfter, balance)
	}
	s.postings, s.sequence, s.balance, s.lastUs = s.postings+1, p.sequence, balance, p.atUs
}

func (s *statement) end(c *Check, accounts map[string]*accountRow) {
	a := accounts[s.account]
	switch {
	case s.account == "": // before the first one
	case a == nil:
		c.find("account %s has %d postings, and is itself missing", s.account, s.postings)
	case a.balance != s.balance:
		c.find("account %s: the balance is %d, and the postings sum to %d", s.account, a.balance, s.balance)
	case a.postings != s.postings:
		c.find("account %s: it counts %d postings, and has %d", s.account, a.postings, s.postings)
	case a.lastPostingUs != s.lastUs:
		c.find("account %s: the last posting is said to be of %d µs, and is of %d µs", s.account, a.lastPostingUs, s.lastUs)
	}
}

// checkHolds: what an account has held is what is left of its holds, and no user holds more than there is.
func checkHolds(tx database.Tx, accounts map[string]*accountRow) (*Check, error) {
	c := &Check{Name: "held_equals_holds"}
	held := map[string]money.Amount{}
	for h, err := range holds(tx) {
		if err != nil {
			return nil, err
		}
		c.Checked++
		if h.remaining < 0 || h.remaining > h.amount {
			c.find("hold %s: %d remain of %d", h.id, h.remaining, h.amount)
		}
		if accounts[h.account] == nil {
			c.find("hold %s is on account %s, which is missing", h.id, h.account)
		}
		sum, err := held[h.account].Add(h.remaining)
		if err != nil {
			c.find("account %s: its holds do not fit into 64 bits", h.account)
		}
		held[h.account] = sum
	}
	for _, number := range slices.Sorted(maps.Keys(accounts)) {
		c.Checked++
		switch a := accounts[number]; {
		case a.held != held[number]:
			c.find("account %s: %d are held, and its holds sum to %d", number, a.held, held[number])
		case !a.house() && (a.held < 0 || a.held > a.balance):
			c.find("account %s: %d are held of %d", number, a.held, a.balance)
		}
	}
	return c, nil
}
