package events

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"guichet/models/id"
	"guichet/models/money"
	"guichet/models/problem"
)

// TestSeatsAgainstTheOracle: whatever happens in whatever order, Redis answers as the oracle does, and has the map that the oracle has; and who only reads the
// batches knows what has become of each reservation and each seat.
func TestSeatsAgainstTheOracle(t *testing.T) {
	onAllRedises(t, func(t *testing.T, seats *Seats) {
		for seed := range uint64(flows) {
			f := newFlow(t.Context(), seeded{t, seed}, seats)
			for range steps {
				f.step()
			}
			f.settleDown()
		}
	})
}

const (
	flows = 120
	steps = 60
)

// flow is one event, its oracle, and what a database has of it.
type flow struct {
	t      seeded
	ctx    context.Context
	seats  *Seats
	hall   *Hall
	oracle *oracle
	random *rand.Rand
	now    time.Time
	users  []id.ID
	stamps int64

	rows   rows              // as the syncer leaves them, and payments
	sold   map[int]id.ID     // as payments and refunds leave it
	shown  map[int]SeatState // as a follower of the batches sees the seats
	stale  *Batch            // a batch that was read a while ago
	epochs map[string]bool
}

func newFlow(ctx context.Context, t seeded, seats *Seats) *flow {
	f := &flow{t: t, ctx: ctx, seats: seats, random: rand.New(rand.NewPCG(t.seed, 1)), now: began,
		users: []id.ID{ids.Next(), ids.Next(), ids.Next()}, rows: rows{}, sold: map[int]id.ID{}, shown: map[int]SeatState{}, epochs: map[string]bool{}}
	var sections []Section
	for i := range f.between(1, 3) {
		sections = append(sections, Section{Name: string(rune('A' + i)), Rows: f.between(1, 3), SeatsPerRow: f.between(1, 7), Price: 100 * money.Amount(i)})
	}
	hall, err := NewHall(ids.Next(), sections)
	must(t, err)
	f.hall = hall
	f.oracle = newOracle(hall, began.Add(time.Duration(f.between(10, 200))*time.Minute), f.between(2, 12))
	f.load()
	return f
}

func (f *flow) between(least, most int) int { return least + f.random.IntN(most-least+1) }

func pick[T any](f *flow, list []T) T { return list[f.random.IntN(len(list))] }

// seeded is a test that says with which seed it fails.
type seeded struct {
	testing.TB
	seed uint64
}

func (s seeded) Fatalf(format string, args ...any) {
	s.Helper()
	s.TB.Fatalf("seed %d: "+format, append([]any{s.seed}, args...)...)
}

func (f *flow) load() {
	must(f.t, f.seats.Load(f.ctx, f.hall, func(context.Context) (Snapshot, error) {
		s := Snapshot{StartsAt: f.oracle.starts, MaxPerUser: f.oracle.most, Now: f.now}
		for _, r := range f.rows {
			if r.Status == StatusHeld {
				s.Held = append(s.Held, r)
			}
		}
		for seat, reservation := range f.sold {
			s.Sold = append(s.Sold, Sale{seat, reservation, f.rows[reservation].UserID})
		}
		return s, nil
	}))
}

func (f *flow) step() {
	actions := []func(){f.reserve, f.reserve, f.reserve, f.release, f.claim, f.claim, f.settle, f.settle, f.refund, f.pass, f.expire, f.sync, f.sync, f.lookUp, f.wipe, f.settleDown}
	if f.between(0, 1) == 0 {
		f.now = f.now.Add(time.Duration(f.between(0, 100_000)) * time.Millisecond)
	}
	actions[f.between(0, len(actions)-1)]()
}

func (f *flow) user() id.ID { return pick(f, f.users) }

// any is a reservation that was made.
func (f *flow) any() (Reservation, bool) {
	n := len(f.oracle.order)
	if n == 0 {
		return Reservation{}, false
	}
	return *f.oracle.made[f.oracle.order[max(f.between(0, n-1), f.between(0, n-1))]], true // rather one of the latest
}

func (f *flow) reserve() {
	f.stamps++
	want := Want{ID: ids.Next(), UserID: f.user(), Account: "ACC-" + strconv.Itoa(int(f.stamps)), Now: f.now, HoldFor: hold}
	if f.between(0, 1) == 0 {
		want.Seats = f.random.Perm(f.hall.Size())[:f.between(1, min(4, f.hall.Size()))]
	} else {
		want.Quantity, want.Section = f.between(1, 5), pick(f, []string{"", "", "A", "B", "C"})
	}
	if key := f.between(0, 8); key < 3 {
		want.Stamp, want.Account = 1000, "ACC" // the request, as the oracle tells them apart
		if f.between(0, 3) == 0 {
			want.Stamp = 1001
		}
		want.Key = &Key{Hash: [32]byte{byte(key)}, Request: [32]byte{byte(want.Stamp % 256)}}
	}
	expected, code := f.oracle.reserve(want)
	got, err := f.seats.Reserve(f.ctx, f.hall, want)
	if code != "" {
		if !refused(err, code) {
			f.t.Fatalf("%+v: %+v, %v; want %s", want, got, err, code)
		}
		f.wantTaken(want, err)
		return
	}
	if err != nil || !same(got.Reservation, expected.Reservation) || got.Replayed != expected.Replayed {
		f.t.Fatalf("%+v: %+v, %v; want %+v", want, got, err, expected)
	}
}

// wantTaken checks that a refusal says which seats are taken.
func (f *flow) wantTaken(want Want, err error) {
	if !refused(err, problem.SeatTaken) {
		return
	}
	var taken []string
	for i, seat := range want.Seats {
		if !f.oracle.owners[seat].IsZero() {
			taken = append(taken, "/seats/"+strconv.Itoa(i))
		}
	}
	if said := pointers(err); !slices.Equal(taken, said) {
		f.t.Fatalf("%v are said to be taken, and not %v", said, taken)
	}
}

func (f *flow) release() {
	r, some := f.any()
	if !some {
		return
	}
	f.oracle.pass(f.now)
	r = *f.oracle.made[r.ID]
	user := r.UserID
	if f.between(0, 4) == 0 {
		user = ids.Next()
	}
	got, err := f.seats.Release(f.ctx, f.hall, r.ID, user, f.now)
	switch synced := errors.Is(err, ErrNotInRedis); {
	case user != r.UserID:
		if !synced {
			f.t.Fatalf("a stranger gets %+v, %v", got, err)
		}
	case synced:
		if r.Status == StatusHeld || f.rows[r.ID].Status != r.Status {
			f.t.Fatalf("%+v is not in Redis, and the database has %+v", r, f.rows[r.ID])
		}
	case r.Status == StatusHeld && r.ClaimedBy.IsZero():
		f.oracle.end(f.oracle.made[r.ID], StatusReleased)
		if err != nil || !same(got, *f.oracle.made[r.ID]) {
			f.t.Fatalf("%+v, %v", got, err)
		}
	case r.Status == StatusHeld || r.Status == StatusPaid:
		if !errors.Is(err, ErrPaid) || !same(got, r) {
			f.t.Fatalf("%+v, %v; want %+v", got, err, r)
		}
	default:
		if !refused(err, problem.ReservationEnded) {
			f.t.Fatalf("%+v, %v; want %+v", got, err, r)
		}
	}
}

func (f *flow) claim() {
	var claims []ClaimOf
	for range f.between(1, 3) {
		r, some := f.any()
		if !some {
			return
		}
		c := ClaimOf{r.ID, ids.Next()}
		if !r.ClaimedBy.IsZero() && f.between(0, 1) == 0 {
			c.Operation = r.ClaimedBy
		}
		claims = append(claims, c)
	}
	results, err := f.seats.Claim(f.ctx, f.hall, claims, f.now)
	must(f.t, err)
	for i, c := range claims {
		expected, got := f.oracle.claim(c.Reservation, c.Operation, f.now), results[i]
		r := *f.oracle.made[c.Reservation]
		if got.Outcome == ClaimUnknown { // because the database has it
			if r.Status == StatusHeld || f.rows[r.ID].Status != r.Status {
				f.t.Fatalf("%+v is unknown, and the database has %+v", r, f.rows[r.ID])
			}
			continue
		}
		if got.Outcome != expected {
			f.t.Fatalf("%s; want %s for %+v", got.Outcome, expected, r)
		}
		if !slices.ContainsFunc(claims[i+1:], func(later ClaimOf) bool { return later.Reservation == r.ID }) && !same(got.Reservation, r) {
			f.t.Fatalf("claimed is %+v; want %+v", got.Reservation, r)
		}
	}
}

// settle commits what payments have claimed, or refuses it, and tells Redis, sometimes twice.
func (f *flow) settle() {
	var settlements []Settlement
	for _, reservation := range f.oracle.order {
		r := f.oracle.made[reservation]
		if r.ClaimedBy.IsZero() || f.between(0, 1) == 0 {
			continue
		}
		s := Settlement{Reservation: r.ID, UserID: r.UserID, Operation: r.ClaimedBy, Seats: r.Seats, To: pick(f, []SettledTo{Paid, Paid, Sold, Freed, Unclaimed})}
		settlements = append(settlements, s)
		if f.between(0, 5) == 0 { // of a payment that has not claimed it
			s.Operation, s.To = ids.Next(), pick(f, []SettledTo{Freed, Unclaimed})
			settlements[len(settlements)-1] = s
			continue
		}
		row := *r
		switch row.ClaimedBy = (id.ID{}); s.To {
		case Sold, Paid:
			row.Status, row.PaidBy = StatusPaid, s.Operation
			for _, seat := range r.Seats {
				f.sold[seat] = r.ID
			}
		case Freed:
			row.Status = StatusReleased
		default:
			continue
		}
		f.rows[r.ID] = row
	}
	f.settled(settlements)
}

func (f *flow) refund() {
	r, some := f.any()
	if !some || r.Status != StatusPaid {
		return
	}
	r.Status, r.RefundedBy = StatusRefunded, ids.Next()
	f.rows[r.ID] = r
	for _, seat := range r.Seats {
		delete(f.sold, seat)
	}
	f.settled([]Settlement{{Reservation: r.ID, UserID: r.UserID, Operation: r.RefundedBy, Seats: r.Seats, To: Refunded}})
}

func (f *flow) settled(settlements []Settlement) {
	for range f.between(1, 2) {
		expected := 0
		for _, s := range settlements {
			if f.oracle.settle(s, f.now) {
				expected++
			}
		}
		if changed, err := f.seats.Settle(f.ctx, f.hall, settlements, f.now); err != nil || changed != expected {
			f.t.Fatalf("%d changed, %v; want %d of %+v", changed, err, expected, settlements)
		}
	}
}

// pass lets time pass, mostly to about when a hold expires.
func (f *flow) pass() {
	to := f.now.Add(time.Duration(f.between(0, int(hold))))
	if r, some := f.any(); some && f.between(0, 3) > 0 {
		to = r.ExpiresAt.Add(time.Duration(f.between(-1, 1)) * time.Millisecond)
	}
	if to = to.Truncate(time.Millisecond); to.After(f.now) {
		f.now = to
	}
}

func (f *flow) expire() {
	limit := f.between(1, 5)
	pending, err := f.seats.Pending(f.ctx, []id.ID{f.hall.Event()}, f.now)
	must(f.t, err)
	n, more, err := f.seats.Expire(f.ctx, f.hall.Event(), f.now, limit)
	if err != nil || n > limit || more != (n == limit) || pending[0].Due != (n > 0) {
		f.t.Fatalf("%d of %d, %t, %v; before %+v", n, limit, more, err, pending)
	}
	f.oracle.pass(f.now)
}

// sync does as the syncer does, and sometimes it crashes before it has taken out what it has stored, or takes out something long after.
func (f *flow) sync() {
	b, err := f.seats.Unsynced(f.ctx, f.hall, f.between(1, 5))
	must(f.t, err)
	once := map[id.ID]bool{}
	for _, r := range b.Reservations {
		if once[r.ID] || !r.ClaimedBy.IsZero() {
			f.t.Fatalf("%+v is in a batch twice, or claimed", r)
		}
		once[r.ID] = true
	}
	f.rows.upsert(b)
	for _, s := range b.Seats {
		f.shown[s.Seat] = s
	}
	f.epochs[b.Epoch] = true
	switch f.between(0, 5) {
	case 0:
	case 1:
		f.stale = &b
	case 2:
		if f.stale != nil {
			must(f.t, f.seats.Synced(f.ctx, f.hall, *f.stale))
		}
	case 3:
		must(f.t, f.seats.Synced(f.ctx, f.hall, b))
		must(f.t, f.seats.Synced(f.ctx, f.hall, b))
	default:
		must(f.t, f.seats.Synced(f.ctx, f.hall, b))
	}
}

func (f *flow) lookUp() {
	r, some := f.any()
	if !some {
		return
	}
	f.oracle.pass(f.now)
	r = *f.oracle.made[r.ID]
	got, found, err := f.seats.Get(f.ctx, f.hall, r.ID, f.now)
	if !found {
		got = f.rows[r.ID]
	}
	if err != nil || !same(got, r) {
		f.t.Fatalf("%+v, %t, %v; want %+v", got, found, err, r)
	}
}

// wipe loses all that Redis has. What the database has is what there is.
func (f *flow) wipe() {
	if f.between(0, 3) > 0 {
		return
	}
	wipe(f.ctx, f.t, f.seats, f.hall)
	for day := range int64(3) {
		must(f.t, f.seats.client.Del(f.ctx, f.hall.keys.made(began.UnixMilli()/86400000+day)).Err())
	}
	o := newOracle(f.hall, f.oracle.starts, f.oracle.most)
	for _, reservation := range f.oracle.order {
		row, known := f.rows[reservation]
		if !known {
			continue
		}
		o.made[reservation], o.order = &row, append(o.order, reservation)
		if row.Status == StatusHeld {
			for _, seat := range row.Seats {
				o.owners[seat] = reservation
			}
		}
	}
	for seat, reservation := range f.sold {
		o.owners[seat] = reservation
	}
	f.oracle = o
	f.load()
	clear(f.shown) // the epoch is another: followers ask for the map
	m, err := f.seats.Map(f.ctx, f.hall)
	must(f.t, err)
	if f.epochs[m.Epoch] || m.Text != o.text() {
		f.t.Fatalf("the map is %+v; want %s", m, o.text())
	}
	for seat := range f.hall.Size() {
		f.shown[seat] = SeatState{seat, seatStatuses[m.Text[f.hall.place(seat)]]}
	}
}

// settleDown ends what is past its time and syncs all; then everything is as the oracle has it.
func (f *flow) settleDown() {
	for more := true; more; {
		var err error
		_, more, err = f.seats.Expire(f.ctx, f.hall.Event(), f.now, 3)
		must(f.t, err)
	}
	f.oracle.pass(f.now)
	for {
		b, err := f.seats.Unsynced(f.ctx, f.hall, 6)
		must(f.t, err)
		f.rows.upsert(b)
		for _, s := range b.Seats {
			f.shown[s.Seat] = s
		}
		must(f.t, f.seats.Synced(f.ctx, f.hall, b))
		if !b.More {
			break
		}
	}
	state, err := f.seats.State(f.ctx, f.hall)
	must(f.t, err)
	m, err := f.seats.Map(f.ctx, f.hall)
	must(f.t, err)
	if m.Text != f.oracle.text() || m.Version != state.Version {
		f.t.Fatalf("the map is %+v; want %s, version %d", m, f.oracle.text(), state.Version)
	}
	owners, users := map[int]id.ID{}, map[string]string{}
	for seat, owner := range f.oracle.owners {
		shown, known := f.shown[seat]
		if known && shown.Status != seatStatuses[m.Text[f.hall.place(seat)]] || !known && !owner.IsZero() {
			f.t.Fatalf("seat %d is shown as %+v in %s", seat, shown, m.Text)
		}
		if !owner.IsZero() {
			owners[seat] = owner
		}
	}
	for _, user := range f.users {
		if n := f.oracle.has(user); n > 0 {
			users[user.String()] = fmt.Sprint(n)
		}
	}
	if has := usersOf(f.ctx, f.t, f.seats, f.hall); !maps.Equal(has, users) || !maps.Equal(state.Owners, owners) {
		f.t.Fatalf("users have %v; want %v; tickets are %v; want %v", has, users, state.Owners, owners)
	}
	truth := Truth{Decided: map[id.ID]SettledTo{}}
	for _, reservation := range f.oracle.order {
		r := *f.oracle.made[reservation]
		if kept, known := state.Reservations[r.ID]; known != (r.Status == StatusHeld) || known && !same(kept, r) {
			f.t.Fatalf("Redis has %+v, %t; want %+v", kept, known, r)
		}
		if row, known := f.rows[r.ID]; r.ClaimedBy.IsZero() && (!known || !same(row, r)) {
			f.t.Fatalf("the database has %+v, %t; want %+v", row, known, r)
		}
		if f.rows[r.ID].Status == StatusHeld {
			truth.Held = append(truth.Held, f.rows[r.ID])
		}
	}
	for seat, reservation := range f.sold {
		truth.Sold = append(truth.Sold, Sale{seat, reservation, f.rows[reservation].UserID})
	}
	if differences := Compare(&state, &truth); len(differences) > 0 {
		f.t.Fatalf("%+v", differences)
	}
}
