package audit

import (
	"slices"
	"strings"
	"sync"
	"time"

	"guichet/models/bank"
	"guichet/models/database"
	"guichet/models/events"
	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/money"
	"guichet/models/operation"
	"guichet/models/problem"
)

// box is what Redis has of reservations: what is held, by which payment it is claimed, and what has ended.
type box struct {
	mu           sync.Mutex
	halls        map[id.ID]*events.Hall
	reservations map[id.ID]*events.Reservation
}

// claim gives a reservation that is held to a payment. known says whether Redis has the reservation.
func (b *box) claim(reservation, payment id.ID) (r events.Reservation, known, claimed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	found := b.reservations[reservation]
	if found == nil {
		return r, false, false
	}
	if found.Status == events.StatusHeld && found.ClaimedBy.IsZero() {
		found.ClaimedBy = payment
	}
	return *found, true, found.Status == events.StatusHeld && found.ClaimedBy == payment
}

// end makes of a reservation what it is from now on.
func (b *box) end(reservation id.ID, status events.Status) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reservations[reservation].Status = status
}

// boxRound is an envelope of events, as workers/events.go executes it.
type boxRound struct {
	*events.Round
	box      *box
	commands map[id.ID]events.Command
	claimed  map[id.ID]bool
}

func (b *box) load(tx database.Tx, commands []operation.Command) (round, error) {
	r := &boxRound{box: b, commands: map[id.ID]events.Command{}, claimed: map[id.ID]bool{}}
	var concerned events.Concerned
	for i := range commands {
		c, err := events.DecodeCommand(commands[i].Kind, commands[i].Payload)
		if err != nil {
			return nil, err
		}
		r.commands[commands[i].ID] = c
		concerned.Accounts, concerned.Reservations = append(concerned.Accounts, c.Account), append(concerned.Reservations, c.Reservation)
		if !slices.Contains(concerned.Events, c.Event) {
			concerned.Events = append(concerned.Events, c.Event)
		}
		if commands[i].Kind == events.KindRefund {
			concerned.Refunds = append(concerned.Refunds, c.Reservation)
			continue
		}
		told, known, claimed := b.claim(c.Reservation, commands[i].ID)
		if r.claimed[commands[i].ID] = claimed; known {
			concerned.Claimed = append(concerned.Claimed, told)
		}
	}
	var err error
	r.Round, err = events.LoadRound(tx, concerned)
	return r, err
}

func (r *boxRound) lastStamp() lamport.Stamp { return r.LastStamp() }

func (r *boxRound) decide(c *operation.Command, cause bank.Cause) (refusal *problem.Problem) {
	read := r.commands[c.ID]
	if c.Kind == events.KindRefund {
		_, refusal = r.Refund(cause, read.Reservation)
		return refusal
	}
	if _, refusal = r.Pay(cause, read.Reservation, r.claimed[c.ID]); refusal != nil && r.claimed[c.ID] {
		r.box.end(read.Reservation, events.StatusReleased)
	}
	return refusal
}

func (r *boxRound) save(tx database.Tx) error { return r.Save(tx) }

// announce announces an event that starts so much later: 10 seats that cost something, 4 that cost nothing, and 200 that cost little.
func (p *process) announce(later time.Duration) id.ID {
	p.Helper()
	e := &events.Event{ID: p.ids.Next(), Name: "Opera", StartsAt: time.Now().Add(later).UTC().Truncate(time.Microsecond), MaxPerUser: 10, Lamport: p.clock.Tick(),
		Sections: []events.Section{{Name: "A", Rows: 2, SeatsPerRow: 5, Price: 1000}, {Name: "B", Rows: 1, SeatsPerRow: 4}, {Name: "C", Rows: 10, SeatsPerRow: 20, Price: 3}}}
	must(p, p.db.Write(p.Context(), func(tx database.Tx) error { return events.InsertEvent(tx, e) }))
	hall, err := events.NewHall(e.ID, e.Sections)
	must(p, err)
	p.box.mu.Lock()
	defer p.box.mu.Unlock()
	if p.box.halls == nil {
		p.box.halls, p.box.reservations = map[id.ID]*events.Hall{}, map[id.ID]*events.Reservation{}
	}
	p.box.halls[e.ID] = hall
	return e.ID
}

// reserve holds seats in Redis. The database has not heard of it.
func (p *process) reserve(account string, event id.ID, seats ...int) id.ID {
	p.Helper()
	p.box.mu.Lock()
	defer p.box.mu.Unlock()
	total, err := p.box.halls[event].Total(seats)
	must(p, err)
	now := time.Now().UTC().Truncate(time.Millisecond)
	r := &events.Reservation{ID: p.ids.Next(), EventID: event, UserID: p.userOf(account), Account: account, Seats: seats, Total: total, Status: events.StatusHeld,
		ReservedAt: now, ExpiresAt: now.Add(10 * time.Minute), Lamport: p.clock.Tick()}
	p.box.reservations[r.ID] = r
	return r.ID
}

// heard has the database hear of reservations as Redis has them now.
func (p *process) heard(reservations ...id.ID) {
	p.Helper()
	must(p, p.db.Write(p.Context(), func(tx database.Tx) error { return p.box.store(tx, reservations) }))
}

func (b *box) store(tx database.Tx, reservations []id.ID) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var batch []events.Reservation
	for _, reservation := range reservations {
		batch = append(batch, *b.reservations[reservation])
	}
	return events.StoreReservations(tx, batch)
}

func (p *process) checkIn(tx database.Tx, reservation id.ID, seat int) error {
	_, err := events.CheckIn(tx, &p.clock, reservation, seat, "North 2", time.Now())
	return err
}

func (p *process) mustCheckIn(reservation id.ID, seat int) {
	p.Helper()
	must(p, p.db.Write(p.Context(), func(tx database.Tx) error { return p.checkIn(tx, reservation, seat) }))
}

func payment(account string, event, reservation id.ID) command {
	return command{events.KindPayment, events.Command{Account: account, Event: event, Reservation: reservation}, account}
}

func refund(account string, event, reservation id.ID) command {
	return command{events.KindRefund, events.Command{Account: account, Event: event, Reservation: reservation}, account}
}

// evening is a past of the box office in which everything happened that may happen, named for the tests that falsify it.
type evening struct {
	opera, matinee id.ID // events: the second has started

	held id.ID // seats 16 and 17, which ADA1 has not paid yet
	paid id.ID // seats 2 and 3, which are BOB1's
	free id.ID // seats 10 and 11, which cost nothing and are ADA1's
	used id.ID // seat 5: BOB1 was let in, and asked for a refund
	full id.ID // seats 12, 13 and 14 of RICH1, whose account has no room for a refund, and who was let in on seat 14 then

	refunded, again         id.ID // seat 6: ADA1 was paid it back, and it is BOB1's now
	both                    id.ID // seat 4: EVE1 was paid it back in the round in which she had paid it
	poor, released, expired id.ID // seats that EVE1 cannot pay, that she let go, and that ADA1 did not pay in time
	lost                    id.ID // seat 8, which BOB1 came to pay when Redis had let go of it
	seen                    id.ID // seat 0 of the matinee, which was paid before it started

	// Operations.
	paying, refunding, failed id.ID // those that have paid and refunded, and one that has paid after a fault, when it was replayed
	refusing, late, notFor    id.ID // payments that were refused for money, and by Redis; and the refund that was refused because somebody was let in
}

// playEvening lets processes, whose clocks have nothing to do with each other, make an evening.
func (h *house) playEvening() evening {
	h.Helper()
	door, otherDoor, worker, standby := h.process(1000), h.process(7), h.process(2), h.process(500_000)
	gate, behind := h.process(1), h.process(3)
	behind.slow = 2 * time.Hour // so it pays what started an hour ago
	for _, number := range []string{"ADA1", "BOB1", "EVE1", "RICH1"} {
		door.open(number)
		worker.execute(door.accept(bank.Lane, deposit(number, 10_000)))
	}
	worker.execute(door.accept(bank.Lane, withdrawal("EVE1", 8_500)))
	s := evening{opera: otherDoor.announce(1000 * time.Hour), matinee: door.announce(-time.Hour)}
	bought := door.reserve("ADA1", s.opera, 1, 0)
	s.paid, s.free = door.reserve("BOB1", s.opera, 2, 3), otherDoor.reserve("ADA1", s.opera, 10, 11)
	s.used, s.refunded, s.both = door.reserve("BOB1", s.opera, 5), otherDoor.reserve("ADA1", s.opera, 6), otherDoor.reserve("EVE1", s.opera, 4)
	s.poor, s.full, s.seen = door.reserve("EVE1", s.opera, 7, 8, 9), door.reserve("RICH1", s.opera, 12, 13, 14), door.reserve("ADA1", s.matinee, 0)
	door.heard(bought, s.refunded, s.free, s.poor)

	e := door.accept(events.Lane, payment("BOB1", s.opera, s.paid), payment("ADA1", s.opera, s.free), payment("EVE1", s.opera, s.both), payment("EVE1", s.opera, s.poor),
		payment("BOB1", s.opera, s.used), payment("ADA1", s.opera, s.refunded), refund("EVE1", s.opera, s.both), payment("BOB1", s.opera, s.paid), payment("RICH1", s.opera, s.full))
	worker.execute(e)
	s.paying, s.refusing = e.Commands[0].ID, e.Commands[3].ID
	door.heard(s.poor)
	behind.execute(otherDoor.accept(events.Lane, payment("ADA1", s.matinee, s.seen)))

	// Redis ends three; of one the database hears that it was released, of one that it has expired, and of one only when it is paid for.
	s.released, s.expired, s.lost = otherDoor.reserve("EVE1", s.opera, 7, 8, 9), door.reserve("ADA1", s.opera, 7), door.reserve("BOB1", s.opera, 8)
	otherDoor.box.end(s.released, events.StatusReleased)
	otherDoor.box.end(s.expired, events.StatusExpired)
	otherDoor.heard(s.released, s.expired, s.lost)
	delete(h.box.reservations, s.lost)
	gate.mustCheckIn(s.used, 5)
	e = otherDoor.accept(events.Lane, payment("EVE1", s.opera, s.released), payment("ADA1", s.opera, s.expired), payment("BOB1", s.opera, s.lost), payment("EVE1", s.opera, door.ids.Next()),
		refund("BOB1", s.opera, s.used), refund("ADA1", s.opera, s.refunded), refund("ADA1", s.matinee, s.seen), refund("ADA1", s.opera, bought), refund("EVE1", s.opera, door.ids.Next()),
		refund("EVE1", s.opera, s.both))
	standby.execute(e)
	s.late, s.notFor, s.refunding = e.Commands[2].ID, e.Commands[4].ID, e.Commands[5].ID
	unheard := door.reserve("EVE1", s.opera, 7, 8) // is refused for money before the database has heard of it
	s.again = otherDoor.reserve("BOB1", s.opera, 6)
	worker.execute(door.accept(events.Lane, payment("EVE1", s.opera, unheard), payment("BOB1", s.opera, s.again)))

	// Who was refused a refund because of the account comes to a door that has heard of nothing.
	for rest := money.MaxBalance - 9_997; rest > 0; rest -= money.Max {
		worker.execute(door.accept(bank.Lane, deposit("RICH1", min(rest, money.Max))))
	}
	standby.execute(door.accept(events.Lane, refund("RICH1", s.opera, s.full)))
	gate.mustCheckIn(s.full, 14)

	another := door.reserve("BOB1", s.opera, 15)
	e = door.accept(events.Lane, payment("ADA1", s.opera, bought), payment("BOB1", s.opera, another))
	worker.execute(e, 1)
	replayed, err := operation.NewJournal(h.db).Replay(h.Context(), e.Commands[1].ID, nil)
	must(h, err)
	s.failed = e.Commands[1].ID
	envelope := &operation.Envelope{}
	envelope.Add(replayed.Batch, replayed.Commands)
	standby.execute(envelope)
	s.held = door.reserve("ADA1", s.opera, 16, 17)
	door.heard(s.held)
	worker.execute(otherDoor.accept(bank.Lane, withdrawal("ADA1", 7001), withdrawal("ADA1", 7000))) // she has paid 3000 that she was not paid back
	return s
}

// codes reads how the operations of a lane ended, in their order.
func (h *house) codes(lane string) (codes []string) {
	h.Helper()
	var outcomes []struct{ Status, Problem string }
	must(h, h.db.Read(h.Context()).Gorm().Raw("SELECT status, COALESCE(problem, status) AS problem FROM outcomes WHERE lane = ? ORDER BY sequence", lane).Scan(&outcomes).Error)
	for _, o := range outcomes {
		code, _, _ := strings.Cut(o.Problem, "\n")
		codes = append(codes, code)
	}
	return codes
}
