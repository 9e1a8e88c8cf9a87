package main

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// Halls of the bench have one section of rows of this many seats.
const (
	hallSection = "A"
	seatsPerRow = 100
)

// ticketPrice is that of everything that trips and events sell here, in minor units.
const ticketPrice = 100

// aYearAhead is when trips depart and events start: long after any run.
func aYearAhead() string { return time.Now().AddDate(1, 0, 0).UTC().Format(time.RFC3339) }

// openStaffed is openHouse, api and worker apart, with an admin who is signed in.
func (l *lab) openStaffed(ctx context.Context, n int) (*house, *person, error) {
	s := splitShape
	s.extra = []string{"GUICHET_ADMIN_PASSWORD=" + adminPassword}
	h, err := l.openHouse(ctx, s, n)
	if err != nil {
		return nil, nil, err
	}
	admin := &person{username: "admin"}
	if err := h.signInWith(ctx, admin, adminPassword); err != nil {
		return nil, nil, h.close(ctx, err)
	}
	return h, admin, nil
}

// A hall is an event with rows × seatsPerRow seats.
type hall struct {
	event string
	path  string // of its reservations
	rows  int
}

// announce makes an event.
func (h *house) announce(ctx context.Context, admin *person, name string, rows, maxPerUser int) (hall, error) {
	body := map[string]any{
		"name": name, "starts_at": aYearAhead(), "max_per_user": maxPerUser,
		"sections": []map[string]any{{"name": hallSection, "rows": rows, "seats_per_row": seatsPerRow, "price": ticketPrice}},
	}
	var event struct{ ID string }
	if _, err := h.call(ctx, http.MethodPost, "/v1/events", admin.token, body, &event); err != nil {
		return hall{}, err
	}
	return hall{event: event.ID, path: "/v1/events/" + event.ID + "/reservations", rows: rows}, nil
}

// announceAll makes so many events of one size.
func (h *house) announceAll(ctx context.Context, admin *person, n, rows int) ([]hall, error) {
	halls := make([]hall, n)
	for i := range halls {
		var err error
		if halls[i], err = h.announce(ctx, admin, fmt.Sprintf("Bench %d", i+1), rows, mostPerUser); err != nil {
			return nil, err
		}
	}
	return halls, nil
}

func (h hall) seats() int { return h.rows * seatsPerRow }

// seat is the name of the n-th seat, from 0.
func (h hall) seat(n int) string {
	return hallSection + "-" + strconv.Itoa(n/seatsPerRow+1) + "-" + strconv.Itoa(n%seatsPerRow+1)
}
