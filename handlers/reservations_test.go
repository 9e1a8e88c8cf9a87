package handlers

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"guichet/models/database"
	"guichet/models/events"
)

// TestKeyOfWhatWasLetGo: a reservation that could not be secured was let go, and its answer never given. Redis remembers the Idempotency-Key all the same; whoever
// sends it again must not be told that they have seats which are somebody else's by now.
func TestKeyOfWhatWasLetGo(t *testing.T) {
	onBothStores(t, func(t *testing.T, c *counter) {
		var tokens [2]string
		for i := range tokens {
			c.ask("POST", "/v1/users", fmt.Sprintf(`{"username":"guest%d","password":"counting-engine"}`, i))
			tokens[i] = "Bearer " + c.signIn(fmt.Sprintf(`{"username":"guest%d","password":"counting-engine"}`, i))
		}
		event := events.Event{ID: c.IDs.Next(), Name: "x", StartsAt: time.Now().Add(time.Hour), Sections: []events.Section{{Name: "A", Rows: 1, SeatsPerRow: 2, Price: 1}}, MaxPerUser: 9}
		must(t, c.DB.Write(t.Context(), func(tx database.Tx) error { return events.InsertEvent(tx, &event) }))
		reserve := func(who int, headers ...string) reply {
			return c.ask("POST", "/v1/events/"+event.ID.String()+"/reservations", `{"seats":["A-1-1"]}`, append(headers, "Authorization", tokens[who])...)
		}
		store := c.box.writer.store
		c.box.writer.store = func(context.Context, []events.Reservation) error { return errors.New("the row cannot be written") }
		if got := reserve(0, "Idempotency-Key", "k"); got.Code != 500 {
			t.Fatalf("not secured: %d %s", got.Code, got.Body)
		}
		c.box.writer.store = store
		if got := reserve(1); got.Code != 201 {
			t.Fatalf("the seat is free again: %d %s", got.Code, got.Body)
		}
		if got := reserve(0, "Idempotency-Key", "k"); got.Code != 409 || got.json["code"] != "reservation_expired" {
			t.Errorf("the same key again: %d %s", got.Code, got.Body)
		}
		if got := reserve(0, "Idempotency-Key", "l"); got.Code != 409 || got.json["code"] != "seat_taken" {
			t.Errorf("another key: %d %s", got.Code, got.Body)
		}
	})
}
