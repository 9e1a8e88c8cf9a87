package main

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// Somebody who has just come can buy seats at the event that is printed, two of which are sold; and a second start announces none, and sells none twice.
func TestDemoEvents(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		p, printed := h.startDemo()
		type listed struct{ ID, Name string }
		c := p.user(t)
		c.deposit(100_000)
		announced := allOf[listed](c, "/v1/events?limit=50")
		if len(announced) != 1 {
			t.Fatalf("%+v", announced)
		}
		b := &boxOffice{process: p, TB: t, admin: c, event: announced[0].ID}
		printed.shows(t, b.event+" +"+announced[0].Name)
		row, free := strings.Repeat(".", 9)+"ss"+strings.Repeat(".", 9), strings.Repeat(".", 20)
		rows := append([]string{row, free, free, free, free}, slices.Repeat([]string{strings.Repeat(".", 24)}, 10)...)
		b.eventuallyShows(rows...)
		b.ask(c, demoSeats...).problem(t, http.StatusConflict, "seat_taken")
		c.paid(b.reserve(c, "A-5-1"))
		rows[4] = "s" + free[1:]
		b.eventuallyShows(rows...)
		if status := p.stop(); status != 0 {
			t.Errorf("exit status %d", status)
		}
		again, _ := h.startDemo()
		b.process, b.admin = again, c.at(again)
		if after := allOf[listed](b.admin, "/v1/events?limit=50"); len(after) != 1 || after[0] != announced[0] {
			t.Errorf("before %+v, after %+v", announced, after)
		}
		b.eventuallyShows(rows...)
		h.audit()
	})
}
