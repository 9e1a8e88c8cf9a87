package workers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"guichet/models/bank"
	"guichet/models/database"
	"guichet/models/events"
	"guichet/models/feed"
	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/operation"
	"guichet/models/ticket"
)

// eventsCounter executes payments and refunds of reservations, and while its lane is held has the database follow what Redis decides (see attend).
type eventsCounter struct {
	db      *database.DB
	seats   *events.Seats
	tickets *ticket.Signer
	halls   *events.Halls
	poke    chan struct{}
	resting atomic.Bool // there was no event
	metrics *seatMetrics
}

func newEventsCounter(w *Workers) *eventsCounter {
	seats := events.NewSeats(w.Redis)
	return &eventsCounter{db: w.DB, seats: seats, halls: events.NewHalls(w.DB, w.Clock, seats), tickets: w.Tickets, poke: make(chan struct{}, 1), metrics: w.metrics.seats}
}

func (c *eventsCounter) forget() {} // what it keeps never changes

type eventsRound struct {
	*eventsCounter
	*events.Round
	commands map[id.ID]eventsCommand
	named    map[id.ID]*events.Hall // by the commands
	claimed  map[id.ID]bool         // by the payment that claims the reservation

	settlements map[id.ID][]events.Settlement // by event: what Redis is to be told when all this is stored
}

type eventsCommand struct {
	events.Command
	err error // why it cannot be read
}

// load claims in Redis the reservations that are to be paid: from then on nobody else can have their seats, until this very operation has an outcome.
func (c *eventsCounter) load(tx database.Tx, commands []operation.Command) (round, error) {
	r := &eventsRound{eventsCounter: c, commands: map[id.ID]eventsCommand{}, named: map[id.ID]*events.Hall{}, claimed: map[id.ID]bool{}, settlements: map[id.ID][]events.Settlement{}}
	var concerned events.Concerned
	claims := map[id.ID][]events.ClaimOf{}
	for i := range commands {
		read, err := events.DecodeCommand(commands[i].Kind, commands[i].Payload)
		if r.commands[commands[i].ID] = (eventsCommand{read, err}); err != nil {
			continue
		}
		concerned.Accounts = append(concerned.Accounts, read.Account)
		concerned.Reservations = append(concerned.Reservations, read.Reservation)
		if commands[i].Kind == events.KindPayment {
			claims[read.Event] = append(claims[read.Event], events.ClaimOf{Reservation: read.Reservation, Operation: commands[i].ID})
		} else {
			concerned.Refunds = append(concerned.Refunds, read.Reservation)
		}
		if r.named[read.Event] == nil {
			if r.named[read.Event], err = c.halls.Of(tx.Context(), read.Event); err != nil {
				return nil, err
			}
		}
	}
	concerned.Events = slices.Collect(maps.Keys(r.named))
	if err := tx.Flush(); err != nil { // who has the lane is known, and locked, before anything is claimed
		return nil, err
	}
	for event, of := range claims {
		found, err := r.claim(tx.Context(), r.named[event], of)
		if err != nil && !errors.Is(err, events.ErrMalformed) {
			err = &awayError{err} // whatever Redis says instead of an answer, it will have one later
		}
		if err != nil {
			return nil, err
		}
		concerned.Claimed = append(concerned.Claimed, found...)
	}
	var err error
	r.Round, err = events.LoadRound(tx, concerned)
	return r, err
}

// claimPatience is how long Redis may take while the lane's row is locked: less than the database grants the lane's idle connection.
const claimPatience = 1500 * time.Millisecond

func (r *eventsRound) claim(ctx context.Context, hall *events.Hall, of []events.ClaimOf) (found []events.Reservation, err error) {
	ctx, cancel := context.WithTimeout(ctx, claimPatience)
	defer cancel()
	var results []events.ClaimResult
	err = r.halls.Loaded(ctx, hall, func() (err error) {
		results, err = r.seats.Claim(ctx, hall, of, time.Now())
		return err
	})
	for i := range results {
		if results[i].Outcome != events.ClaimUnknown {
			found = append(found, results[i].Reservation)
		}
		r.claimed[of[i].Operation] = results[i].Outcome == events.Claimed
	}
	return found, err
}

func (r *eventsRound) lastStamp() lamport.Stamp { return r.LastStamp() }

func (r *eventsRound) decide(c *operation.Command, stamp lamport.Stamp, at time.Time) decision {
	read := r.commands[c.ID]
	if read.err != nil {
		panic(fmt.Errorf("a payload that did not come through the contract: %w", read.err))
	}
	cause := bank.Cause{OperationID: c.ID, Stamp: stamp, At: at}
	if c.Kind == events.KindRefund {
		refunded, refusal := r.Refund(cause, read.Reservation)
		if refusal != nil {
			return decision{refusal: refusal}
		}
		r.settleAs(read.Command, c.ID, events.Refunded)
		return decision{result: r.result(refunded)}
	}
	paid, refusal := r.Pay(cause, read.Reservation, r.claimed[c.ID])
	if refusal != nil {
		// What the database knows to be paid was claimed in a Redis that was set back; the reconciliation tells it.
		if known := r.Reservation(read.Reservation); r.claimed[c.ID] && known != nil && known.Status == events.StatusHeld {
			r.settleAs(read.Command, c.ID, events.Freed)
		}
		return decision{refusal: refusal}
	}
	r.settleAs(read.Command, c.ID, events.Paid)
	return decision{result: r.result(paid)}
}

func (r *eventsRound) settleAs(c events.Command, operation id.ID, to events.SettledTo) {
	settlement := events.Settlement{Reservation: c.Reservation, Operation: operation, To: to}
	if known := r.Reservation(c.Reservation); known != nil {
		settlement.UserID, settlement.Seats = known.UserID, known.Seats
	}
	r.settlements[c.Event] = append(r.settlements[c.Event], settlement)
}

func (r *eventsRound) result(reservation *events.Reservation) []byte {
	return reservation.AppendJSON(make([]byte, 0, 384), r.named[reservation.EventID], r.tickets)
}

func (r *eventsRound) prepare(database.Tx) error { return nil }

func (r *eventsRound) store(tx database.Tx) ([]feed.Entry, error) { return nil, r.Save(tx) }

// settlePatience is how long Redis may take to be told of a commit. What it was not told the reconciliation finds.
const settlePatience = 2 * time.Second

// settle tells Redis what was committed: seats that were claimed are sold, or free again.
func (r *eventsRound) settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, settlePatience)
	defer cancel()
	for event, settlements := range r.settlements {
		settle := func() error {
			_, err := r.seats.Settle(ctx, r.named[event], settlements, time.Now())
			return err
		}
		if err := r.halls.Loaded(ctx, r.named[event], settle); err != nil {
			slog.WarnContext(ctx, "Redis was not told of payments; the reconciliation will see to it", "event", event, "error", err)
		}
	}
	select {
	case r.poke <- struct{}{}:
	default:
	}
}
