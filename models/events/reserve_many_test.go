package events

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"guichet/models/id"
	"guichet/models/problem"
)

// TestTogetherIsOneAfterTheOther: requests that are decided together get the answers that they would get one after the other, and leave Redis as it would be then.
// Those that the common script leaves to the single one come after the others, in their order.
func TestTogetherIsOneAfterTheOther(t *testing.T) {
	onAllRedises(t, func(t *testing.T, seats *Seats) {
		rapid.Check(t, func(rt *rapid.T) {
			newTwins(t.Context(), rt, seats).check()
		})
	})
}

// twins are two events to which the same happens, apart from how requests are decided.
type twins struct {
	t               *rapid.T
	ctx             context.Context
	seats           *Seats
	together, apart *Hall
	users           []id.ID
	made            []id.ID
	now             time.Time
}

func newTwins(ctx context.Context, t *rapid.T, seats *Seats) *twins {
	sections := []Section{{Name: "A", Rows: 2, SeatsPerRow: 7, Price: 100}, {Name: "B", Rows: 3, SeatsPerRow: 1, Price: 7}}
	w := &twins{t: t, ctx: ctx, seats: seats, now: began}
	for range 6 {
		w.users = append(w.users, ids.Next())
	}
	s := Snapshot{StartsAt: began.Add(time.Duration(rapid.IntRange(15, 60).Draw(t, "starts")) * time.Minute), MaxPerUser: rapid.IntRange(3, 9).Draw(t, "most"), Now: began}
	if rapid.IntRange(0, 7).Draw(t, "room") == 0 {
		s.Room = WaitingRoom{Rate: rapid.IntRange(1, 3).Draw(t, "rate"), Window: time.Minute}
	}
	loaded := rapid.IntRange(0, 15).Draw(t, "loaded") > 0
	for _, hall := range []**Hall{&w.together, &w.apart} {
		made, err := NewHall(ids.Next(), sections)
		must(t, err)
		if *hall = made; loaded {
			must(t, seats.Load(ctx, made, func(context.Context) (Snapshot, error) { return s, nil }))
		}
	}
	return w
}

// check has groups of requests decided, with time, payments and releases between them.
func (w *twins) check() {
	for range rapid.IntRange(1, 8).Draw(w.t, "groups") {
		w.now = w.now.Add(time.Duration(rapid.IntRange(0, 20*60_000).Draw(w.t, "pass")) * time.Millisecond)
		if len(w.made) > 0 {
			w.between(rapid.SampledFrom(w.made).Draw(w.t, "reservation"), rapid.IntRange(0, 5).Draw(w.t, "between"))
		}
		var group []Want
		for range rapid.IntRange(1, 12).Draw(w.t, "size") {
			group = append(group, w.want(group))
		}
		w.decide(group)
		w.compare()
	}
}

// between does something to a reservation of both.
func (w *twins) between(reservation id.ID, what int) {
	payment := ids.Next()
	for _, hall := range []*Hall{w.together, w.apart} {
		r, found, err := w.seats.Get(w.ctx, hall, reservation, w.now)
		must(w.t, err)
		if !found {
			continue
		}
		switch what {
		case 0:
			_, err = w.seats.Release(w.ctx, hall, r.ID, r.UserID, w.now)
		case 1, 2:
			_, err = w.seats.Claim(w.ctx, hall, []ClaimOf{{r.ID, payment}}, w.now)
			if what == 2 && err == nil {
				_, err = w.seats.Settle(w.ctx, hall, []Settlement{{Reservation: r.ID, UserID: r.UserID, Operation: payment, Seats: r.Seats, To: Freed}}, w.now)
			}
		case 3:
			syncAll(w.ctx, w.t, w.seats, hall, nil)
		}
		if err != nil && !errors.Is(err, ErrPaid) && !refused(err, problem.ReservationEnded) && !errors.Is(err, ErrNotLoaded) {
			w.t.Fatal(err)
		}
	}
}

// want is a request for seats by name. Now and then it is one of before, which comes again.
func (w *twins) want(group []Want) Want {
	ofBefore := slices.Concat(w.made, idsOf(group, func(w Want) id.ID { return w.ID }))
	want := Want{ID: ids.Next(), UserID: rapid.SampledFrom(w.users).Draw(w.t, "user"), Account: "ACC1", Now: w.now, HoldFor: hold, Stamp: 7}
	want.Now = want.Now.Add(time.Duration(rapid.IntRange(0, 3).Draw(w.t, "ms")) * time.Millisecond)
	want.Seats = rapid.SliceOfNDistinct(rapid.IntRange(0, w.apart.Size()-1), 1, 4, rapid.ID[int]).Draw(w.t, "seats")
	if rapid.IntRange(0, 9).Draw(w.t, "again") > 0 || len(ofBefore) == 0 {
		return want
	}
	want.ID = rapid.SampledFrom(ofBefore).Draw(w.t, "of before")
	for i := range group {
		if group[i].ID == want.ID {
			again := group[i]
			again.Now = want.Now
			return again
		}
	}
	if r, found, err := w.seats.Get(w.ctx, w.apart, want.ID, w.now); err == nil && found {
		want.UserID, want.Seats = r.UserID, r.Seats
	}
	return want
}

// decide has the group decided in both ways, and expects the same answers.
func (w *twins) decide(group []Want) {
	answers := w.decideTogether(group)
	now := slices.MinFunc(group, func(a, b Want) int { return a.Now.Compare(b.Now) }).Now
	for _, left := range []bool{false, true} {
		for i := range group {
			if (answers[i] == answerAlone) != left {
				continue
			}
			want := group[i]
			want.Now, want.HoldFor = now, want.HoldFor+want.Now.Sub(now)
			var is Reserved
			var err error
			if left {
				is, err = w.single(w.together, want)
			} else {
				is, err = w.together.reservedTogether(&want, answers[i], nil)
			}
			expected, expectedErr := w.single(w.apart, want)
			expected.Reservation.EventID = is.Reservation.EventID
			if fmt.Sprint(err) != fmt.Sprint(expectedErr) || fieldsOf(err) != fieldsOf(expectedErr) || err == nil && !same(is.Reservation, expected.Reservation) || is.Replayed != expected.Replayed {
				w.t.Fatalf("%d of %d, %q: %+v, %v; alone %+v, %v", i, len(group), answers[i], is, err, expected, expectedErr)
			}
			if err == nil && !slices.Contains(w.made, want.ID) {
				w.made = append(w.made, want.ID)
			}
		}
	}
}

// decideTogether returns what the common script answers to each.
func (w *twins) decideTogether(group []Want) []string {
	var wishes []*wish
	for i := range group {
		total, err := w.together.Total(group[i].Seats)
		must(w.t, err)
		want := group[i]
		wishes = append(wishes, newWish(w.ctx, &want, int64(total)))
	}
	w.seats.decide(map[*Hall][]*wish{w.together: wishes})
	var answers []string
	for _, wish := range wishes {
		answers = append(answers, <-wish.answer)
		must(w.t, wish.err)
	}
	return answers
}

// single has a request decided by the single script.
func (w *twins) single(hall *Hall, want Want) (Reserved, error) {
	arguments, err := hall.arguments(&want)
	must(w.t, err)
	for {
		r := replyOf(reserveScript.run(w.ctx, w.seats.client, hall.keys.all(), want.Now, arguments...))
		if outcome := r.text(); outcome != "again" || r.err != nil {
			return hall.reserved(&want, outcome, r)
		}
	}
}

func fieldsOf(err error) string {
	if p, is := errors.AsType[*problem.Problem](err); is {
		return fmt.Sprint(p.Fields, p.RetryAfter)
	}
	return ""
}

// compare expects Redis to have the same of both.
func (w *twins) compare() {
	var dumps [2]string
	for i, hall := range []*Hall{w.together, w.apart} {
		state, err := w.seats.State(w.ctx, hall)
		if errors.Is(err, ErrNotLoaded) {
			dumps[i] = "not loaded"
			continue
		}
		must(w.t, err)
		if len(state.broken) > 0 {
			w.t.Fatalf("the map does not say of %v what the tickets say", state.broken)
		}
		state.Epoch = ""
		for reservation, r := range state.Reservations {
			r.EventID = id.ID{}
			state.Reservations[reservation] = r
		}
		client, k := w.seats.client, hall.keys
		holds, err := client.ZRangeWithScores(w.ctx, k.holds(), 0, -1).Result()
		must(w.t, err)
		marks, err := client.LRange(w.ctx, k.unsynced(), 0, -1).Result()
		must(w.t, err)
		users := usersOf(w.ctx, w.t, w.seats, hall)
		dumps[i] = fmt.Sprint(state, holds, marks, slices.Sorted(maps.Keys(users)), users)
	}
	if dumps[0] != dumps[1] {
		w.t.Fatalf("together\n%s\none after the other\n%s", dumps[0], dumps[1])
	}
}

// TestTogetherAtOnce: whoever asks at once for the same few seats, each seat is one's, each answer is true, and every caller has one.
func TestTogetherAtOnce(t *testing.T) {
	onAllRedises(t, func(t *testing.T, seats *Seats) {
		hall, other := hallOf(t, "A 4x10 500"), hallOf(t, "A 4x10 500")
		load(t, seats, hall, Snapshot{})
		load(t, seats, other, Snapshot{})
		unknown := hallOf(t, "A 1x5 500")
		const callers = 300
		type answer struct {
			hall *Hall
			made Reserved
			err  error
		}
		answers := together(callers, func(k int) answer {
			of := []*Hall{hall, other, unknown}[min(k%5, 2)]
			first := k % (of.Size() - 1)
			made, err := seats.Reserve(t.Context(), of, Want{ID: ids.Next(), UserID: ids.Next(), Account: "ACC1", Seats: []int{first, first + 1}, Now: began, HoldFor: hold, Stamp: 7})
			return answer{of, made, err}
		})
		sold := map[Seat]id.ID{}
		for _, a := range answers {
			switch {
			case a.hall == unknown:
				if !errors.Is(a.err, ErrNotLoaded) {
					t.Errorf("an event that Redis does not know: %v", a.err)
				}
			case a.err == nil:
				for _, seat := range a.made.Reservation.Seats {
					key := Seat{a.hall.Event(), seat}
					if owner, taken := sold[key]; taken {
						t.Errorf("seat %d is %s's and %s's", seat, owner, a.made.Reservation.ID)
					}
					sold[key] = a.made.Reservation.ID
				}
				if r, found, err := seats.Get(t.Context(), a.hall, a.made.Reservation.ID, began); err != nil || !found || !same(r, a.made.Reservation) {
					t.Errorf("%+v, %t, %v; the answer was %+v", r, found, err, a.made.Reservation)
				}
			case !refused(a.err, problem.SeatTaken):
				t.Errorf("%v", a.err)
			}
		}
		for _, of := range []*Hall{hall, other} {
			state, err := seats.State(t.Context(), of)
			must(t, err)
			for seat, owner := range state.Owners {
				if sold[Seat{of.Event(), seat}] != owner {
					t.Errorf("seat %d is %s's, who was told something else", seat, owner)
				}
			}
			if len(state.Owners) < 2 || len(state.broken) > 0 {
				t.Errorf("%+v", state)
			}
		}
	})
}

// TestTogetherIsBounded: no script decides more than so many, of which each has as many seats as there may be, and all are decided.
func TestTogetherIsBounded(t *testing.T) {
	t.Parallel()
	hall := hallOf(t, "A 100x100 1")
	c := &combiner{}
	const requests = 3 * mostTogether
	for i := range requests {
		width := 1
		if i >= 2*mostTogether {
			width = MaxSeatsPerRequest
		}
		c.join(hall, newWish(t.Context(), &Want{Seats: make([]int, width)}, 1))
	}
	taken := 0
	for c.deciding > 0 {
		groups := c.take()
		if len(groups) == 0 { // one of those who decide has nothing to do
			continue
		}
		group, places := groups[hall], 0
		for _, w := range group {
			places += len(w.want.Seats)
		}
		if len(group) < 1 || len(group) > mostTogether || places > mostPlaces {
			t.Errorf("%d requests are decided together, for %d seats", len(group), places)
		}
		taken += len(group)
	}
	if taken != requests || c.deciding != 0 || len(c.lines) > 0 {
		t.Errorf("%d of %d were taken; %d decide", taken, requests, c.deciding)
	}
}

// TestTogetherFullGroups: the largest groups are not too large for a script.
func TestTogetherFullGroups(t *testing.T) {
	onAllRedises(t, func(t *testing.T, seats *Seats) {
		for _, width := range []int{mostPlaces / mostTogether, MaxSeatsPerRequest} {
			hall := hallOf(t, "A 10x1000 1")
			load(t, seats, hall, Snapshot{MaxPerUser: 1000})
			var group []*wish
			for i := range min(mostTogether, mostPlaces/width) {
				want := Want{ID: ids.Next(), UserID: ids.Next(), Account: "ACC1", Now: began, HoldFor: hold, Stamp: 7}
				for n := range width {
					want.Seats = append(want.Seats, (i*width+n)*7) // none beside another
				}
				group = append(group, newWish(t.Context(), &want, int64(width)))
			}
			seats.decide(map[*Hall][]*wish{hall: group})
			for i, w := range group {
				if answer := <-w.answer; answer != answerReserved || w.err != nil {
					t.Fatalf("%d of %d: %q, %v", i, len(group), answer, w.err)
				}
			}
			if state, err := seats.State(t.Context(), hall); err != nil || len(state.Owners) != len(group)*width || len(state.broken) > 0 {
				t.Errorf("%d seats have owners, %v", len(state.Owners), err)
			}
		}
	})
}

// TestTogetherGivesUp: who does not wait any longer is in nobody's way, and who waits behind is decided.
func TestTogetherGivesUp(t *testing.T) {
	onAllRedises(t, func(t *testing.T, seats *Seats) {
		hall := hallOf(t, "A 1x9 500")
		load(t, seats, hall, Snapshot{})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for seat := range 8 {
			if _, err := seats.Reserve(ctx, hall, Want{ID: ids.Next(), UserID: ids.Next(), Account: "ACC1", Seats: []int{seat}, Now: began, HoldFor: hold}); err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}
		reserve(t, seats, hall, wants(t, hall, ids.Next(), "A-1-9"))
	})
}

// hanging has a Redis not answer several requests at once until it is let go.
type hanging struct{ letGo chan struct{} }

func (h hanging) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h hanging) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (h hanging) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		select {
		case <-h.letGo:
			return next(ctx, cmds)
		case <-ctx.Done():
			for _, cmd := range cmds {
				cmd.SetErr(ctx.Err())
			}
			return ctx.Err()
		}
	}
}

// TestTogetherWithoutWhoGaveUp: seats are not held for who gave up while Redis did not answer.
func TestTogetherWithoutWhoGaveUp(t *testing.T) {
	t.Parallel()
	client := connectMini(t)
	defer client.Close() //nolint:errcheck // at the end of the test
	seats, hall := NewSeats(client), hallOf(t, "A 1x9 500")
	load(t, seats, hall, Snapshot{})
	server := hanging{make(chan struct{})}
	client.AddHook(server)
	var asked sync.WaitGroup
	ask := func(ctx context.Context, seat string) <-chan error {
		want, answer := wants(t, hall, ids.Next(), seat), make(chan error, 1)
		asked.Go(func() {
			_, err := seats.Reserve(ctx, hall, want)
			answer <- err
		})
		return answer
	}
	expect := func(deciding, waiting int) {
		t.Helper()
		eventually(t, func() bool {
			seats.combiner.mu.Lock()
			defer seats.combiner.mu.Unlock()
			return seats.combiner.deciding == deciding && seats.combiner.waiting == waiting
		})
	}
	first := ask(t.Context(), "A-1-1")
	expect(1, 0)
	ctx, giveUp := context.WithCancel(t.Context())
	gone := ask(ctx, "A-1-2")
	expect(1, 1)
	giveUp()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	again := ask(t.Context(), "A-1-2")
	expect(1, 2)
	close(server.letGo)
	asked.Wait()
	if err := errors.Join(<-first, <-again); err != nil {
		t.Error(err)
	}
	wantMap(t, seats, hall, "hh.......")
	expect(0, 0)
}

// TestTogetherInTime: while Redis hangs, everybody is answered in time, however many there are.
func TestTogetherInTime(t *testing.T) {
	t.Parallel()
	hall := hallOf(t, "A 20x100 500")
	synctest.Test(t, func(t *testing.T) {
		client := redis.NewClient(&redis.Options{})
		defer client.Close() //nolint:errcheck // at the end of the test
		client.AddHook(hanging{make(chan struct{})})
		seats := NewSeats(client)
		var asked sync.WaitGroup
		for seat := range hall.Size() {
			asked.Go(func() {
				came := time.Now()
				_, err := seats.Reserve(t.Context(), hall, Want{ID: ids.Next(), UserID: ids.Next(), Account: "ACC1", Seats: []int{seat}, Now: began, HoldFor: hold, Stamp: 7})
				if took := time.Since(came); !errors.Is(err, context.DeadlineExceeded) || took > togetherPatience {
					t.Errorf("%v after %s", err, took)
				}
			})
			time.Sleep(5 * time.Millisecond) //nolint:forbidigo // the clock of this bubble is not that of the machine
		}
		asked.Wait()
	})
}
