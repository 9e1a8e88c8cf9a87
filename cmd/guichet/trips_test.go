package main

import (
	"fmt"
	"net/http"
	"reflect"
	"testing"
	"time"
)

// The flow of the ticket counter: ask, hear the price, confirm, have the tickets; and get the money back.
func TestTripsFlow(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		c := h.openCounter()
		alps := c.admin.offer(tripIn(1000*time.Hour, class("couchette", 4900, 120), class("seat", 1900, 400)))
		if alps.Status != "open" || alps.RefundBps != 10_000 || alps.RefundMinutes != 0 || !reflect.DeepEqual(alps.Classes, []tripClass{{"couchette", 4900, 120, 120}, {"seat", 1900, 400, 400}}) {
			t.Errorf("%+v", alps)
		}
		ada, grace := c.customerWith(10_000), c.customerWith(10_000)
		hers := ada.follow("").ready()

		asked := ada.ask(alps.ID, "seat", 2)
		if asked.Trip != alps.ID || asked.Class != "seat" || asked.Quantity != 2 || asked.Price != 1900 || asked.Total != 3800 {
			t.Errorf("%+v", asked)
		}
		if left := asked.ExpiresAt.Sub(asked.CreatedAt); left != 10*time.Minute {
			t.Errorf("held for %v", left)
		}
		ada.has(10_000, 0)
		if got := ada.trip(alps.ID).Classes[1].Available; got != 398 {
			t.Errorf("%d are left", got)
		}
		grace.get("/v1/purchases/"+asked.ID).problem(t, http.StatusNotFound, "unknown_purchase")
		grace.post("/v1/purchases/"+asked.ID+"/confirmation", nil).problem(t, http.StatusNotFound, "unknown_purchase")
		grace.do(http.MethodDelete, "/v1/purchases/"+asked.ID, nil).problem(t, http.StatusNotFound, "unknown_purchase")

		confirmed := ada.confirm(asked.ID)
		paid := confirmed.got(ada, "paid")
		ada.has(10_000-3800, 0)
		if read := ada.purchase(asked.ID); !reflect.DeepEqual(read, paid) || read.ID != asked.ID {
			t.Errorf("read %+v, told %+v", read, paid)
		}
		if line := ada.statement(50, nothing)[0]; line.Kind != "purchase" || line.Amount != -3800 || line.Counterparty != "trips" || line.Reference == nil || *line.Reference != asked.ID {
			t.Errorf("%+v", line)
		}
		ada.confirm(asked.ID).refused(t, "purchase_not_held")
		hers.finished(confirmed.ID)

		refund := ada.giveBack(asked.ID)
		if back := refund.got(ada, "refunded"); back.Refunded != 3800 {
			t.Errorf("%+v", back)
		}
		ada.has(10_000, 0)
		if line := ada.statement(50, nothing)[0]; line.Kind != "refund" || line.Amount != 3800 || line.Counterparty != "trips" || *line.Reference != asked.ID {
			t.Errorf("%+v", line)
		}
		ada.giveBack(asked.ID).refused(t, "purchase_ended")
		ada.confirm(asked.ID).refused(t, "purchase_not_held")

		// In one step.
		couchette := grace.buyNow(alps.ID, "couchette", 1)
		grace.has(10_000-4900, 0)
		if couchette.Tickets[0] == paid.Tickets[0] || paid.Tickets[0] == paid.Tickets[1] {
			t.Error("two tickets have one code")
		}
		// Let go.
		second := grace.ask(alps.ID, "couchette", 3)
		given := grace.giveBack(second.ID)
		given.got(grace, "cancelled")
		grace.confirm(second.ID).refused(t, "purchase_not_held")
		grace.giveBack(second.ID).refused(t, "purchase_ended")
		if after := grace.trip(alps.ID); after.Classes[0].Available != 119 || after.Classes[1].Available != 400 {
			t.Errorf("%+v", after)
		}
		if got := h.takings(); got != 4900 {
			t.Errorf("the house has taken %d", got)
		}
		h.audit()
	})
}

// Tickets that are not confirmed in time are everybody's again, and their owner is told.
func TestTripsExpiry(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		c := h.openCounter()
		seats := c.admin.offerSeats(100, 5)
		ada, grace := c.customerWith(1000), c.customerWith(1000)
		second, hers := ada.ask(seats.ID, "seat", 2), grace.ask(seats.ID, "seat", 3)
		grace.turnedDown(tickets(seats.ID, "seat", 1), "not_enough_stock")
		given := grace.giveBack(hers.ID)
		given.got(grace, "cancelled")
		if status := c.stop(); status != 0 {
			t.Errorf("exit status %d", status)
		}
		c = h.openCounter("GUICHET_HOLD=1s") // from here on: what is held already stays so, however slow the machine is
		ada, grace = ada.at(c.process), grace.at(c.process)
		feed, other := ada.follow("").ready(), grace.follow("").ready()
		first := ada.ask(seats.ID, "seat", 3)
		paid := ada.confirm(second.ID)
		paid.got(ada, "paid")

		told := feed.until(func(e feedEntry) bool { return e.Event == "purchase.expired" })
		expired := decode[purchase](t, told[len(told)-1]).is(t, "expired")
		if expired.ID != first.ID || time.Since(*first.ExpiresAt) < 0 {
			t.Errorf("%+v", expired)
		}
		if read := ada.purchase(first.ID); !reflect.DeepEqual(read, expired) {
			t.Errorf("told %+v, read %+v", expired, read)
		}
		if got := ada.available(seats.ID); got != 3 {
			t.Errorf("%d are left", got)
		}
		ada.confirm(first.ID).refused(t, "purchase_expired")
		ada.giveBack(first.ID).refused(t, "purchase_ended")
		ada.purchase(second.ID).is(t, "paid")
		grace.buyNow(seats.ID, "seat", 3)
		for _, e := range other.entriesSoFar() {
			if e.Event == "purchase.expired" {
				t.Errorf("somebody else is told: %s", e.Text)
			}
		}

		// On time, executed or not: while the lane is paused nothing expires, and nothing that is over can be paid.
		c.admin.changeTrip(seats.ID, terms{"classes": []terms{{"name": "seat", "stock": 6}}})
		var third purchase
		for {
			third = ada.ask(seats.ID, "seat", 1)
			c.admin.pauseLane("trips", true)
			if time.Now().Before(*third.ExpiresAt) {
				break
			}
			c.admin.pauseLane("trips", false) // too late: it may have expired
			feed.until(func(e feedEntry) bool { return e.Event == "purchase.expired" })
		}
		confirmation := ada.post("/v1/purchases/"+third.ID+"/confirmation", nil).operation(t, http.StatusAccepted)
		eventually(t, "the time to be over", func() error {
			if left := time.Until(*third.ExpiresAt); left > -100*time.Millisecond {
				return fmt.Errorf("%v left", left)
			}
			return nil
		})
		ada.purchase(third.ID).is(t, "held")
		c.admin.pauseLane("trips", false)
		if o := ada.get("/v1/operations/"+confirmation.ID+"?wait=30").operation(t, http.StatusOK); o.Status != "rejected" || o.Problem.Code != "purchase_expired" {
			t.Errorf("%+v", o)
		}
		feed.until(func(e feedEntry) bool { return e.Event == "purchase.expired" })
		ada.purchase(third.ID).is(t, "expired")
		if got := ada.available(seats.ID); got != 1 {
			t.Errorf("%d are left", got)
		}
		h.audit()
	})
}
