package trips

import (
	"testing"
	"time"

	"guichet/models/bank"
	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/money"
	"guichet/models/problem"
	"guichet/models/testbed"
	"guichet/models/ticket"
)

func TestMain(m *testing.M) { testbed.Main(m) }

var (
	ids    = id.NewGenerator()
	noon   = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	signer = ticket.NewSigner([32]byte{7})
)

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// desk is an office with the users who come to it. Accounts are opened at stamp 1, trips are offered at 2; the clock stands at noon unless it is moved.
type desk struct {
	testing.TB
	*Office
	users map[string]id.ID // by account
	stamp lamport.Stamp
	now   time.Time
}

// accounts are the house's, and users' with cash, which the cash account owes.
func accounts(cash map[string]money.Amount, users map[string]id.ID) []bank.Account {
	all := []bank.Account{{Number: bank.Cash}, {Number: House}}
	for number, balance := range cash {
		users[number] = ids.Next()
		all = append(all, bank.Account{Number: number, UserID: users[number], Balance: balance, Opened: 1, Lamport: 1})
		all[0].Balance -= balance
	}
	return all
}

func newDesk(t testing.TB, cash map[string]money.Amount, offered ...*Trip) *desk {
	d := &desk{TB: t, users: map[string]id.ID{}, stamp: 10, now: noon}
	d.Office = NewOffice(bank.NewLedger(accounts(cash, d.users), nil), offered, nil)
	return d
}

// train departs at three, and refunds everything until then.
func train(classes ...ClassDefinition) *Trip {
	return NewTrip(ids.Next(), &Definition{Name: "Night train", DepartsAt: noon.Add(3 * time.Hour), RefundBps: MaxRefundBps, Classes: classes}, 2)
}

func seats(price money.Amount, stock int64) ClassDefinition {
	return ClassDefinition{"seat", price, stock}
}

func (d *desk) cause(account string) Cause {
	d.stamp++
	return Cause{Cause: bank.Cause{OperationID: ids.Next(), Stamp: d.stamp, At: d.now}, UserID: d.users[account]}
}

const tenMinutes = 600

func (d *desk) request(t *Trip, account string, quantity int64, confirm bool) *PurchaseCommand {
	return &PurchaseCommand{Account: account, Trip: t.ID.String(), Class: "seat", Quantity: quantity, Confirm: confirm, HoldS: tenMinutes}
}

// hold sets tickets aside.
func (d *desk) hold(t *Trip, account string, quantity int64) *Purchase {
	d.Helper()
	p, refusal := d.Purchase(d.cause(account), d.request(t, account, quantity, false))
	if refusal != nil || p.Status != Held {
		d.Fatalf("%v %v", p, refusal)
	}
	return p
}

// buy sells tickets at once.
func (d *desk) buy(t *Trip, account string, quantity int64) *Purchase {
	d.Helper()
	p, refusal := d.Purchase(d.cause(account), d.request(t, account, quantity, true))
	if refusal != nil || p.Status != Paid {
		d.Fatalf("%v %v", p, refusal)
	}
	return p
}

func change(p *Purchase) *ChangeCommand { return &ChangeCommand{p.Account, p.TripID, p.Class, p.ID} }

func (d *desk) confirm(p *Purchase) (*Purchase, *problem.Problem) {
	return d.Confirm(d.cause(p.Account), change(p))
}

func (d *desk) cancel(p *Purchase) (*Purchase, *problem.Problem) {
	return d.Cancel(d.cause(p.Account), change(p))
}

func (d *desk) expire(purchases ...*Purchase) []*Purchase {
	command := &ExpiryCommand{}
	for _, p := range purchases {
		command.Purchases = append(command.Purchases, DuePurchase{p.ID, p.TripID, p.Class})
	}
	return d.Expire(d.cause(""), command)
}

func (d *desk) balance(account string) money.Amount { return d.Ledger.Account(account).Balance }

// refused wants a refusal.
func refused(t testing.TB, p *Purchase, refusal *problem.Problem, code problem.Code) {
	t.Helper()
	if p != nil || refusal == nil || refusal.Code != code {
		t.Errorf("%v %v, want %s", p, refusal, code)
	}
}

// stock wants the counters of the trip's seats to stand so.
func (d *desk) stock(t *Trip, sold, held int64) {
	d.Helper()
	if c := t.Class("seat"); c.Sold != sold || c.Held != held {
		d.Errorf("%d sold and %d held of %d, want %d and %d", c.Sold, c.Held, c.Stock, sold, held)
	}
}

// sound wants the counters to be what the purchases have, and the money to be where they say.
func (d *desk) sound() {
	d.Helper()
	type counters struct{ sold, held int64 }
	classes := map[*Class]counters{}
	var taken, all money.Amount
	trips, purchases := d.All()
	for _, p := range purchases {
		class := trips[p.TripID].Class(p.Class)
		now := classes[class]
		switch p.Status {
		case Held:
			now.held += p.Quantity
		case Paid:
			now.sold += p.Quantity
			taken += p.Total()
		case Refunded:
			taken += p.Total() - p.Refunded
			if p.Refunded < 0 || p.Refunded > p.Total() {
				d.Errorf("%d of %d were refunded", p.Refunded, p.Total())
			}
		default:
		}
		classes[class] = now
	}
	for _, t := range trips {
		for i := range t.Classes {
			c := &t.Classes[i]
			if now := classes[c]; c.Sold != now.sold || c.Held != now.held || c.Available() < 0 || c.Available()+c.Sold+c.Held != c.Stock {
				d.Errorf("class %+v, and the purchases have %+v", *c, now)
			}
		}
	}
	if got := d.balance(House); got != taken {
		d.Errorf("the house has %d, and the purchases say %d", got, taken)
	}
	for number := range d.users {
		all += d.balance(number)
	}
	if all += d.balance(House) + d.balance(bank.Cash); all != 0 {
		d.Errorf("money came from nowhere: %d", all)
	}
}
