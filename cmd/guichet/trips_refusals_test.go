package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Each refusal comes before those after it: a purchase that is wrong in every way is mended step by step, and changes nothing until nothing is wrong.
func TestTripsOrderOfTheChecks(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		c := h.openCounter()
		seats := c.admin.offerSeats(100, 3)
		soon := c.admin.offerSoon(1500*time.Millisecond, class("seat", 1, 1))
		ada := c.customerWith(250)
		ada.ask(seats.ID, "seat", 1)
		c.admin.changeTrip(seats.ID, terms{"status": "closed"})
		if got := ada.trip(seats.ID).Status; got != "closed" {
			t.Errorf("it is %s", got)
		}
		eventually(t, "departure", func() error {
			if got := ada.trip(soon.ID).Status; got != "departed" {
				return fmt.Errorf("it is %s", got)
			}
			return nil
		})
		wrong := tickets("nowhere", "none", 0).with("confirm", true)
		known := wrong.with("trip", seats.ID)
		before := ada.tripState(seats.ID)
		for _, step := range []struct {
			request terms
			code    string
		}{
			{wrong, "unknown_trip"},
			{wrong.with("trip", "0199b2c4-8a10-7000-8000-3f2a9c51d600"), "unknown_trip"},
			{known, "unknown_class"},
			{known.with("class", "Seat"), "unknown_class"},
			{known.with("class", "seat"), "invalid_quantity"},
			{known.with("class", "seat").with("quantity", 101), "invalid_quantity"},
			{known.with("class", "seat").with("quantity", -1), "invalid_quantity"},
			{known.with("class", "seat").with("quantity", int64(9_223_372_036_854_775_807)), "invalid_quantity"},
			{known.with("class", "seat").with("quantity", 100), "trip_closed"},
			{tickets(soon.ID, "seat", 100), "departed"},
		} {
			ada.turnedDown(step.request, step.code)
		}
		if after := ada.tripState(seats.ID); after != before {
			t.Errorf("something has changed:\n%s\nbefore:\n%s", after, before)
		}
		if got := c.admin.changeTrip(seats.ID, terms{"status": "open"}).Status; got != "open" {
			t.Errorf("it is %s", got)
		}
		before = ada.tripState(seats.ID)
		ada.turnedDown(tickets(seats.ID, "seat", 3).with("confirm", true), "not_enough_stock")
		c.admin.changeTrip(seats.ID, terms{"classes": []terms{class("seat", 126, 3)}})
		ada.turnedDown(tickets(seats.ID, "seat", 2).with("confirm", true), "insufficient_funds")
		c.admin.changeTrip(seats.ID, terms{"classes": []terms{class("seat", 100, 3)}})
		if after := ada.tripState(seats.ID); after != before {
			t.Errorf("something has changed:\n%s\nbefore:\n%s", after, before)
		}
		ada.buyNow(seats.ID, "seat", 2)
		for _, text := range []string{"1.5", `"1"`, "null", "1e1", "9223372036854775808", "[]"} {
			ada.post("/v1/purchases", fmt.Sprintf(`{"trip":%q,"class":"seat","quantity":%s}`, seats.ID, text)).expect(t, http.StatusUnprocessableEntity)
		}
		h.audit()
	})
}

// What ends a purchase, and what it may not end in any more.
func TestTripsConfirmationsAndRefunds(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		c := h.openCounter()
		ada := c.customerWith(1000)
		seats := c.admin.offerSeats(400, 10)

		// What cannot be paid stays held.
		dear := ada.ask(seats.ID, "seat", 3)
		ada.confirm(dear.ID).refused(t, "insufficient_funds")
		ada.purchase(dear.ID).is(t, "held")
		ada.deposit(200)
		paid := ada.confirm(dear.ID)
		paid.got(ada, "paid")
		ada.has(0, 0)

		// The rule is the trip's: until so long before, so much, half up.
		c.admin.changeTrip(seats.ID, terms{"refund_bps": 3333, "refund_minutes": 525_600})
		keeps := func() {
			t.Helper()
			before := ada.tripState(seats.ID)
			ada.giveBack(dear.ID).refused(t, "refund_closed")
			if after := ada.tripState(seats.ID); after != before {
				t.Errorf("something has changed:\n%s\nbefore:\n%s", after, before)
			}
		}
		keeps() // it departs within a year
		c.admin.changeTrip(seats.ID, terms{"refund_bps": 0, "refund_minutes": 0})
		keeps()
		c.admin.changeTrip(seats.ID, terms{"refund_bps": 3333})
		refund := ada.giveBack(dear.ID)
		if back := refund.got(ada, "refunded"); back.Refunded != 400 { // 399.96
			t.Errorf("%+v", back)
		}
		ada.has(400, 0)
		if got := ada.available(seats.ID); got != 10 {
			t.Errorf("%d are left", got)
		}

		// Of a trip that has departed nothing is paid or refunded; what is held can be let go.
		held := ada.ask(seats.ID, "seat", 1)
		bought := ada.buyNow(seats.ID, "seat", 1)
		c.admin.changeTrip(seats.ID, terms{"departs_at": "2020-01-01T00:00:00+01:00", "status": "closed"})
		if got := ada.trip(seats.ID); got.Status != "departed" || !got.DepartsAt.Equal(time.Date(2019, 12, 31, 23, 0, 0, 0, time.UTC)) {
			t.Errorf("%+v", got)
		}
		ada.confirm(held.ID).refused(t, "departed")
		ada.giveBack(bought.ID).refused(t, "departed")
		given := ada.giveBack(held.ID)
		given.got(ada, "cancelled")

		// A closed trip's held tickets can still be paid; free ones cost nothing.
		free := c.admin.offerSeats(0, 5)
		nothing := ada.ask(free.ID, "seat", 5)
		c.admin.changeTrip(free.ID, terms{"status": "closed"})
		confirmed := ada.confirm(nothing.ID)
		confirmed.got(ada, "paid")
		ada.turnedDown(tickets(free.ID, "seat", 1), "trip_closed")
		for _, id := range []string{"x", "0199b2c4-8a10-7000-8000-3f2a9c51d600", free.ID} {
			ada.get("/v1/purchases/"+id).problem(t, http.StatusNotFound, "unknown_purchase")
			ada.post("/v1/purchases/"+id+"/confirmation", nil).problem(t, http.StatusNotFound, "unknown_purchase")
			ada.do(http.MethodDelete, "/v1/purchases/"+id, nil).problem(t, http.StatusNotFound, "unknown_purchase")
		}
		h.audit()
	})
}

// What the admin does beside the queue is seen by what is executed after it; what is held or paid keeps its price.
func TestTripsAdmin(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		c := h.openCounter()
		ada := c.customerWith(10_000)
		seats := c.admin.offer(tripIn(1000*time.Hour, class("seat", 100, 10), class("Cafe\u0301 \"bed\"", 7, 2)).with("refund_bps", 5000).with("refund_minutes", 60))
		if seats.RefundBps != 5000 || seats.RefundMinutes != 60 || seats.Classes[1].Name != "Café \"bed\"" {
			t.Errorf("%+v", seats)
		}
		held := ada.ask(seats.ID, "seat", 2)
		ada.buyNow(seats.ID, "seat", 3)
		ada.buyNow(seats.ID, "Cafe\u0301 \"bed\"", 1)
		inUse := func(stock int64) answer {
			return c.admin.do(http.MethodPatch, "/v1/trips/"+seats.ID, terms{"name": "Lost", "classes": []terms{{"name": "seat", "stock": stock}}})
		}
		inUse(4).problem(t, http.StatusConflict, "stock_in_use")
		inUse(0).problem(t, http.StatusConflict, "stock_in_use")
		if got := ada.trip(seats.ID); got.Name != "Night train" || got.Classes[0] != (tripClass{"seat", 100, 10, 5}) {
			t.Errorf("a refusal has left a trace: %+v", got)
		}
		changed := c.admin.changeTrip(seats.ID, terms{"classes": []terms{class("seat", 900, 5), class("deck", 1, 7)}})
		if changed.Classes[0] != (tripClass{"seat", 900, 5, 0}) || changed.Classes[2] != (tripClass{"deck", 1, 7, 7}) || len(changed.Classes) != 3 {
			t.Errorf("%+v", changed)
		}
		ada.turnedDown(tickets(seats.ID, "seat", 1), "not_enough_stock")
		confirmed := ada.confirm(held.ID)
		if paid := confirmed.got(ada, "paid"); paid.Price != 100 || paid.Total != 200 {
			t.Errorf("%+v", paid)
		}
		ada.has(10_000-200-300-7, 0)

		invalid := func(method, path string, body any, pointers ...string) {
			t.Helper()
			a := c.admin.do(method, path, body)
			a.problem(t, http.StatusUnprocessableEntity, "invalid")
			var told struct{ Errors []struct{ Pointer string } }
			check(t, json.Unmarshal(a.body, &told))
			var got []string
			for _, e := range told.Errors {
				got = append(got, e.Pointer)
			}
			if fmt.Sprint(got) != fmt.Sprint(pointers) {
				t.Errorf("%v: %v, want %v", body, got, pointers)
			}
		}
		good := tripIn(time.Hour, class("a", 0, 0))
		const post, all = http.MethodPost, "/v1/trips"
		invalid(post, all, good.with("classes", []terms{class("a", 1, 1), class("b", 1, 1), class("a", 2, 2)}), "/classes/2/name")
		invalid(post, all, good.with("classes", []terms{class("é", 1, 1), class("e\u0301", 1, 1)}), "/classes/1/name")
		invalid(post, all, good.with("departs_at", time.Now().UTC().Add(-time.Second)), "/departs_at")
		invalid(post, all, good.with("departs_at", "9999-12-31T23:59:59-01:00"), "/departs_at")
		for _, name := range []string{" a", "a ", "a\u200bb", "a\nb", "\u202ea", "a\u00a0"} {
			invalid(post, all, good.with("name", name).with("classes", []terms{class(name, 1, 1)}), "/name", "/classes/0/name")
		}
		for _, body := range []terms{
			good.with("name", ""), good.with("name", strings.Repeat("x", 121)), good.with("classes", []terms{}), good.with("refund_bps", 10_001), good.with("refund_bps", -1), good.with("refund_minutes", 525_601),
			good.with("classes", []terms{class(strings.Repeat("x", 41), 1, 1)}), good.with("classes", []terms{class("a", -1, 1)}), good.with("classes", []terms{class("a", 1, -1)}),
			good.with("classes", []terms{class("a", 10_000_000_000_001, 1)}), good.with("classes", []terms{class("a", 1, 1_000_000_001)}), good.with("status", "open"),
		} {
			c.admin.post(all, body).problem(t, http.StatusUnprocessableEntity, "invalid")
		}
		c.admin.offer(tripIn(time.Hour, class(strings.Repeat("ä", 40), 10_000_000_000_000, 1_000_000_000)).with("name", strings.Repeat("座", 120)).with("refund_bps", 0).with("refund_minutes", 525_600))
		const patch = http.MethodPatch
		this := "/v1/trips/" + seats.ID
		invalid(patch, this, terms{"classes": []terms{{"name": "seat", "stock": 0}, {"name": "new", "price": 1}}}, "/classes/1/stock")
		invalid(patch, this, terms{"classes": []terms{{"name": "new", "stock": 1}, {"name": "new", "price": 1}}}, "/classes/1/name")
		invalid(patch, this, terms{"name": "x "}, "/name")
		many := make([]terms, 18)
		for i := range many {
			many[i] = class(fmt.Sprint("class ", i), 1, 1)
		}
		invalid(patch, this, terms{"classes": many}, "/classes")
		c.admin.changeTrip(seats.ID, terms{"classes": many[:17]})
		c.admin.do(patch, this, terms{}).problem(t, http.StatusUnprocessableEntity, "invalid")
		c.admin.do(patch, this, terms{"status": "departed"}).problem(t, http.StatusUnprocessableEntity, "invalid")
		for _, id := range []string{"x", held.ID} {
			c.admin.do(patch, "/v1/trips/"+id, terms{"name": "x"}).problem(t, http.StatusNotFound, "unknown_trip")
			ada.get("/v1/trips/"+id).problem(t, http.StatusNotFound, "unknown_trip")
		}
		ada.post(all, good).problem(t, http.StatusForbidden, "forbidden")
		ada.do(patch, this, terms{"name": "x"}).problem(t, http.StatusForbidden, "forbidden")
		h.audit()
	})
}

func TestTripsIdempotency(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		c := h.openCounter()
		definition := tripIn(1000*time.Hour, class("seat", 100, 100))
		first := c.admin.post("/v1/trips", definition, key("trip")).expect(t, http.StatusCreated)
		again := c.admin.post("/v1/trips", definition, key("trip")).expect(t, http.StatusCreated)
		if !again.replayed() || first.replayed() || string(again.body) != string(first.body) {
			t.Errorf("%s and %s", first.body, again.body)
		}
		c.admin.post("/v1/trips", definition.with("name", "Other"), key("trip")).problem(t, http.StatusUnprocessableEntity, "idempotency_key_reused")
		if all := allOf[trip](c.admin, "/v1/trips?limit=200"); len(all) != 1 {
			t.Errorf("%d trips", len(all))
		}
		var seats trip
		first.into(t, http.StatusCreated, &seats)

		ada := c.customerWith(1000)
		bought := ada.buy(tickets(seats.ID, "seat", 2).with("confirm", true), key("buy"))
		for range 3 {
			if o := ada.buy(tickets(seats.ID, "seat", 2).with("confirm", true), key("buy")); o.ID != bought.ID || fmt.Sprint(o.Result) != fmt.Sprint(bought.Result) {
				t.Errorf("%+v", o)
			}
		}
		ada.post("/v1/purchases", tickets(seats.ID, "seat", 1), key("buy")).problem(t, http.StatusUnprocessableEntity, "idempotency_key_reused")
		held := ada.ask(seats.ID, "seat", 1)
		confirmed := ada.confirm(held.ID, key("confirm"))
		if o := ada.confirm(held.ID, key("confirm")); o.ID != confirmed.ID || o.Status != "succeeded" {
			t.Errorf("%+v", o)
		}
		ada.has(700, 0)
		refund := ada.giveBack(held.ID, key("back"))
		if o := ada.giveBack(held.ID, key("back")); o.ID != refund.ID || o.Status != "succeeded" {
			t.Errorf("%+v", o)
		}
		ada.has(800, 0)
		h.audit()
	})
}
