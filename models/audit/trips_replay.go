package audit

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"guichet/models/bank"
	"guichet/models/database"
	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/operation"
	"guichet/models/problem"
	"guichet/models/trips"
)

// tripsReplayer replays purchases and what was done to them, and answers for the tables of trips.
type tripsReplayer struct {
	office  *trips.Office
	changes map[id.ID][]tripChangeRow // what the admin has made of each trip and is still to come
}

// newTripsReplayer begins without trips: the admin's changes make them.
func newTripsReplayer(tx database.Tx, ledger *bank.Ledger) (replayer, error) {
	x := &tripsReplayer{office: trips.NewOffice(ledger, nil, nil), changes: map[id.ID][]tripChangeRow{}}
	for change, err := range tripChanges(tx) {
		if err != nil {
			return nil, err
		}
		x.changes[change.trip] = append(x.changes[change.trip], *change)
	}
	return x, nil
}

func (x *tripsReplayer) replay(command *operation.Command, cause bank.Cause) *problem.Problem {
	c, err := trips.DecodeCommand(command.Kind, command.Payload)
	if err != nil {
		panic(err)
	}
	for _, trip := range c.Trips() {
		if err := x.defineBefore(trip, cause.Stamp); err != nil {
			panic(err)
		}
	}
	defer x.office.Forget()
	by := trips.Cause{Cause: cause, UserID: command.UserID}
	var refusal *problem.Problem
	switch c.Kind {
	case trips.KindPurchase:
		_, refusal = x.office.Purchase(by, &c.Purchase)
	case trips.KindConfirmation:
		_, refusal = x.office.Confirm(by, &c.Change)
	case trips.KindCancellation:
		_, refusal = x.office.Cancel(by, &c.Change)
	case trips.KindExpiry:
		x.office.Expire(by, &c.Expiry)
	}
	return refusal
}

// defineBefore does to a trip what the admin did before a stamp. Who did it had the lane's row locked, so no operation bears the same stamp.
func (x *tripsReplayer) defineBefore(trip id.ID, stamp lamport.Stamp) error {
	for changes := x.changes[trip]; len(changes) > 0 && changes[0].stamp < stamp; changes = x.changes[trip] {
		x.changes[trip] = changes[1:]
		var d trips.Definition
		if err := json.Unmarshal([]byte(changes[0].definition), &d); err != nil {
			return fmt.Errorf("the change of trip %s at stamp %d: %w", trip, changes[0].stamp, err)
		}
		if t := x.office.Trip(trip); t != nil {
			t.Define(&d, changes[0].stamp)
		} else {
			x.office.Offer(trips.NewTrip(trip, &d, changes[0].stamp))
		}
	}
	return nil
}

// compare reports where the tables of trips are not as the replay has left things.
func (x *tripsReplayer) compare(tx database.Tx, c *Check) error {
	for trip := range x.changes {
		if err := x.defineBefore(trip, math.MaxInt64); err != nil {
			c.find("%v", err)
		}
	}
	for _, compare := range []func(database.Tx, *Check) error{x.compareTrips, x.compareClasses, x.comparePurchases} {
		if err := compare(tx, c); err != nil {
			return err
		}
	}
	return nil
}

func (x *tripsReplayer) compareTrips(tx database.Tx, c *Check) error {
	replayed, _ := x.office.All()
	missing := maps.Clone(replayed)
	for t, err := range tripRows(tx) {
		if err != nil {
			return err
		}
		again := replayed[t.ID]
		if again == nil {
			again = &trips.Trip{}
		}
		if describeTrip(&t.Trip) != describeTrip(again) {
			c.find("trip %s is %s; replayed, %s", t.ID, describeTrip(&t.Trip), describeTrip(again))
		}
		delete(missing, t.ID)
	}
	for _, trip := range id.Keys(missing) {
		c.find("trip %s is not recorded; replayed, it is %s", trip, describeTrip(missing[trip]))
	}
	return nil
}

func describeTrip(t *trips.Trip) string {
	return fmt.Sprintf("{%q, departs at %s, closed: %t, refunds %d bps until %d minutes before, at stamp %d, created at %d}",
		t.Name, t.DepartsAt.Format(time.RFC3339Nano), t.Closed, t.RefundBps, t.RefundMinutes, t.Lamport, t.Created)
}

func (x *tripsReplayer) compareClasses(tx database.Tx, c *Check) error {
	replayed, _ := x.office.All()
	again := map[classKey]trips.Class{}
	for trip, t := range replayed {
		for _, class := range t.Classes {
			again[classKey{trip, class.Name}] = class
		}
	}
	for class, err := range classRows(tx) {
		if err != nil {
			return err
		}
		key := classKey{class.trip, class.Name}
		if class.Class != again[key] {
			c.find("trip %s: a class is %+v; replayed, %+v", class.trip, class.Class, again[key])
		}
		delete(again, key)
	}
	for _, key := range slices.SortedFunc(maps.Keys(again), byTrip) {
		c.find("trip %s: class %q is not recorded; replayed, it is %+v", key.trip, key.name, again[key])
	}
	return nil
}

func (x *tripsReplayer) comparePurchases(tx database.Tx, c *Check) error {
	_, replayed := x.office.All()
	for p, err := range purchaseRows(tx) {
		if err != nil {
			return err
		}
		again := replayed[p.ID]
		switch {
		case again == nil:
			c.find("purchase %s is recorded, and not replayed", p.ID)
		case p.Purchase != stored(again):
			c.find("purchase %s is %+v; replayed, %+v", p.ID, p.Purchase, *again)
		}
		delete(replayed, p.ID)
	}
	for _, purchase := range id.Keys(replayed) {
		c.find("purchase %s was replayed, and is not recorded", purchase)
	}
	return nil
}

// stored is the purchase as it is when it has been stored and read: equal times are then the same values.
func stored(p *trips.Purchase) trips.Purchase {
	read := *p
	read.ExpiresAt, read.CreatedAt = operation.FromMicro(operation.Micro(p.ExpiresAt)), operation.FromMicro(operation.Micro(p.CreatedAt))
	return read
}
