package events

import (
	"slices"
	"time"

	"guichet/models/id"
	"guichet/models/money"
	"guichet/models/problem"
)

// oracle is the rules of one event as one would write them down: plain loops over seats. A hold that is past its time is nobody's.
type oracle struct {
	hall     *Hall
	starts   time.Time
	most     int
	owners   []id.ID // by seat; zero: free
	made     map[id.ID]*Reservation
	order    []id.ID // reservations as they were made
	answered map[oracleKey]Reserved
}

type oracleKey struct {
	user id.ID
	hash [32]byte
}

func newOracle(hall *Hall, starts time.Time, most int) *oracle {
	return &oracle{hall: hall, starts: starts, most: most, owners: make([]id.ID, hall.Size()), made: map[id.ID]*Reservation{}, answered: map[oracleKey]Reserved{}}
}

// pass ends what is past its time.
func (o *oracle) pass(now time.Time) {
	for _, r := range o.made {
		if r.Status == StatusHeld && r.ClaimedBy.IsZero() && !now.Before(r.ExpiresAt) {
			o.end(r, StatusExpired)
		}
	}
}

func (o *oracle) end(r *Reservation, status Status) {
	r.Status, r.ClaimedBy = status, id.ID{}
	for _, seat := range r.Seats {
		if o.owners[seat] == r.ID {
			o.owners[seat] = id.ID{}
		}
	}
}

func (o *oracle) has(user id.ID) (n int) {
	for _, owner := range o.owners {
		if r := o.made[owner]; r != nil && r.UserID == user {
			n++
		}
	}
	return n
}

// reserve returns the reservation, or the code of the refusal.
func (o *oracle) reserve(want Want) (Reserved, problem.Code) {
	o.pass(want.Now)
	first, last := 0, o.hall.Size()-1
	if want.Section != "" {
		i := slices.IndexFunc(o.hall.Sections(), func(s Section) bool { return s.Name == want.Section })
		if i < 0 {
			return Reserved{}, problem.UnknownSection
		}
		first, last = o.hall.first[i], o.hall.first[i+1]-1
	}
	if want.Key != nil {
		if before, used := o.answered[oracleKey{want.UserID, want.Key.Hash}]; used {
			if o.answered[oracleKey{want.UserID, want.Key.Hash}].Reservation.Lamport != want.Stamp { // the tests' requests differ by their stamps
				return Reserved{}, problem.IdempotencyKeyReused
			}
			before.Replayed = true
			return before, ""
		}
	}
	if !want.Now.Before(o.starts) {
		return Reserved{}, problem.EventStarted
	}
	seats := want.Seats
	if len(seats) > 0 {
		for _, seat := range seats {
			if !o.owners[seat].IsZero() {
				return Reserved{}, problem.SeatTaken
			}
		}
	} else if seats = o.best(first, last, want.Quantity); seats == nil {
		free := 0
		for _, owner := range o.owners[first : last+1] {
			if owner.IsZero() {
				free++
			}
		}
		if free < want.Quantity {
			return Reserved{}, problem.SoldOut
		}
		return Reserved{}, problem.NoAdjacentSeats
	}
	if o.has(want.UserID)+len(seats) > o.most {
		return Reserved{}, problem.SeatLimit
	}
	expires := want.Now.Add(want.HoldFor)
	if expires.After(o.starts) {
		expires = o.starts
	}
	r := &Reservation{ID: want.ID, EventID: o.hall.Event(), UserID: want.UserID, Account: want.Account, Seats: seats, Status: StatusHeld, ReservedAt: want.Now, ExpiresAt: expires, Lamport: want.Stamp}
	for _, seat := range seats {
		o.owners[seat] = want.ID
		r.Total += o.price(seat)
	}
	o.made[r.ID] = r
	o.order = append(o.order, r.ID)
	if want.Key != nil {
		o.answered[oracleKey{want.UserID, want.Key.Hash}] = Reserved{Reservation: *r}
	}
	return Reserved{Reservation: *r}, ""
}

func (o *oracle) price(seat int) money.Amount {
	for _, s := range o.hall.Sections() {
		if seat < s.Rows*s.SeatsPerRow {
			return s.Price
		}
		seat -= s.Rows * s.SeatsPerRow
	}
	return -1
}

// best tries each n seats in each row, and takes those of the first row whose middle is nearest to the row's.
func (o *oracle) best(first, last, n int) (found []int) {
	seat := 0
	for _, s := range o.hall.Sections() {
		for range s.Rows {
			row, nearest := seat, 1<<30
			seat += s.SeatsPerRow
			if row < first || row > last {
				continue
			}
			for start := 0; start+n <= s.SeatsPerRow; start++ {
				off := 2*start + n - s.SeatsPerRow
				if o.free(row+start, n) && max(off, -off) < nearest {
					nearest, found = max(off, -off), nil
					for i := range n {
						found = append(found, row+start+i)
					}
				}
			}
			if found != nil {
				return found
			}
		}
	}
	return nil
}

func (o *oracle) free(seat, n int) bool {
	for _, owner := range o.owners[seat : seat+n] {
		if !owner.IsZero() {
			return false
		}
	}
	return true
}

// claim returns the outcome.
func (o *oracle) claim(reservation, operation id.ID, now time.Time) ClaimOutcome {
	o.pass(now)
	r := o.made[reservation]
	switch {
	case r == nil:
		return ClaimUnknown
	case r.Status == StatusExpired:
		return ClaimExpired
	case r.Status != StatusHeld || !r.ClaimedBy.IsZero() && r.ClaimedBy != operation:
		return ClaimNotHeld
	default:
		r.ClaimedBy = operation
		return Claimed
	}
}

// settle says whether the settlement changes something.
func (o *oracle) settle(t Settlement, now time.Time) bool {
	r := o.made[t.Reservation]
	switch t.To {
	case Sold, Paid:
		if r.Status == StatusPaid || r.Status == StatusRefunded {
			return false
		}
		if t.To == Paid && (r.Status != StatusHeld || !r.ClaimedBy.IsZero() && r.ClaimedBy != t.Operation) {
			return false
		}
		for _, seat := range r.Seats {
			if other := o.made[o.owners[seat]]; other != nil && other != r && other.Status == StatusHeld && other.ClaimedBy.IsZero() {
				o.end(other, StatusReleased)
			}
			o.owners[seat] = r.ID
		}
		r.Status, r.ClaimedBy, r.PaidBy = StatusPaid, id.ID{}, t.Operation
	case Freed:
		if r.Status != StatusHeld || !r.ClaimedBy.IsZero() && r.ClaimedBy != t.Operation {
			return false
		}
		o.end(r, StatusReleased)
	case Unclaimed:
		if r.Status != StatusHeld || r.ClaimedBy != t.Operation {
			return false
		}
		r.ClaimedBy = id.ID{}
	case Refunded:
		if r.Status != StatusPaid {
			return false
		}
		o.end(r, StatusRefunded)
		r.RefundedBy = t.Operation
	}
	o.pass(now)
	return true
}

// text is the map.
func (o *oracle) text() string {
	b := o.hall.empty()
	for seat, owner := range o.owners {
		if owner.IsZero() {
			continue
		}
		b[o.hall.place(seat)] = charSold
		if o.made[owner].Status == StatusHeld {
			b[o.hall.place(seat)] = charHeld
		}
	}
	return string(b)
}
