package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"time"
)

const (
	// raceTimeout is how long one step of a round may take, with Redis away in between.
	raceTimeout = time.Minute
	// raceAttempts are the requests of a racer in one round; the first few are for what he wishes, the others for any one seat.
	raceAttempts = 12
	raceWishes   = 4
	// releaseShare is which part of what is won is let go of at once: one in so many.
	releaseShare = 8
)

// A racer is one user: a connection, and what they have of the event of this round.
type racer struct {
	race        *race
	person      *person
	wire        *wire
	pen, payPen *pen
	index       int
	rng         *rand.Rand
	claims      []*claim
	refused     int
}

// A claim is a reservation that was answered 201.
type claim struct {
	id      string
	owner   string
	seats   []string
	from    time.Time // it was alive then: the answer was here
	until   time.Time // and until then: its release was asked for. Zero: it was not
	missing bool
	tickets []string // once it is paid
}

func (c *claim) released() bool { return !c.until.IsZero() }

// reservationAnswer is what the race reads of a reservation.
type reservationAnswer struct {
	ID      string   `json:"id"`
	Seats   []string `json:"seats"`
	Status  string   `json:"status"`
	Tickets []string `json:"tickets"`
}

// compete asks for seats until there are none, or no more for this user.
func (c *racer) compete(ctx context.Context, at hall, f *fuse) error {
	c.claims = nil
	for attempt := range raceAttempts {
		body, single := c.wish(at, attempt)
		sent := time.Now()
		answer, again, err := c.ask(ctx, c.pen, http.MethodPost, at.path, body)
		if err != nil {
			return err
		}
		if !again {
			c.race.times.record(c.index, time.Since(sent))
		}
		switch {
		case answer.status == http.StatusCreated:
			f.tick()
			if err := c.won(ctx, answer); err != nil {
				return err
			}
		case conflict(answer, "seat_limit") || single && conflict(answer, "sold_out"):
			return nil
		case !conflict(answer, "seat_taken") && !conflict(answer, "no_adjacent_seats") && !conflict(answer, "sold_out"):
			return unexpected(answer)
		}
	}
	return nil
}

// wish is the body of a request for one to three seats, by name or any; single: for any one.
func (c *racer) wish(at hall, attempt int) (body string, single bool) {
	n := 1 + c.rng.IntN(3)
	if attempt >= raceWishes {
		n = 1
	}
	if attempt >= raceWishes || c.rng.IntN(2) == 0 {
		return `{"quantity":` + strconv.Itoa(n) + `}`, n == 1
	}
	var names []string
	for len(names) < n {
		if name := at.seat(c.rng.IntN(at.seats())); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return seatsBody(names...), false
}

// won remembers what was answered, and lets go of some of it.
func (c *racer) won(ctx context.Context, answer reply) error {
	from := time.Now()
	var got reservationAnswer
	if err := json.Unmarshal(answer.body, &got); err != nil {
		return err
	}
	if got.ID == "" || len(got.Seats) == 0 || got.Status != "held" {
		return unexpected(answer)
	}
	mine := &claim{id: got.ID, owner: c.person.username, seats: got.Seats, from: from}
	c.claims = append(c.claims, mine)
	if c.rng.IntN(releaseShare) > 0 {
		return nil
	}
	mine.until = time.Now()
	answer, again, err := c.ask(ctx, c.pen, http.MethodDelete, "/v1/reservations/"+mine.id, "")
	if err != nil {
		return err
	}
	if answer.status == http.StatusNotFound {
		mine.lose("was unknown when it was let go of")
		return nil
	}
	// Of two requests the first may have been heard, and its answer lost.
	if answer.status != http.StatusOK && (!again || !conflict(answer, "reservation_ended")) {
		return unexpected(answer)
	}
	return nil
}

// confirm asks for everything that this user should have; what is not there, or not with these seats, is missing. What is being paid is waited for.
func (c *racer) confirm(ctx context.Context, status string) error {
	for _, mine := range c.claims {
		if mine.released() || mine.missing {
			continue
		}
		got, err := c.look(ctx, mine, status)
		if err != nil {
			return err
		}
		switch {
		case got.Status != status || !sameSeats(got.Seats, mine.seats) || status == "paid" && len(got.Tickets) != len(mine.seats):
			mine.lose("is %s, seats %v, tickets %v, and not %s", got.Status, got.Seats, got.Tickets, status)
		default:
			mine.tickets = got.Tickets
		}
	}
	return nil
}

// look reads a reservation; while it is held and is to be paid it looks again. One that is unknown has no status.
func (c *racer) look(ctx context.Context, mine *claim, status string) (got reservationAnswer, err error) {
	const interval = 50 * time.Millisecond
	for end := time.Now().Add(raceTimeout / 2); ; waitUntil(ctx, time.Now().Add(interval), nil) {
		answer, _, err := c.ask(ctx, c.pen, http.MethodGet, "/v1/reservations/"+mine.id, "")
		if err != nil {
			return got, err
		}
		switch answer.status {
		case http.StatusNotFound:
			return reservationAnswer{}, nil
		case http.StatusOK:
			got = reservationAnswer{}
			if err := json.Unmarshal(answer.body, &got); err != nil {
				return got, err
			}
		default:
			return got, unexpected(answer)
		}
		if got.Status != "held" || status == "held" || time.Now().After(end) {
			return got, ctx.Err()
		}
	}
}

// lose counts a reservation that was answered 201 and is not what it should be.
func (c *claim) lose(format string, args ...any) {
	c.missing = true
	progress("  MISSING: reservation %s of %s, seats %v, %s", c.id, c.owner, c.seats, fmt.Sprintf(format, args...))
}

// pay pays everything that this user has.
func (c *racer) pay(ctx context.Context, f *fuse) error {
	for _, mine := range c.claims {
		if mine.released() || mine.missing {
			continue
		}
		answer, again, err := c.ask(ctx, c.payPen, http.MethodPost, paymentPath(mine.id), "")
		if err != nil {
			return err
		}
		f.tick()
		if answer.status == http.StatusAccepted {
			continue // it takes longer than one may wait: whoever looks afterwards waits for it
		}
		var o struct {
			Status  string
			Problem *struct{ Code string }
		}
		if err := json.Unmarshal(answer.body, &o); err != nil || answer.status != http.StatusOK {
			return errors.Join(err, unexpected(answer))
		}
		// Of two requests the first may have been heard, and its answer lost.
		paid := o.Status == "succeeded" || again && o.Problem != nil && o.Problem.Code == "reservation_not_held"
		if !paid {
			mine.lose("cannot be paid: %s", answer.body)
		}
	}
	return nil
}

// ask sends a request until it is answered by something else than 503, and says whether it had to send it again.
func (c *racer) ask(ctx context.Context, p *pen, method, path, body string) (answer reply, again bool, err error) {
	for ; ; again = true {
		answer, err = c.wire.roundTrip(p.write(method, path, body))
		if err != nil || answer.status != http.StatusServiceUnavailable {
			return answer, again, err
		}
		if answer.retryAfter < 0 {
			return answer, again, unexpected(answer)
		}
		c.refused++
		waitUntil(ctx, time.Now().Add(answer.retryAfter), nil)
		if ctx.Err() != nil {
			return answer, again, ctx.Err()
		}
	}
}

func sameSeats(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}
