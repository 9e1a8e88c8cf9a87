package handlers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"guichet/api"
	"guichet/models/database"
	"guichet/models/id"
	"guichet/models/money"
	"guichet/models/problem"
	"guichet/models/text"
	"guichet/models/trips"
)

var errUnknownTrip = problem.New(problem.UnknownTrip, "There is no such trip.")

// VisitCreateTripResponse writes the answer.
func (a jsonAnswer) VisitCreateTripResponse(w http.ResponseWriter) error { return a.write(w) }

// tripsProblem tells the client what the stores of trips refuse. Other errors it returns as they are.
func tripsProblem(err error) error {
	switch {
	case errors.Is(err, trips.ErrUnknownTrip):
		return errUnknownTrip
	case errors.Is(err, trips.ErrUnknownPurchase):
		return errUnknownPurchase
	default:
		return err
	}
}

// ListTrips reads a page of what is offered.
func (s *Server) ListTrips(ctx context.Context, request api.ListTripsRequestObject) (api.ListTripsResponseObject, error) {
	departs, last, err := timeCursor(request.Params.Cursor)
	if err != nil {
		return nil, err
	}
	var after *trips.TripKey
	if !last.IsZero() {
		after = &trips.TripKey{DepartsAt: departs, ID: last}
	}
	limit, now := limitOf(request.Params.Limit), time.Now()
	found, err := trips.List(s.DB.Read(ctx), trips.TripFilter{Status: trips.TripStatus(given(request.Params.Status)), Now: now, After: after, Limit: limit + 1})
	if err != nil {
		return nil, err
	}
	found, next := page(found, limit, func(t **trips.Trip) string { return timeKey((*t).DepartsAt, (*t).ID) })
	list := api.ListTrips200JSONResponse{Items: make([]api.Trip, len(found)), NextCursor: encodeCursor(next)}
	for i, trip := range found {
		list.Items[i] = s.showTrip(trip, now)
	}
	return list, nil
}

// showTrip is the trip as the contract has it. It takes note of its stamps: the answer is sent after what it shows.
func (s *Server) showTrip(t *trips.Trip, now time.Time) api.Trip {
	s.Clock.Witness(t.LastStamp())
	shown := api.Trip{
		Id: t.ID.String(), Name: t.Name, DepartsAt: t.DepartsAt, Status: api.TripStatus(t.Status(now)), RefundBps: t.RefundBps, RefundMinutes: t.RefundMinutes,
		Classes: make([]api.TripClass, len(t.Classes)),
	}
	for i := range t.Classes {
		c := &t.Classes[i]
		shown.Classes[i] = api.TripClass{Name: c.Name, Price: int64(c.Price), Stock: c.Stock, Available: c.Available()}
	}
	return shown
}

// GetTrip reads one trip.
func (s *Server) GetTrip(ctx context.Context, request api.GetTripRequestObject) (api.GetTripResponseObject, error) {
	trip, err := id.Parse(request.Id)
	if err != nil {
		return nil, errUnknownTrip
	}
	found, err := trips.Get(s.DB.Read(ctx), trip)
	if err != nil {
		return nil, tripsProblem(err)
	}
	return api.GetTrip200JSONResponse(s.showTrip(found, time.Now())), nil
}

// CreateTrip offers a trip, beside the queue.
func (s *Server) CreateTrip(ctx context.Context, request api.CreateTripRequestObject) (api.CreateTripResponseObject, error) {
	if err := admin(ctx); err != nil {
		return nil, err
	}
	answer, err := s.createOnce(ctx, callOf(ctx).idempotencyKey(), func(keep keepAnswer) (any, error) {
		now := time.Now() // a request that is repeated is not asked again whether the trip departs in the future
		definition, fields := newTrip(request.Body, now)
		if len(fields) > 0 {
			return nil, invalid(fields)
		}
		var made api.Trip
		err := s.DB.Write(ctx, func(tx database.Tx) error {
			trip, err := trips.Insert(tx, s.Clock, s.IDs.Next(), definition, now)
			if err != nil {
				return err
			}
			made = s.showTrip(trip, now)
			return keep(tx, made)
		})
		return made, err
	})
	if err != nil {
		return nil, err
	}
	return answer, nil
}

// newTrip reads a trip, and says which of its fields cannot be.
func newTrip(body *api.NewTrip, now time.Time) (*trips.Definition, []problem.Field) {
	var f tripFields
	d := &trips.Definition{
		Name: f.name("/name", body.Name, trips.MaxName), DepartsAt: f.departure(body.DepartsAt), RefundBps: trips.MaxRefundBps,
		Classes: make([]trips.ClassDefinition, len(body.Classes)),
	}
	if !d.DepartsAt.After(now) {
		f.refuse("/departs_at", "must be in the future")
	}
	if body.RefundBps != nil {
		d.RefundBps = *body.RefundBps
	}
	if body.RefundMinutes != nil {
		d.RefundMinutes = *body.RefundMinutes
	}
	for i, c := range body.Classes {
		d.Classes[i] = trips.ClassDefinition{Name: f.class(i, c.Name), Price: money.Amount(c.Price), Stock: c.Stock}
	}
	return d, f.refused
}

// UpdateTrip changes a trip, beside the queue.
func (s *Server) UpdateTrip(ctx context.Context, request api.UpdateTripRequestObject) (api.UpdateTripResponseObject, error) {
	if err := admin(ctx); err != nil {
		return nil, err
	}
	trip, err := id.Parse(request.Id)
	if err != nil {
		return nil, errUnknownTrip
	}
	change, fields := tripChange(request.Body)
	if len(fields) > 0 {
		return nil, invalid(fields)
	}
	now := time.Now()
	var changed *trips.Trip
	err = s.DB.Write(ctx, func(tx database.Tx) (err error) {
		changed, err = trips.Update(tx, s.Clock, trip, change, now)
		return err
	})
	if err != nil {
		return nil, tripsProblem(err)
	}
	return api.UpdateTrip200JSONResponse(s.showTrip(changed, now)), nil
}

// tripChange reads a change, and says which of its fields cannot be.
func tripChange(body *api.TripChange) (*trips.Change, []problem.Field) {
	var f tripFields
	c := &trips.Change{RefundBps: body.RefundBps, RefundMinutes: body.RefundMinutes}
	if body.Name != nil {
		name := f.name("/name", *body.Name, trips.MaxName)
		c.Name = &name
	}
	if body.DepartsAt != nil {
		departs := f.departure(*body.DepartsAt)
		c.DepartsAt = &departs
	}
	if body.Status != nil {
		closed := *body.Status == api.TripChangeStatusClosed
		c.Closed = &closed
	}
	for i, class := range given(body.Classes) {
		c.Classes = append(c.Classes, trips.ClassChange{Name: f.class(i, class.Name), Price: (*money.Amount)(class.Price), Stock: class.Stock})
	}
	return c, f.refused
}

// tripFields reads fields of a trip, and collects which cannot be.
type tripFields struct {
	refused []problem.Field
	classes map[string]bool
}

func (f *tripFields) refuse(pointer, message string) {
	f.refused = append(f.refused, problem.Field{Pointer: pointer, Message: message})
}

func (f *tripFields) name(pointer, given string, most int) string {
	name, err := text.Line(given, most)
	if err != nil {
		f.refuse(pointer, err.Error())
	}
	return name
}

// class reads the name of the n-th class, which no class before it may have.
func (f *tripFields) class(n int, given string) string {
	pointer := fmt.Sprintf("/classes/%d/name", n)
	before := len(f.refused)
	name := f.name(pointer, given, trips.MaxClassName)
	if f.classes == nil {
		f.classes = map[string]bool{}
	}
	if f.classes[name] && len(f.refused) == before {
		f.refuse(pointer, "is the name of a class before it")
	}
	f.classes[name] = true
	return name
}

// departure reads a time to the microsecond, which is what is stored. Its offset may make another year of it than can be shown.
func (f *tripFields) departure(at time.Time) time.Time {
	at = at.UTC().Truncate(time.Microsecond)
	if year := at.Year(); year < 0 || year > 9999 {
		f.refuse("/departs_at", "must be in the years 0000 to 9999, UTC")
	}
	return at
}
