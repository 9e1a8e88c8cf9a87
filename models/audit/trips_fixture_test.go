package audit

import (
	"time"

	"guichet/models/bank"
	"guichet/models/database"
	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/money"
	"guichet/models/operation"
	"guichet/models/problem"
	"guichet/models/trips"
)

// officeRound is an envelope of trips, as workers/trips.go executes it.
type officeRound struct {
	*trips.Office
	commands map[id.ID]*trips.Command
}

func loadOffice(tx database.Tx, commands []operation.Command) (round, error) {
	r := &officeRound{commands: map[id.ID]*trips.Command{}}
	var read []*trips.Command
	for i := range commands {
		c, err := trips.DecodeCommand(commands[i].Kind, commands[i].Payload)
		if err != nil {
			return nil, err
		}
		r.commands[commands[i].ID] = c
		read = append(read, c)
	}
	var err error
	r.Office, err = trips.Load(tx, read)
	return r, err
}

func (r *officeRound) lastStamp() lamport.Stamp { return r.LastStamp() }

func (r *officeRound) decide(c *operation.Command, cause bank.Cause) (refusal *problem.Problem) {
	read, by := r.commands[c.ID], trips.Cause{Cause: cause, UserID: c.UserID}
	switch read.Kind {
	case trips.KindPurchase:
		_, refusal = r.Purchase(by, &read.Purchase)
	case trips.KindConfirmation:
		_, refusal = r.Confirm(by, &read.Change)
	case trips.KindCancellation:
		_, refusal = r.Cancel(by, &read.Change)
	case trips.KindExpiry:
		r.Expire(by, &read.Expiry)
	}
	return refusal
}

func (r *officeRound) save(tx database.Tx) error { return r.Save(tx) }

// offer makes a trip with two classes that departs so much later.
func (p *process) offer(later time.Duration, price money.Amount, stock int64) id.ID {
	p.Helper()
	trip := p.ids.Next()
	must(p, p.db.Write(p.Context(), func(tx database.Tx) error {
		_, err := trips.Insert(tx, &p.clock, trip, &trips.Definition{
			Name: "Night train", DepartsAt: time.Now().Add(later).UTC().Truncate(time.Microsecond), RefundBps: 3333,
			Classes: []trips.ClassDefinition{{Name: "seat", Price: price, Stock: stock}, {Name: "bed", Price: 2 * price, Stock: stock}},
		}, time.Now())
		return err
	}))
	return trip
}

// change changes a trip.
func (p *process) change(tx database.Tx, trip id.ID, c *trips.Change) error {
	_, err := trips.Update(tx, &p.clock, trip, c, time.Now())
	return err
}

func (p *process) mustChange(trip id.ID, c *trips.Change) {
	p.Helper()
	must(p, p.db.Write(p.Context(), func(tx database.Tx) error { return p.change(tx, trip, c) }))
}

// ask asks for tickets that are held for an hour.
func ask(account string, trip id.ID, class string, quantity int64) command {
	return command{trips.KindPurchase, trips.PurchaseCommand{Account: account, Trip: trip.String(), Class: class, Quantity: quantity, HoldS: 3600}, account}
}

// buy asks for tickets, and pays them at once.
func buy(account string, trip id.ID, class string, quantity int64) command {
	return command{trips.KindPurchase, trips.PurchaseCommand{Account: account, Trip: trip.String(), Class: class, Quantity: quantity, HoldS: 3600, Confirm: true}, account}
}

// briefly is a purchase that is held for a second.
func (c command) briefly() command {
	p := c.payload.(trips.PurchaseCommand)
	p.HoldS = 1
	return command{c.kind, p, c.by}
}

func confirmation(account string, trip id.ID, class string, purchase id.ID) command {
	return command{trips.KindConfirmation, trips.ChangeCommand{Account: account, Trip: trip, Class: class, Purchase: purchase}, account}
}

func cancellation(account string, trip id.ID, class string, purchase id.ID) command {
	return command{trips.KindCancellation, trips.ChangeCommand{Account: account, Trip: trip, Class: class, Purchase: purchase}, account}
}

func expiry(trip id.ID, class string, purchases ...id.ID) command {
	var c trips.ExpiryCommand
	for _, p := range purchases {
		c.Purchases = append(c.Purchases, trips.DuePurchase{Purchase: p, Trip: trip, Class: class})
	}
	return command{trips.KindExpiry, c, "HOUSE"}
}

// season is a past of the ticket counter in which everything happened that may happen, named for the tests that falsify it.
type season struct {
	alps, ferry                              id.ID // trips: of the second nothing was sold
	held, paid, confirmed                    id.ID // 2 seats that are held by ADA1; 3 that BOB1 has paid at once; 1 bed that ADA1 has paid later
	cancelled, expired, refunded             id.ID
	refused, confirming, refunding, expiring id.ID // operations
}

// travel lets processes, whose clocks have nothing to do with each other, make a season.
func (h *house) travel() season {
	h.Helper()
	door, otherDoor, worker, standby := h.process(1000), h.process(7), h.process(2), h.process(500_000)
	behind := h.process(3)
	behind.slow = time.Hour // so what it sets aside briefly is over already when others come to it
	for _, number := range []string{"ADA1", "BOB1", "EVE1"} {
		door.open(number)
		worker.execute(door.accept(bank.Lane, deposit(number, 10_000)))
	}
	var s season
	unborn := h.process(1).ids.Next()
	standby.execute(otherDoor.accept(trips.Lane, ask("ADA1", unborn, "seat", 1))) // nobody offers it
	s.alps, s.ferry = otherDoor.offer(1000*time.Hour, 1010, 10), door.offer(time.Hour, 0, 5)

	e := door.accept(trips.Lane, ask("ADA1", s.alps, "seat", 2), buy("BOB1", s.alps, "seat", 3), ask("ADA1", s.alps, "bed", 1), ask("EVE1", s.alps, "bed", 1), buy("EVE1", s.alps, "seat", 2),
		ask("EVE1", s.alps, "none", 1), ask("EVE1", s.alps, "seat", 0), ask("EVE1", s.alps, "seat", 4), buy("EVE1", s.alps, "bed", 8))
	worker.execute(e)
	s.held, s.paid, s.confirmed, s.cancelled, s.refunded, s.refused = e.Commands[0].ID, e.Commands[1].ID, e.Commands[2].ID, e.Commands[3].ID, e.Commands[4].ID, e.Commands[7].ID
	brief := otherDoor.accept(trips.Lane, ask("EVE1", s.alps, "seat", 2).briefly())
	behind.execute(brief)
	s.expired = brief.Commands[0].ID

	price := money.Amount(150)
	door.mustChange(s.alps, &trips.Change{RefundBps: new(2500), Classes: []trips.ClassChange{{Name: "seat", Price: &price, Stock: new(int64(12))}, {Name: "deck", Price: &price, Stock: new(int64(7))}}})
	e = door.accept(trips.Lane, confirmation("ADA1", s.alps, "bed", s.confirmed), cancellation("EVE1", s.alps, "bed", s.cancelled), cancellation("EVE1", s.alps, "seat", s.refunded),
		confirmation("EVE1", s.alps, "seat", s.expired), cancellation("BOB1", s.alps, "seat", s.held), confirmation("EVE1", s.alps, "bed", s.cancelled), buy("BOB1", s.ferry, "seat", 1),
		expiry(s.alps, "seat", s.expired, s.held, s.paid))
	standby.execute(e)
	s.confirming, s.refunding, s.expiring = e.Commands[0].ID, e.Commands[2].ID, e.Commands[7].ID
	otherDoor.mustChange(s.alps, &trips.Change{Closed: new(true)})
	worker.execute(otherDoor.accept(trips.Lane, buy("BOB1", s.alps, "deck", 1), ask("ADA1", s.alps, "seat", 1), cancellation("EVE1", s.alps, "seat", s.expired), expiry(s.alps, "seat", s.expired)))
	otherDoor.mustChange(s.alps, &trips.Change{Closed: new(false)})

	e = door.accept(trips.Lane, buy("BOB1", s.alps, "deck", 1), buy("BOB1", s.alps, "deck", 1))
	worker.execute(e, 1)
	replayed, err := operation.NewJournal(h.db).Replay(h.Context(), e.Commands[1].ID, nil)
	must(h, err)
	again := &operation.Envelope{}
	again.Add(replayed.Batch, replayed.Commands)
	standby.execute(again)
	worker.execute(otherDoor.accept(bank.Lane, withdrawal("ADA1", 7981), withdrawal("ADA1", 7980))) // she has paid 2020
	otherDoor.mustChange(s.ferry, &trips.Change{Closed: new(true)})
	return s
}
