// Package trips is the counter where tickets of trips are sold, and the offer that the house makes there.
//
// A Trip is what is offered, with its classes and what has become of their tickets. A Purchase is somebody's tickets of one class. An Office is the rules: it
// decides commands on trips, on purchases and on the bank's Ledger. All of that is pure: no clock, no database, no randomness.
package trips

import (
	"fmt"
	"slices"
	"time"

	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/money"
	"guichet/models/problem"
)

// Lane is the name of the lane that executes the commands of trips.
const Lane = "trips"

// House is the house's account that tickets are paid to, and refunds are paid from.
const House = "trips"

// Limits of what a trip and a purchase may be. So a purchase is worth money.Max at the most.
const (
	MaxPrice         = money.Amount(10_000_000_000_000) // minor units a ticket
	MaxStock         = int64(1_000_000_000)             // tickets of a class
	MaxQuantity      = int64(100)                       // tickets of a purchase
	MaxClasses       = 20                               // of a trip
	MaxRefundBps     = 10_000                           // all that was paid
	MaxRefundMinutes = 525_600                          // a year before departure
	MaxName          = 120                              // UTF-16 units (see text.Line)
	MaxClassName     = 40
)

// Class is one kind of a trip's tickets.
type Class struct {
	Name    string
	Ordinal int          // its place among the trip's classes, from 0
	Price   money.Amount // of one ticket, 0 to MaxPrice
	Stock   int64        // tickets in all, 0 to MaxStock
	Sold    int64
	Held    int64
	Lamport lamport.Stamp
}

// Available is how many tickets are neither sold nor held.
func (c *Class) Available() int64 { return c.Stock - c.Sold - c.Held }

// Trip is what is offered. A refund pays RefundBps / 10000 of what was paid back, until RefundMinutes before departure.
type Trip struct {
	ID            id.ID
	Name          string
	DepartsAt     time.Time // to the microsecond
	Closed        bool      // by an admin: nothing more is sold
	RefundBps     int
	RefundMinutes int
	Classes       []Class       // by their ordinals
	Lamport       lamport.Stamp // of the admin's last change
	Created       lamport.Stamp
}

// TripStatus is the state of a trip.
type TripStatus string

// The states of a trip. Once its time has come it has departed, closed or not.
const (
	Open     TripStatus = "open"
	Closed   TripStatus = "closed"
	Departed TripStatus = "departed"
)

// Status is the state of the trip at a time.
func (t *Trip) Status(at time.Time) TripStatus {
	switch {
	case t.hasDeparted(at):
		return Departed
	case t.Closed:
		return Closed
	default:
		return Open
	}
}

func (t *Trip) hasDeparted(at time.Time) bool { return !at.Before(t.DepartsAt) }

// refundable says whether the trip's rule gives anything back at a time.
func (t *Trip) refundable(at time.Time) bool {
	return t.RefundBps > 0 && at.Before(t.DepartsAt.Add(-time.Duration(t.RefundMinutes)*time.Minute))
}

// Class returns the class with a name, or nil.
func (t *Trip) Class(name string) *Class {
	for i := range t.Classes {
		if t.Classes[i].Name == name {
			return &t.Classes[i]
		}
	}
	return nil
}

// LastStamp is the largest stamp of the trip and its classes.
func (t *Trip) LastStamp() lamport.Stamp {
	last := t.Lamport
	for i := range t.Classes {
		last = max(last, t.Classes[i].Lamport)
	}
	return last
}

// Definition is what the admin says of a trip, without what has become of its tickets.
type Definition struct {
	Name          string            `json:"name"`
	DepartsAt     time.Time         `json:"departs_at"` // to the microsecond
	Closed        bool              `json:"closed"`
	RefundBps     int               `json:"refund_bps"`
	RefundMinutes int               `json:"refund_minutes"`
	Classes       []ClassDefinition `json:"classes"`
}

// ClassDefinition is what the admin says of a class.
type ClassDefinition struct {
	Name  string       `json:"name"`
	Price money.Amount `json:"price"`
	Stock int64        `json:"stock"`
}

func (d *Definition) equal(other *Definition) bool {
	return d.Name == other.Name && d.DepartsAt.Equal(other.DepartsAt) && d.Closed == other.Closed && d.RefundBps == other.RefundBps && d.RefundMinutes == other.RefundMinutes &&
		slices.Equal(d.Classes, other.Classes)
}

// NewTrip is a trip of which no ticket was sold yet.
func NewTrip(trip id.ID, d *Definition, stamp lamport.Stamp) *Trip {
	t := &Trip{ID: trip, Created: stamp}
	t.Define(d, stamp)
	return t
}

// Definition is what the admin has said of the trip.
func (t *Trip) Definition() *Definition {
	d := &Definition{Name: t.Name, DepartsAt: t.DepartsAt, Closed: t.Closed, RefundBps: t.RefundBps, RefundMinutes: t.RefundMinutes, Classes: make([]ClassDefinition, len(t.Classes))}
	for i := range t.Classes {
		c := &t.Classes[i]
		d.Classes[i] = ClassDefinition{c.Name, c.Price, c.Stock}
	}
	return d
}

// Define makes the trip as the admin says. Classes are never taken away; those that are new come last. The stamp goes to the trip, and to the classes that change.
func (t *Trip) Define(d *Definition, stamp lamport.Stamp) {
	t.Name, t.DepartsAt, t.Closed, t.RefundBps, t.RefundMinutes, t.Lamport = d.Name, d.DepartsAt, d.Closed, d.RefundBps, d.RefundMinutes, stamp
	for _, said := range d.Classes {
		c := t.Class(said.Name)
		if c == nil {
			t.Classes = append(t.Classes, Class{Name: said.Name, Ordinal: len(t.Classes)})
			c = &t.Classes[len(t.Classes)-1]
		} else if c.Price == said.Price && c.Stock == said.Stock {
			continue
		}
		c.Price, c.Stock, c.Lamport = said.Price, said.Stock, stamp
	}
}

// Change is what an admin changes of a trip: nil stays as it is.
type Change struct {
	Name          *string
	DepartsAt     *time.Time
	Closed        *bool
	RefundBps     *int
	RefundMinutes *int
	Classes       []ClassChange // of different names
}

// ClassChange changes the class of the name, or adds one: then it needs a price and a stock.
type ClassChange struct {
	Name  string
	Price *money.Amount
	Stock *int64
}

// Changed is the definition that a change leads to. It refuses invalid (a new class without a price or a stock, or one too many), and then stock_in_use (there
// would be fewer tickets of a class than are sold or held).
func (t *Trip) Changed(c *Change) (*Definition, *problem.Problem) {
	d := t.Definition()
	set(&d.Name, c.Name)
	set(&d.DepartsAt, c.DepartsAt)
	set(&d.Closed, c.Closed)
	set(&d.RefundBps, c.RefundBps)
	set(&d.RefundMinutes, c.RefundMinutes)
	var fields []problem.Field
	for i, change := range c.Classes {
		n := slices.IndexFunc(d.Classes, func(known ClassDefinition) bool { return known.Name == change.Name })
		if n < 0 {
			fields = append(fields, change.missing(i)...)
			n = len(d.Classes)
			d.Classes = append(d.Classes, ClassDefinition{Name: change.Name})
		}
		set(&d.Classes[n].Price, change.Price)
		set(&d.Classes[n].Stock, change.Stock)
	}
	if len(d.Classes) > MaxClasses {
		fields = append(fields, problem.Field{Pointer: "/classes", Message: fmt.Sprintf("a trip has at most %d classes in all", MaxClasses)})
	}
	if len(fields) > 0 {
		refusal := problem.New(problem.Invalid, "The request is well-formed, but invalid; errors says where.")
		refusal.Fields = fields
		return nil, refusal
	}
	return d, t.checkStock(d)
}

func set[T any](value, to *T) {
	if to != nil {
		*value = *to
	}
}

// missing is what a new class lacks, as the n-th of a request.
func (c *ClassChange) missing(n int) (fields []problem.Field) {
	if c.Price == nil {
		fields = append(fields, problem.Field{Pointer: fmt.Sprintf("/classes/%d/price", n), Message: "is required for a new class"})
	}
	if c.Stock == nil {
		fields = append(fields, problem.Field{Pointer: fmt.Sprintf("/classes/%d/stock", n), Message: "is required for a new class"})
	}
	return fields
}

func (t *Trip) checkStock(d *Definition) *problem.Problem {
	for i := range t.Classes { // which come first in the definition
		if c := &t.Classes[i]; d.Classes[i].Stock < c.Sold+c.Held {
			return problem.Newf(problem.StockInUse, "of class %s, %d tickets are sold and %d are held", c.Name, c.Sold, c.Held)
		}
	}
	return nil
}
