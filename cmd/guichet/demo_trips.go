package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"guichet/models/trips"
)

// demoClass is a class of a trip of the demonstration.
type demoClass struct {
	Name  string `json:"name"`
	Price int64  `json:"price"` // minor units
	Stock int64  `json:"stock"`
}

// demoTrip is a trip of the demonstration.
type demoTrip struct {
	Name          string      `json:"name"`
	DepartsAt     time.Time   `json:"departs_at"`
	RefundBps     int         `json:"refund_bps"`
	RefundMinutes int         `json:"refund_minutes"`
	Classes       []demoClass `json:"classes"`
}

// demoTrips depart some weeks from now: one refunds everything until it departs, the other half until a day before.
func demoTrips(now time.Time) []demoTrip {
	midnight := now.UTC().Truncate(24 * time.Hour)
	return []demoTrip{
		{"Night train to the Alps", midnight.AddDate(0, 0, 30).Add(21*time.Hour + 30*time.Minute), trips.MaxRefundBps, 0, []demoClass{{"couchette", 4900, 120}, {"seat", 1900, 400}}},
		{"Ferry to the islands", midnight.AddDate(0, 0, 45).Add(7 * time.Hour), trips.MaxRefundBps / 2, 24 * 60, []demoClass{{"deck", 1200, 300}}},
	}
}

// demoTickets offers trips, unless there are some already, or nobody has told the admin's password.
func (a *app) demoTickets(ctx context.Context, client *demoClient, adminPassword string) error {
	offered, err := trips.List(a.db.Read(ctx), trips.TripFilter{Limit: 1})
	if err != nil || len(offered) > 0 || adminPassword == "" {
		return err
	}
	return client.as(ctx, "admin", adminPassword, func() error {
		for _, trip := range demoTrips(time.Now()) {
			if _, err := client.post(ctx, "/trips", trip, nil); err != nil {
				return err
			}
		}
		return nil
	})
}

// printDemoTrips shows what is offered, with the ids that a purchase names.
func (a *app) printDemoTrips(ctx context.Context, out io.Writer) error {
	offered, err := trips.List(a.db.Read(ctx), trips.TripFilter{Status: trips.Open, Now: time.Now(), Limit: len(demoTrips(time.Now()))})
	if err != nil || len(offered) == 0 {
		return err
	}
	fmt.Fprintf(out, "\nTrips\n")
	for _, t := range offered {
		fmt.Fprintf(out, "  %s  %s:", t.ID, t.Name)
		for i := range t.Classes {
			fmt.Fprintf(out, " %s %d", t.Classes[i].Name, t.Classes[i].Price)
		}
		fmt.Fprintln(out)
	}
	return nil
}
