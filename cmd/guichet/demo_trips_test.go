package main

import (
	"net/http"
	"testing"
)

// Somebody who has just come can buy a ticket of each trip that is printed; and a second start offers none twice.
func TestDemoTrips(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		p, printed := h.startDemo()
		c := p.user(t)
		c.deposit(100_000)
		offered := allOf[trip](c, "/v1/trips?status=open")
		if len(offered) != 2 || len(offered[0].Classes) != 2 || len(offered[1].Classes) != 1 || offered[1].RefundMinutes == 0 {
			t.Fatalf("%+v", offered)
		}
		for _, one := range offered {
			printed.shows(t, one.ID+" +"+one.Name)
			bought := c.buyNow(one.ID, one.Classes[0].Name, 1)
			refund := c.giveBack(bought.ID)
			refund.got(c, "refunded")
		}
		if status := p.stop(); status != 0 {
			t.Errorf("exit status %d", status)
		}
		again, _ := h.startDemo()
		if after := allOf[trip](c.at(again), "/v1/trips"+"?limit=50"); len(after) != len(offered) || after[0].ID != offered[0].ID {
			t.Errorf("before %+v, after %+v", offered, after)
		}
		c.at(again).get("/v1/purchases").expect(t, http.StatusOK)
		h.audit()
	})
}
