package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"guichet/models/events"
	"guichet/models/id"
)

// demoSection is a section of the event of the demonstration.
type demoSection struct {
	Name        string `json:"name"`
	Rows        int    `json:"rows"`
	SeatsPerRow int    `json:"seats_per_row"`
	Price       int64  `json:"price"` // minor units
}

// demoEvent is the event of the demonstration.
type demoEvent struct {
	Name       string        `json:"name"`
	StartsAt   time.Time     `json:"starts_at"`
	Sections   []demoSection `json:"sections"`
	MaxPerUser int           `json:"max_per_user"`
}

// demoConcert is some weeks from now.
func demoConcert(now time.Time) demoEvent {
	evening := now.UTC().Truncate(24*time.Hour).AddDate(0, 0, 60).Add(19*time.Hour + 30*time.Minute)
	return demoEvent{"Chamber music", evening, []demoSection{{"A", 5, 20, 4500}, {"B", 10, 24, 2500}}, 8}
}

// demoSeats are in the middle of the first row, and ada's: newcomers see what a sold seat looks like.
var demoSeats = []string{"A-1-10", "A-1-11"}

// demoSeatsCost is what she has paid for them, in minor units.
const demoSeatsCost = 2 * 4500

// demoHall announces an event, of which two seats are sold, unless there is an event already, or nobody has told the admin's password.
func (a *app) demoHall(ctx context.Context, client *demoClient, adminPassword string) error {
	announced, err := events.Events(a.db.Read(ctx), time.Time{}, id.ID{}, 1)
	if err != nil || len(announced) > 0 || adminPassword == "" {
		return err
	}
	var event struct {
		ID string `json:"id"`
	}
	err = client.as(ctx, "admin", adminPassword, func() error {
		_, err := client.post(ctx, "/events", demoConcert(time.Now()), &event)
		return err
	})
	if err != nil {
		return err
	}
	ada := demoPeople[0]
	return client.as(ctx, ada.name, ada.password, func() error { return client.buyDemoSeats(ctx, event.ID) })
}

func (c *demoClient) buyDemoSeats(ctx context.Context, event string) error {
	var reserved struct {
		ID string `json:"id"`
	}
	status, err := c.post(ctx, "/events/"+event+"/reservations", map[string]any{"seats": demoSeats}, &reserved)
	if err != nil || status == http.StatusConflict { // a newcomer was faster
		return err
	}
	return c.succeed(ctx, "/reservations/"+reserved.ID+"/payment", nil)
}

// printDemoEvents shows the event that is next, with the id that a reservation names.
func (a *app) printDemoEvents(ctx context.Context, out io.Writer) error {
	tx := a.db.Read(ctx)
	open, err := events.OpenEvents(tx, time.Now())
	if err != nil || len(open) == 0 {
		return err
	}
	e, err := events.GetEvent(tx, open[0])
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\nEvents\n  %s  %s:", e.ID, e.Name)
	for i := range e.Sections {
		fmt.Fprintf(out, " %s %d", e.Sections[i].Name, e.Sections[i].Price)
	}
	fmt.Fprintln(out)
	return nil
}
