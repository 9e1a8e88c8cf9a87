package trips

import (
	"fmt"
	"time"

	"guichet/models/bank"
	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/problem"
)

// Cause is the operation on whose behalf the office acts, and whose it is: the zero user is the house.
type Cause struct {
	bank.Cause
	UserID id.ID
}

// Office is the trips and purchases that a round of commands concerns, on the ledger that they are paid through, and what the round has made of them. Its verbs
// change all or nothing.
type Office struct {
	Ledger    *bank.Ledger
	trips     map[id.ID]*Trip
	purchases map[id.ID]*Purchase

	// What is to be stored.
	made     []*Purchase
	changed  map[id.ID]*Purchase // that are not as they were
	released []*Purchase         // that are held no more, whatever has become of them since
	classes  map[*Class]id.ID    // those whose counters have changed, with their trips
}

// NewOffice returns an office of the given trips and purchases.
func NewOffice(ledger *bank.Ledger, trips []*Trip, purchases []*Purchase) *Office {
	o := &Office{Ledger: ledger, trips: make(map[id.ID]*Trip, len(trips)), purchases: make(map[id.ID]*Purchase, len(purchases))}
	for _, t := range trips {
		o.Offer(t)
	}
	for _, p := range purchases {
		o.purchases[p.ID] = p
	}
	o.Forget()
	return o
}

// Offer adds a trip.
func (o *Office) Offer(t *Trip) { o.trips[t.ID] = t }

// Trip returns a trip that was loaded, or nil.
func (o *Office) Trip(trip id.ID) *Trip { return o.trips[trip] }

// Find returns a purchase that was loaded or made, or nil.
func (o *Office) Find(purchase id.ID) *Purchase { return o.purchases[purchase] }

// All are the trips and purchases, by their ids, as they are now. They are the office's own.
func (o *Office) All() (map[id.ID]*Trip, map[id.ID]*Purchase) { return o.trips, o.purchases }

// Forget drops what is to be stored: for who replays a journal, and has nothing to store.
func (o *Office) Forget() {
	o.made, o.changed, o.released, o.classes = nil, map[id.ID]*Purchase{}, nil, map[*Class]id.ID{}
}

// LastStamp is the largest stamp of what was loaded: whatever is decided now comes after it.
func (o *Office) LastStamp() lamport.Stamp {
	last := o.Ledger.LastStamp()
	for _, t := range o.trips {
		last = max(last, t.LastStamp())
	}
	for _, p := range o.purchases {
		last = max(last, p.Lamport)
	}
	return last
}

// Purchase sets tickets aside at the price of now, or, if it is confirmed, sells them at once. It refuses, in this order, and then changes nothing: unknown_trip,
// unknown_class, invalid_quantity, trip_closed, departed, not_enough_stock, and if it is confirmed what the ledger refuses.
func (o *Office) Purchase(c Cause, command *PurchaseCommand) (*Purchase, *problem.Problem) {
	trip := o.trips[command.trip()]
	if trip == nil {
		return nil, problem.New(problem.UnknownTrip, "there is no such trip")
	}
	class := trip.Class(command.Class)
	switch {
	case class == nil:
		return nil, problem.New(problem.UnknownClass, "the trip has no such class")
	case command.Quantity < 1 || command.Quantity > MaxQuantity:
		return nil, problem.Newf(problem.InvalidQuantity, "a purchase is of 1 to %d tickets", MaxQuantity)
	case trip.Closed:
		return nil, problem.New(problem.TripClosed, "the trip is closed: nothing more is sold")
	case trip.hasDeparted(c.At):
		return nil, departed(trip)
	case class.Available() < command.Quantity:
		return nil, problem.Newf(problem.NotEnoughStock, "%d are left of this class", class.Available())
	}
	p := &Purchase{ID: c.OperationID, UserID: c.UserID, Account: command.Account, TripID: trip.ID, Class: class.Name, Quantity: command.Quantity, Price: class.Price,
		Status: Held, CreatedAt: c.At, Lamport: c.Stamp}
	if command.Confirm {
		if refusal := o.pay(c, p); refusal != nil {
			return nil, refusal
		}
		class.Sold += p.Quantity
	} else {
		p.ExpiresAt = c.At.Add(command.hold())
		if trip.DepartsAt.Before(p.ExpiresAt) {
			p.ExpiresAt = trip.DepartsAt
		}
		class.Held += p.Quantity
	}
	o.touch(c, trip, class)
	o.purchases[p.ID] = p
	o.made = append(o.made, p)
	return p, nil
}

func departed(t *Trip) *problem.Problem {
	return problem.Newf(problem.Departed, "the trip has departed at %s", t.DepartsAt.Format(time.RFC3339))
}

// pay debits the buyer. What costs nothing moves no money.
func (o *Office) pay(c Cause, p *Purchase) *problem.Problem {
	if total := p.Total(); total > 0 {
		if _, refusal := o.Ledger.Post(c.Cause, EntryPurchase, p.ID.String(), []bank.Leg{{Account: p.Account, Amount: -total}, {Account: House, Amount: total}}); refusal != nil {
			return refusal
		}
	}
	p.Status, p.PaidBy = Paid, c.OperationID
	return nil
}

// Confirm pays what is held. It refuses, in this order, and then changes nothing: unknown_purchase, purchase_expired (from its time on, whether or not that was
// executed), purchase_not_held, departed, and what the ledger refuses.
func (o *Office) Confirm(c Cause, command *ChangeCommand) (*Purchase, *problem.Problem) {
	p, refusal := o.own(c, command)
	if refusal != nil {
		return nil, refusal
	}
	trip, class := o.of(p)
	switch {
	case p.Status == Expired, p.due(c.At):
		return nil, problem.Newf(problem.PurchaseExpired, "it was held until %s", p.ExpiresAt.Format(time.RFC3339))
	case p.Status != Held:
		return nil, problem.Newf(problem.PurchaseNotHeld, "it is %s", p.Status)
	case trip.hasDeparted(c.At):
		return nil, departed(trip)
	}
	if refusal := o.pay(c, p); refusal != nil {
		return nil, refusal
	}
	class.Sold += p.Quantity
	o.release(class, p)
	o.touch(c, trip, class)
	o.change(c, p)
	return p, nil
}

// Cancel lets go of what is held, or refunds what is paid by the trip's rule. It refuses, in this order, and then changes nothing: unknown_purchase, purchase_ended
// (also if its time is over, whether or not that was executed); and of what is paid departed, refund_closed, and what the ledger refuses.
func (o *Office) Cancel(c Cause, command *ChangeCommand) (*Purchase, *problem.Problem) {
	p, refusal := o.own(c, command)
	if refusal != nil {
		return nil, refusal
	}
	trip, class := o.of(p)
	switch {
	case p.due(c.At):
		return nil, problem.Newf(problem.PurchaseEnded, "it was held until %s", p.ExpiresAt.Format(time.RFC3339))
	case p.Status == Held:
		p.Status = Cancelled
		o.release(class, p)
	case p.Status == Paid:
		if refusal := o.refund(c, trip, p); refusal != nil {
			return nil, refusal
		}
		class.Sold -= p.Quantity
	default:
		return nil, problem.Newf(problem.PurchaseEnded, "it is %s", p.Status)
	}
	o.touch(c, trip, class)
	o.change(c, p)
	return p, nil
}

// refund pays back what the trip's rule gives. What is rounded to nothing moves no money.
func (o *Office) refund(c Cause, t *Trip, p *Purchase) *problem.Problem {
	switch {
	case t.hasDeparted(c.At):
		return departed(t)
	case !t.refundable(c.At):
		return problem.New(problem.RefundClosed, "the trip's rule gives nothing back, or nothing any more")
	}
	amount := Refund(p.Total(), t.RefundBps)
	if amount > 0 {
		if _, refusal := o.Ledger.Post(c.Cause, EntryRefund, p.ID.String(), []bank.Leg{{Account: House, Amount: -amount}, {Account: p.Account, Amount: amount}}); refusal != nil {
			return refusal
		}
	}
	p.Status, p.RefundedBy, p.Refunded = Refunded, c.OperationID, amount
	return nil
}

// Expire gives the tickets back of those purchases whose time is over, and returns them. What has been paid or cancelled meanwhile is left as it is.
func (o *Office) Expire(c Cause, command *ExpiryCommand) []*Purchase {
	var expired []*Purchase
	for _, named := range command.Purchases {
		p := o.purchases[named.Purchase]
		if p == nil || !p.due(c.At) {
			continue
		}
		trip, class := o.of(p)
		p.Status = Expired
		o.release(class, p)
		o.touch(c, trip, class)
		o.change(c, p)
		expired = append(expired, p)
	}
	return expired
}

// own finds a purchase of the user's.
func (o *Office) own(c Cause, command *ChangeCommand) (*Purchase, *problem.Problem) {
	p := o.purchases[command.Purchase]
	if p == nil || p.UserID != c.UserID {
		return nil, problem.New(problem.UnknownPurchase, "there is no such purchase, or it is not yours")
	}
	return p, nil
}

// of finds the trip and the class of a purchase. The command has named them, so they were loaded.
func (o *Office) of(p *Purchase) (*Trip, *Class) {
	if trip := o.trips[p.TripID]; trip != nil {
		if class := trip.Class(p.Class); class != nil {
			return trip, class
		}
	}
	panic(fmt.Sprintf("trips: the trip %s or the class %q of purchase %s is not known", p.TripID, p.Class, p.ID))
}

// release makes tickets held no more.
func (o *Office) release(class *Class, p *Purchase) {
	class.Held -= p.Quantity
	o.released = append(o.released, p)
}

func (o *Office) touch(c Cause, t *Trip, class *Class) {
	if class.Sold < 0 || class.Held < 0 || class.Available() < 0 {
		panic(fmt.Sprintf("trips: class %q of trip %s: %d sold and %d held of %d", class.Name, t.ID, class.Sold, class.Held, class.Stock))
	}
	class.Lamport = max(class.Lamport, c.Stamp)
	o.classes[class] = t.ID
}

func (o *Office) change(c Cause, p *Purchase) {
	p.Lamport = max(p.Lamport, c.Stamp)
	o.changed[p.ID] = p
}
