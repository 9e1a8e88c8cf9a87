package handlers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"guichet/api"
	"guichet/models/database"
	"guichet/models/events"
	"guichet/models/id"
	"guichet/models/money"
	"guichet/models/problem"
	"guichet/models/text"
)

var errUnknownEvent = problem.New(problem.UnknownEvent, "There is no such event.")

// VisitCreateEventResponse writes the answer.
func (a jsonAnswer) VisitCreateEventResponse(w http.ResponseWriter) error { return a.write(w) }

// boxOffice is what an API process knows of events: their seats in Redis, and their halls, which never change.
type boxOffice struct {
	seats   *events.Seats
	durable bool // Redis keeps what it has answered; else MySQL must have it first
	halls   *events.Halls
	recent  recent[id.ID] // the events of reservations
	writer  *rowWriter
}

// hall finds an event, or errUnknownEvent, which is not remembered, so that a new event is seen at once.
func (s *Server) hall(ctx context.Context, event string) (*events.Hall, error) {
	parsed, err := id.Parse(event)
	if err != nil {
		return nil, errUnknownEvent
	}
	return s.hallOf(ctx, parsed)
}

func (s *Server) hallOf(ctx context.Context, event id.ID) (*events.Hall, error) {
	known, err := s.box.halls.Of(ctx, event)
	return known, eventProblem(err)
}

// eventProblem tells the client what the stores of events refuse. Other errors it returns as they are.
func eventProblem(err error) error {
	switch {
	case errors.Is(err, events.ErrUnknownEvent):
		return errUnknownEvent
	case errors.Is(err, events.ErrUnknownReservation):
		return errUnknownReservation
	default:
		return err
	}
}

// ListEvents reads a page of events.
func (s *Server) ListEvents(ctx context.Context, request api.ListEventsRequestObject) (api.ListEventsResponseObject, error) {
	start, after, err := timeCursor(request.Params.Cursor)
	if err != nil {
		return nil, err
	}
	limit := limitOf(request.Params.Limit)
	found, err := events.Events(s.DB.Read(ctx), start, after, limit+1)
	if err != nil {
		return nil, err
	}
	found, next := page(found, limit, func(e *events.Event) string { return timeKey(e.StartsAt, e.ID) })
	list := api.ListEvents200JSONResponse{Items: make([]api.Event, len(found)), NextCursor: encodeCursor(next)}
	for i := range found {
		s.Clock.Witness(found[i].Lamport)
		list.Items[i] = asEvent(&found[i])
	}
	return list, nil
}

func asEvent(e *events.Event) api.Event {
	made := api.Event{Id: e.ID.String(), Name: e.Name, StartsAt: e.StartsAt, MaxPerUser: e.MaxPerUser, Sections: make([]api.Section, len(e.Sections))}
	for i, section := range e.Sections {
		made.Sections[i] = api.Section{Name: section.Name, Rows: section.Rows, SeatsPerRow: section.SeatsPerRow, Price: int64(section.Price)}
	}
	if e.Waiting.Rate > 0 {
		made.WaitingRoom = &api.WaitingRoom{Rate: e.Waiting.Rate, WindowSeconds: int(e.Waiting.Window / time.Second)}
	}
	return made
}

// GetEvent reads one event.
func (s *Server) GetEvent(ctx context.Context, request api.GetEventRequestObject) (api.GetEventResponseObject, error) {
	parsed, err := id.Parse(request.Id)
	if err != nil {
		return nil, errUnknownEvent
	}
	found, err := events.GetEvent(s.DB.Read(ctx), parsed)
	if err != nil {
		return nil, eventProblem(err)
	}
	s.Clock.Witness(found.Lamport)
	return api.GetEvent200JSONResponse(asEvent(&found)), nil
}

// CreateEvent announces an event, beside the queue.
func (s *Server) CreateEvent(ctx context.Context, request api.CreateEventRequestObject) (api.CreateEventResponseObject, error) {
	if err := admin(ctx); err != nil {
		return nil, err
	}
	announced, fields := s.newEvent(request.Body)
	if len(fields) > 0 {
		return nil, invalid(fields)
	}
	return s.createOnce(ctx, callOf(ctx).idempotencyKey(), func(keep keepAnswer) (any, error) {
		announced.Lamport = s.Clock.Tick()
		made := asEvent(&announced)
		err := s.DB.Write(ctx, func(tx database.Tx) error {
			if err := events.InsertEvent(tx, &announced); err != nil {
				return err
			}
			return keep(tx, made)
		})
		if err == nil {
			s.Wake(events.Lane) // who follows its seats may be resting
		}
		return made, err
	})
}

// newEvent reads an event, and says which of its fields do not go together.
func (s *Server) newEvent(body *api.NewEvent) (e events.Event, fields []problem.Field) {
	name, err := text.Line(body.Name, events.MaxName)
	e = events.Event{ID: s.IDs.Next(), Name: name, StartsAt: body.StartsAt.UTC().Truncate(time.Microsecond), MaxPerUser: events.DefaultMaxPerUser, Waiting: waitingRoom(body.WaitingRoom)}
	if body.MaxPerUser != nil {
		e.MaxPerUser = *body.MaxPerUser
	}
	for _, section := range body.Sections {
		e.Sections = append(e.Sections, events.Section{Name: section.Name, Rows: section.Rows, SeatsPerRow: section.SeatsPerRow, Price: money.Amount(section.Price)})
	}
	if err != nil {
		fields = append(fields, problem.Field{Pointer: "/name", Message: err.Error()})
	}
	if !e.StartsAt.After(time.Now()) {
		fields = append(fields, problem.Field{Pointer: "/starts_at", Message: "must be in the future"})
	}
	var refusal *problem.Problem
	if _, err := events.NewHall(e.ID, e.Sections); errors.As(err, &refusal) {
		fields = append(fields, refusal.Fields...)
	}
	return e, fields
}

func waitingRoom(given *api.WaitingRoom) (room events.WaitingRoom) {
	if given != nil {
		room = events.WaitingRoom{Rate: given.Rate, Window: time.Duration(given.WindowSeconds) * time.Second}
	}
	return room
}

// UpdateEvent opens or closes the waiting room, beside the queue.
func (s *Server) UpdateEvent(ctx context.Context, request api.UpdateEventRequestObject) (api.UpdateEventResponseObject, error) {
	if err := admin(ctx); err != nil {
		return nil, err
	}
	known, err := s.hall(ctx, request.Id)
	if err != nil {
		return nil, err
	}
	var changed events.Event
	err = s.DB.Write(ctx, func(tx database.Tx) (err error) {
		changed, err = events.SetWaitingRoom(tx, known.Event(), waitingRoom(request.Body.WaitingRoom))
		return err
	})
	if err == nil { // should this fail, the reconciliation sees to it; but the admin had better know
		err = s.box.halls.Loaded(ctx, known, func() error { return s.box.seats.SetWaitingRoom(ctx, known.Event(), changed.Waiting, time.Now()) })
	}
	if err != nil {
		return nil, eventProblem(err)
	}
	return api.UpdateEvent200JSONResponse(asEvent(&changed)), nil
}

// seatsAnswer is the seat map, or that the client has it already.
type seatsAnswer struct {
	jsonAnswer
	etag string
}

// VisitGetSeatsResponse writes the answer.
func (a seatsAnswer) VisitGetSeatsResponse(w http.ResponseWriter) error {
	w.Header().Set("ETag", a.etag)
	w.Header().Set("Cache-Control", "no-cache") // may be kept, but has to be asked for
	if a.status == http.StatusNotModified {
		w.WriteHeader(a.status)
		return nil
	}
	return a.write(w)
}

// GetSeats reads the seat map.
func (s *Server) GetSeats(ctx context.Context, request api.GetSeatsRequestObject) (api.GetSeatsResponseObject, error) {
	known, err := s.hall(ctx, request.Id)
	if err != nil {
		return nil, err
	}
	var seats events.Map
	err = s.box.halls.Loaded(ctx, known, func() (err error) {
		seats, err = s.box.seats.Map(ctx, known)
		return err
	})
	if err != nil {
		return nil, err
	}
	etag := fmt.Sprintf("%q", seats.Epoch+"."+strconv.FormatInt(seats.Version, 10))
	if request.Params.IfNoneMatch != nil && matchesETag(*request.Params.IfNoneMatch, etag) {
		return seatsAnswer{jsonAnswer{status: http.StatusNotModified}, etag}, nil
	}
	return seatsAnswer{jsonAnswer{http.StatusOK, events.AppendMap(make([]byte, 0, 2*known.Size()+1024), known, &seats), false}, etag}, nil
}

// matchesETag compares weakly, as If-None-Match is to be (RFC 9110, section 13.1.2).
func matchesETag(header, etag string) bool {
	for candidate := range strings.SplitSeq(header, ",") {
		if candidate = strings.TrimSpace(candidate); candidate == "*" || strings.TrimPrefix(candidate, "W/") == etag {
			return true
		}
	}
	return false
}

// GetPlaceInWaitingRoom tells how many are ahead of the caller.
func (s *Server) GetPlaceInWaitingRoom(ctx context.Context, request api.GetPlaceInWaitingRoomRequestObject) (api.GetPlaceInWaitingRoomResponseObject, error) {
	known, err := s.hall(ctx, request.Id)
	if err != nil {
		return nil, err
	}
	var place events.Place
	err = s.box.halls.Loaded(ctx, known, func() (err error) {
		place, err = s.box.seats.Place(ctx, known.Event(), sessionOf(ctx).UserID, time.Now())
		return err
	})
	if err != nil {
		return nil, err
	}
	answer := api.GetPlaceInWaitingRoom200JSONResponse{State: api.PlaceInWaitingRoomState(place.State)}
	switch place.State {
	case events.RoomOpen, events.RoomOutside:
	case events.RoomWaiting:
		ahead, wait := place.Ahead, int64((place.Wait+time.Second-1)/time.Second)
		answer.Place, answer.ExpectedWaitSeconds = &ahead, &wait
	case events.RoomAdmitted:
		answer.AdmittedUntil = &place.AdmittedUntil
	}
	return answer, nil
}
