package events

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"guichet/models/bank"
	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/money"
	"guichet/models/problem"
)

var (
	roundIDs = id.NewGenerator()
	noon     = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
)

// evening is a round about one event, which starts an hour after noon.
type evening struct {
	*Round
	event id.ID
	stamp lamport.Stamp
}

func newEvening(balance money.Amount, reservations ...Reservation) *evening {
	e := &evening{event: roundIDs.Next(), stamp: 100}
	for i := range reservations {
		reservations[i].EventID = e.event
	}
	owner := roundIDs.Next()
	ledger := bank.NewLedger([]bank.Account{{Number: "1111111111", UserID: owner, Balance: balance}, {Number: HouseAccount}}, nil)
	e.Round = NewRound(ledger, []Event{{ID: e.event, StartsAt: noon.Add(time.Hour)}}, reservations, map[Seat]id.ID{}, nil)
	return e
}

func (e *evening) cause(at time.Time) bank.Cause {
	e.stamp++
	return bank.Cause{OperationID: roundIDs.Next(), Stamp: e.stamp, At: at}
}

func holding(total money.Amount, seats ...int) Reservation {
	return Reservation{ID: roundIDs.Next(), UserID: roundIDs.Next(), Account: "1111111111", Seats: seats, Total: total, Status: StatusHeld, ExpiresAt: noon.Add(10 * time.Minute), Lamport: 7}
}

func expectCode(t *testing.T, refusal *problem.Problem, want problem.Code) {
	t.Helper()
	var got problem.Code
	if refusal != nil {
		got = refusal.Code
	}
	if got != want {
		t.Errorf("refused with %q, want %q", got, want)
	}
}

func TestPay(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change  func(*Reservation, *evening)
		claimed bool
		at      time.Time
		balance money.Amount
		want    problem.Code
	}{
		"held":                    {nil, true, noon, 100, ""},
		"for all there is":        {nil, true, noon, 60, ""},
		"for nothing":             {func(r *Reservation, _ *evening) { r.Total = 0 }, true, noon, 0, ""},
		"one too little":          {nil, true, noon, 59, problem.InsufficientFunds},
		"just before it starts":   {nil, true, noon.Add(time.Hour - time.Microsecond), 100, ""},
		"it has started":          {nil, true, noon.Add(time.Hour), 100, problem.EventStarted},
		"Redis has let go of it":  {nil, false, noon, 100, problem.ReservationExpired},
		"expired":                 {func(r *Reservation, _ *evening) { r.Status = StatusExpired }, false, noon, 100, problem.ReservationExpired},
		"released":                {func(r *Reservation, _ *evening) { r.Status = StatusReleased }, false, noon, 100, problem.ReservationNotHeld},
		"paid":                    {func(r *Reservation, _ *evening) { r.Status = StatusPaid }, true, noon, 100, problem.ReservationNotHeld},
		"refunded":                {func(r *Reservation, _ *evening) { r.Status = StatusRefunded }, true, noon, 100, problem.ReservationNotHeld},
		"sold to somebody else":   {func(r *Reservation, e *evening) { e.sold[Seat{e.event, 2}] = roundIDs.Next() }, true, noon, 100, problem.ReservationExpired},
		"another's seat is sold":  {func(r *Reservation, e *evening) { e.sold[Seat{e.event, 3}] = roundIDs.Next() }, true, noon, 100, ""},
		"another event's is sold": {func(r *Reservation, e *evening) { e.sold[Seat{roundIDs.Next(), 2}] = roundIDs.Next() }, true, noon, 100, ""},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEvening(tt.balance, holding(60, 1, 2))
			var r *Reservation
			for _, r = range e.reservations {
				if tt.change != nil {
					tt.change(r, e)
				}
			}
			before := *r
			cause := e.cause(tt.at)
			paid, refusal := e.Pay(cause, r.ID, tt.claimed)
			expectCode(t, refusal, tt.want)
			if tt.want != "" {
				if fmt.Sprint(*r) != fmt.Sprint(before) || len(e.Entries) != 0 || len(e.paid) != 0 || e.Account("1111111111").Balance != tt.balance {
					t.Errorf("refused, and changed something: %+v", e.Round)
				}
				return
			}
			if paid != r || r.Status != StatusPaid || r.PaidBy != cause.OperationID || r.Lamport != cause.Stamp || len(e.tickets[r.ID]) != 2 {
				t.Errorf("%+v, tickets %+v", r, e.tickets[r.ID])
			}
			if e.Account("1111111111").Balance != tt.balance-before.Total || e.Account(HouseAccount).Balance != before.Total {
				t.Errorf("the money went elsewhere: %+v", e.Account(HouseAccount))
			}
			_, refusal = e.Pay(e.cause(tt.at), r.ID, true)
			expectCode(t, refusal, problem.ReservationNotHeld)
		})
	}
	_, refusal := newEvening(1).Pay(bank.Cause{At: noon}, roundIDs.Next(), true)
	expectCode(t, refusal, problem.UnknownReservation)
}

func TestRefund(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(*Reservation, *evening)
		at     time.Time
		want   problem.Code
	}{
		"paid":                  {nil, noon, ""},
		"just before it starts": {nil, noon.Add(time.Hour - time.Microsecond), ""},
		"it has started":        {nil, noon.Add(time.Hour), problem.EventStarted},
		"held":                  {func(r *Reservation, _ *evening) { r.Status = StatusHeld }, noon, problem.ReservationEnded},
		"released":              {func(r *Reservation, _ *evening) { r.Status = StatusReleased }, noon, problem.ReservationEnded},
		"expired":               {func(r *Reservation, _ *evening) { r.Status = StatusExpired }, noon, problem.ReservationEnded},
		"refunded":              {func(r *Reservation, _ *evening) { r.Status = StatusRefunded }, noon, problem.ReservationEnded},
		"a ticket is used":      {func(r *Reservation, e *evening) { e.tickets[r.ID][1].Status = TicketUsed }, noon, problem.TicketUsed},
		"the account is full":   {func(_ *Reservation, e *evening) { e.Account("1111111111").Balance = money.MaxBalance }, noon, problem.BalanceLimit},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEvening(100, holding(60, 1, 2))
			var r *Reservation
			for _, r = range e.reservations {
			}
			if _, refusal := e.Pay(e.cause(noon), r.ID, true); refusal != nil {
				t.Fatal(refusal)
			}
			if tt.change != nil {
				tt.change(r, e)
			}
			before := *r
			cause := e.cause(tt.at)
			_, refusal := e.Refund(cause, r.ID)
			expectCode(t, refusal, tt.want)
			if tt.want != "" {
				if fmt.Sprint(*r) != fmt.Sprint(before) || len(e.Entries) != 1 || len(e.refunded) != 0 || len(e.sold) != 2 {
					t.Errorf("refused, and changed something: %+v", e.Round)
				}
				return
			}
			if r.Status != StatusRefunded || r.RefundedBy != cause.OperationID || len(e.sold) != 0 || e.Account("1111111111").Balance != 100 || e.Account(HouseAccount).Balance != 0 {
				t.Errorf("%+v, sold %v", r, e.sold)
			}
			for _, ticket := range e.tickets[r.ID] {
				if ticket.Status != TicketRefunded || ticket.Lamport != cause.Stamp {
					t.Errorf("%+v", ticket)
				}
			}
		})
	}
}

// TestSeasons pays and refunds at random: money is conserved, the house has what is paid, and a seat is sold to one reservation at most.
func TestSeasons(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 1))
		var reservations []Reservation
		for range 40 {
			reservations = append(reservations, holding(money.Amount(random.Int64N(50)), random.IntN(20), 20+random.IntN(20)))
		}
		e := newEvening(500, reservations...)
		for range 300 {
			r := reservations[random.IntN(len(reservations))].ID
			at := noon.Add(time.Duration(random.Int64N(int64(61 * time.Minute))))
			if random.IntN(2) == 0 {
				_, _ = e.Pay(e.cause(at), r, random.IntN(10) > 0)
			} else {
				_, _ = e.Refund(e.cause(at), r)
			}
			e.check(t)
		}
		if t.Failed() {
			t.Fatalf("with seed %d", seed)
		}
	}
}

func (e *evening) check(t *testing.T) {
	t.Helper()
	var paid money.Amount
	seats := map[int]id.ID{}
	for _, r := range e.reservations {
		if r.Status != StatusPaid {
			continue
		}
		paid += r.Total
		for _, seat := range r.Seats {
			if other, sold := seats[seat]; sold {
				t.Errorf("seat %d is sold to %s and to %s", seat, other, r.ID)
			}
			seats[seat] = r.ID
			if e.sold[Seat{e.event, seat}] != r.ID {
				t.Errorf("seat %d is not marked as sold to %s", seat, r.ID)
			}
		}
	}
	if len(seats) != len(e.sold) {
		t.Errorf("%d seats are sold, %d are marked", len(seats), len(e.sold))
	}
	if balance := e.Account("1111111111").Balance; balance+paid != 500 || e.Account(HouseAccount).Balance != paid || balance < 0 {
		t.Errorf("%d is paid, the house has %d, the customer %d", paid, e.Account(HouseAccount).Balance, balance)
	}
}
