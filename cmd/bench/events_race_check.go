package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// claims are those of all racers.
func (r *race) claims() []*claim {
	var all []*claim
	for _, c := range r.racers {
		all = append(all, c.claims...)
	}
	return all
}

func (r *race) count(claims []*claim) {
	r.made += len(claims)
	for _, c := range claims {
		if c.released() {
			r.released++
		}
	}
}

func seatKey(event, seat string) string { return event + " " + seat }

// oversell counts a seat that two have or had.
func (r *race) oversell(event, seat, why string) {
	if key := seatKey(event, seat); !r.oversold[key] {
		r.oversold[key] = true
		progress("  OVERSOLD: seat %s of event %s: %s", seat, event, why)
	}
}

// compare holds the answers against each other: a reservation was alive from its answer until its release was asked for, at least, and two that were alive at once
// must not share a seat.
func (r *race) compare(at hall, claims []*claim) {
	bySeat := map[string][]*claim{}
	for _, c := range claims {
		for _, seat := range c.seats {
			bySeat[seat] = append(bySeat[seat], c)
		}
	}
	for seat, list := range bySeat {
		slices.SortFunc(list, func(a, b *claim) int { return a.from.Compare(b.from) })
		last := list[0] // of those so far, the one that was alive for the longest
		for _, c := range list[1:] {
			if !last.released() || last.until.After(c.from) {
				r.oversell(at.event, seat, "reservations "+last.id+" and "+c.id)
			}
			if last.released() && (!c.released() || c.until.After(last.until)) {
				last = c
			}
		}
	}
}

// seatMap is what the race reads of the map of a hall.
type seatMap struct {
	Sections []struct {
		Name string   `json:"name"`
		Rows []string `json:"rows"`
	} `json:"sections"`
}

// seats are the states by the names of the seats.
func (m seatMap) seats() map[string]byte {
	states := map[string]byte{}
	for _, section := range m.Sections {
		for r, row := range section.Rows {
			for s := range len(row) {
				states[section.Name+"-"+strconv.Itoa(r+1)+"-"+strconv.Itoa(s+1)] = row[s]
			}
		}
	}
	return states
}

// checkMap holds the map against the answers, until they agree or patience is at its end. In a round without trouble it has to show exactly what was answered;
// after a crash there may also be seats that were taken for somebody who could not be told any more.
func (r *race) checkMap(ctx context.Context, at hall, state byte, trouble bool) error {
	const interval = 100 * time.Millisecond
	claimed := r.standing()
	for end := time.Now().Add(r.patience); ; waitUntil(ctx, time.Now().Add(interval), nil) {
		states, err := r.readMap(ctx, at)
		if err != nil {
			return err
		}
		wrong, unclaimed := differences(states, claimed, state)
		if time.Now().Before(end) && (len(wrong) > 0 || unclaimed > 0 && !trouble) && ctx.Err() == nil {
			continue
		}
		for _, seat := range wrong {
			claimed[seat].lose("of which the map says %q", states[seat])
		}
		if state == 'h' {
			r.unclaimed += unclaimed
		}
		if unclaimed > 0 && !trouble {
			return errors.Join(ctx.Err(), fmt.Errorf("%d seats of event %s are taken, and nobody was told", unclaimed, at.event))
		}
		return ctx.Err()
	}
}

// standing are the claims that were not let go of, by seat.
func (r *race) standing() map[string]*claim {
	claimed := map[string]*claim{}
	for _, c := range r.claims() {
		if c.released() {
			continue
		}
		for _, seat := range c.seats {
			claimed[seat] = c
		}
	}
	return claimed
}

func (r *race) readMap(ctx context.Context, at hall) (map[string]byte, error) {
	var m seatMap
	err := r.patiently(ctx, func() (int, error) {
		m = seatMap{}
		return r.house.call(ctx, http.MethodGet, "/v1/events/"+at.event+"/seats", r.admin.token, nil, &m)
	})
	states := m.seats()
	if err == nil && len(states) != at.seats() {
		err = fmt.Errorf("the map has %d seats, and not %d", len(states), at.seats())
	}
	return states, err
}

// differences are the claimed seats that the map does not show in the state, unless they are known to be missing, and how many it shows as taken that nobody claims.
func differences(states map[string]byte, claimed map[string]*claim, state byte) (wrong []string, unclaimed int) {
	for seat, found := range states {
		switch mine := claimed[seat]; {
		case mine != nil && !mine.missing && found != state:
			wrong = append(wrong, seat)
		case mine == nil && found != '.':
			unclaimed++
		}
	}
	return wrong, unclaimed
}

// checkPaid ends a round: what was paid has tickets of its own, and no seat was paid twice.
func (r *race) checkPaid(at hall, claims []*claim) {
	for _, c := range claims {
		switch {
		case c.missing:
			r.missing++
			continue
		case c.released():
			continue
		}
		r.paid++
		for i, seat := range c.seats {
			key := seatKey(at.event, seat)
			if other, taken := r.sold[key]; taken {
				r.oversell(at.event, seat, "reservations "+other+" and "+c.id+" are both paid")
			}
			r.sold[key] = c.id
			if other, taken := r.codes[c.tickets[i]]; taken {
				r.oversell(at.event, seat, "reservations "+other+" and "+c.id+" have the same ticket")
			}
			r.codes[c.tickets[i]] = c.id
		}
	}
}

// raceTicket is what the race reads of a ticket.
type raceTicket struct {
	Code, Event, Seat, Status, Reservation string
}

// checkTickets reads the tickets of all racers: one for each seat that was paid, and none else.
func (r *race) checkTickets(ctx context.Context) error {
	tickets := map[string]raceTicket{}
	for _, c := range r.racers {
		err := r.eachTicket(ctx, c.person, func(t raceTicket) {
			key := seatKey(t.Event, t.Seat)
			if other, twice := tickets[key]; twice {
				r.oversell(t.Event, t.Seat, "tickets "+other.Code+" and "+t.Code)
			}
			if r.sold[key] != t.Reservation {
				r.oversell(t.Event, t.Seat, "ticket "+t.Code+" is of reservation "+t.Reservation+", and "+r.sold[key]+" was paid")
			}
			tickets[key] = t
		})
		if err != nil {
			return fmt.Errorf("tickets of %s: %w", c.person.username, err)
		}
	}
	for key, reservation := range r.sold {
		if _, there := tickets[key]; !there {
			r.missing++
			progress("  MISSING: the ticket for seat %s of reservation %s", key, reservation)
		}
	}
	return nil
}

// eachTicket visits a person's valid tickets.
func (r *race) eachTicket(ctx context.Context, p *person, visit func(raceTicket)) error {
	for cursor := ""; ; {
		path := "/v1/tickets?limit=200"
		if cursor != "" {
			path += "&cursor=" + url.QueryEscape(cursor)
		}
		var page struct {
			Items []raceTicket `json:"items"`
			Next  *string      `json:"next_cursor"`
		}
		if err := r.patiently(ctx, func() (int, error) { return r.house.call(ctx, http.MethodGet, path, p.token, nil, &page) }); err != nil {
			return err
		}
		for _, t := range page.Items {
			if t.Status == "valid" {
				visit(t)
			}
		}
		if page.Next == nil {
			return nil
		}
		cursor = *page.Next
	}
}

// patiently asks until it is answered by something else than 503: Redis has just been killed.
func (*race) patiently(ctx context.Context, ask func() (status int, err error)) error {
	const interval = 200 * time.Millisecond
	for end := time.Now().Add(raceTimeout / 2); ; waitUntil(ctx, time.Now().Add(interval), nil) {
		status, err := ask()
		if status != http.StatusServiceUnavailable {
			return err
		}
		if ctx.Err() != nil || time.Now().After(end) {
			return errors.Join(err, ctx.Err())
		}
	}
}
