package handlers

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"guichet/api"
	"guichet/models/database"
	"guichet/models/events"
	"guichet/models/id"
	"guichet/models/operation"
	"guichet/models/problem"
)

// errUnknownReservation is one answer to both: no reservation has the id, and it is somebody else's.
var errUnknownReservation = problem.New(problem.UnknownReservation, "There is no such reservation, or it is not yours.")

// VisitCreateReservationResponse writes the answer.
func (a jsonAnswer) VisitCreateReservationResponse(w http.ResponseWriter) error { return a.write(w) }

// VisitListReservationsResponse writes the answer.
func (a jsonAnswer) VisitListReservationsResponse(w http.ResponseWriter) error { return a.write(w) }

// VisitGetReservationResponse writes the answer.
func (a jsonAnswer) VisitGetReservationResponse(w http.ResponseWriter) error { return a.write(w) }

// VisitDeleteReservationResponse writes the answer.
func (a jsonAnswer) VisitDeleteReservationResponse(w http.ResponseWriter) error { return a.write(w) }

// VisitDeleteReservationResponse writes the answer.
func (a operationAnswer) VisitDeleteReservationResponse(w http.ResponseWriter) error {
	return a.write(w)
}

// VisitPayReservationResponse writes the answer.
func (a operationAnswer) VisitPayReservationResponse(w http.ResponseWriter) error { return a.write(w) }

// CreateReservation reserves seats, at once: it is decided in Redis, and MySQL follows.
func (s *Server) CreateReservation(ctx context.Context, request api.CreateReservationRequestObject) (api.CreateReservationResponseObject, error) {
	known, err := s.hall(ctx, request.Id)
	if err != nil {
		return nil, err
	}
	want, err := s.want(ctx, known, request.Body)
	if err != nil {
		return nil, err
	}
	key := callOf(ctx).idempotencyKey()
	if before, found, err := s.reservedWithKey(ctx, known, key); found || err != nil {
		return before, err
	}
	var reserved events.Reserved
	err = s.box.halls.Loaded(ctx, known, func() (err error) {
		reserved, err = s.box.seats.Reserve(ctx, known, want)
		return err
	})
	if err != nil {
		return nil, err
	}
	s.box.recent.add(reserved.Reservation.ID, known.Event())
	if err := s.stillThere(ctx, known, &reserved); err != nil {
		return nil, err
	}
	if err := s.secure(ctx, known, &reserved.Reservation); err != nil {
		return nil, err
	}
	answer := s.reservationAnswer(http.StatusCreated, known, &reserved.Reservation)
	answer.repeated = reserved.Replayed
	s.keepBeside(ctx, key, answer.body)
	return answer, nil
}

// reservedWithKey looks for what was answered before to the same key.
func (s *Server) reservedWithKey(ctx context.Context, known *events.Hall, key *operation.Key) (jsonAnswer, bool, error) {
	if key == nil {
		return jsonAnswer{}, false, nil
	}
	return madeWithKey(ctx, func(ctx context.Context) (jsonAnswer, bool, error) {
		return s.answeredBefore(ctx, key)
	}, func() (bool, error) {
		return s.box.seats.RemembersKeys(ctx, known, time.Now())
	})
}

// want reads what is to be reserved.
func (s *Server) want(ctx context.Context, known *events.Hall, body *api.NewReservation) (events.Want, error) {
	session, call, now := sessionOf(ctx), callOf(ctx), time.Now().UTC().Truncate(time.Millisecond)
	want := events.Want{
		ID: s.IDs.Next().WithIndex(events.Tag(known.Event())), UserID: session.UserID, Account: session.AccountNumber, Quantity: given(body.Quantity), Section: given(body.Section),
		Now: now, HoldFor: s.Hold, Stamp: s.Clock.Tick(),
	}
	if key := call.idempotencyKey(); key != nil {
		want.Key = &events.Key{Hash: key.Hash, Request: key.Request}
	}
	switch {
	case body.Seats != nil && (body.Quantity != nil || body.Section != nil):
		return want, invalid([]problem.Field{{Pointer: "/seats", Message: "goes without quantity and section"}})
	case body.Seats == nil && body.Quantity == nil:
		return want, invalid([]problem.Field{{Pointer: "/quantity", Message: "is required where seats are not named"}})
	case body.Seats == nil:
		return want, nil
	}
	var err error
	want.Seats, err = known.Seats(*body.Seats)
	return want, err
}

// stillThere refuses to repeat an answer that was never given: a reservation that could not be secured was let go, and Redis remembers its key all the same.
func (s *Server) stillThere(ctx context.Context, known *events.Hall, reserved *events.Reserved) error {
	if s.box.durable || !reserved.Replayed {
		return nil
	}
	current, inRedis, err := s.box.seats.Get(ctx, known, reserved.Reservation.ID, time.Now())
	if err != nil || inRedis && current.Status == events.StatusHeld {
		return err
	}
	_, err = events.GetReservation(s.DB.Read(ctx), reserved.Reservation.ID)
	if errors.Is(err, events.ErrUnknownReservation) {
		return problem.New(problem.ReservationExpired, "The seats could not be kept for this request, and were let go. Reserve anew, with another Idempotency-Key.")
	}
	return err
}

// secure has MySQL know of a reservation before it is acknowledged, where Redis does not promise to keep it. What cannot be secured is let go.
func (s *Server) secure(ctx context.Context, known *events.Hall, reservation *events.Reservation) error {
	if s.box.durable {
		return nil
	}
	err := s.box.writer.write(ctx, *reservation)
	if err == nil {
		return nil
	}
	if reservation.Status == events.StatusHeld {
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if _, undoErr := s.box.seats.Release(undo, known, reservation.ID, reservation.UserID, time.Now()); undoErr != nil {
			slog.WarnContext(ctx, "a reservation that was not acknowledged is left to expire", "reservation", reservation.ID, "error", undoErr)
		}
	}
	return err
}

// keepBeside remembers the answer to an Idempotency-Key for other calls to see that it was used; Redis knows it for this one, and so it may fail;
// a Redis that then loses its data has lost the key.
func (s *Server) keepBeside(ctx context.Context, key *operation.Key, body []byte) {
	if key == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, keyPatience)
	defer cancel()
	err := s.DB.Write(ctx, func(tx database.Tx) error { return keepBody(ctx, tx, key, body) })
	if err != nil && !database.IsDuplicate(err) && ctx.Err() == nil {
		slog.WarnContext(ctx, "an Idempotency-Key is known to Redis alone", "error", err)
	}
}

func (s *Server) reservationAnswer(status int, known *events.Hall, r *events.Reservation) jsonAnswer {
	s.Clock.Witness(r.Lamport)
	return jsonAnswer{status, r.AppendJSON(make([]byte, 0, 320+64*len(r.Seats)), known, s.Tickets), false}
}

// ListReservations reads a page of the caller's reservations.
func (s *Server) ListReservations(ctx context.Context, request api.ListReservationsRequestObject) (api.ListReservationsResponseObject, error) {
	before, err := idCursor(request.Params.Cursor)
	if err != nil {
		return nil, err
	}
	limit := limitOf(request.Params.Limit)
	filter := events.ReservationFilter{User: sessionOf(ctx).UserID, Status: events.Status(given(request.Params.Status)), Before: before, Limit: limit + 1}
	if request.Params.Event != nil {
		if filter.Event = idOf(*request.Params.Event); filter.Event.IsZero() {
			return listAnswer[events.Reservation](nil, "", nil), nil // what is no id names no event
		}
	}
	found, err := events.Reservations(s.DB.Read(ctx), filter)
	if err != nil {
		return nil, err
	}
	found, next := page(found, limit, func(r *events.Reservation) string { return r.ID.String() })
	halls := map[id.ID]*events.Hall{}
	for i := range found {
		if halls[found[i].EventID], err = s.hallOf(ctx, found[i].EventID); err != nil {
			return nil, err
		}
		s.Clock.Witness(found[i].Lamport)
	}
	return listAnswer(found, next, func(r *events.Reservation, b []byte) []byte { return r.AppendJSON(b, halls[r.EventID], s.Tickets) }), nil
}

// GetReservation reads one reservation.
func (s *Server) GetReservation(ctx context.Context, request api.GetReservationRequestObject) (api.GetReservationResponseObject, error) {
	known, found, err := s.ownReservation(ctx, request.Id)
	if err != nil {
		return nil, err
	}
	return s.reservationAnswer(http.StatusOK, known, &found), nil
}

// DeleteReservation releases what is held, at once, and submits the refund of what is paid.
func (s *Server) DeleteReservation(ctx context.Context, request api.DeleteReservationRequestObject) (api.DeleteReservationResponseObject, error) {
	known, found, err := s.ownReservation(ctx, request.Id)
	if err != nil {
		return nil, err
	}
	if found.Status == events.StatusHeld {
		if found, err = s.release(ctx, known, &found); err != nil {
			return nil, err
		}
	}
	switch found.Status {
	case events.StatusReleased: // now or before: what is asked for is so
		return s.reservationAnswer(http.StatusOK, known, &found), nil
	case events.StatusPaid:
	default:
		return nil, problem.Newf(problem.ReservationEnded, "The reservation is %s.", found.Status)
	}
	return s.enqueue(ctx, events.Lane, events.KindRefund, events.Command{Account: found.Account, Event: known.Event(), Reservation: found.ID})
}

// release returns a reservation that was held as it is after it was let go. One that is being paid counts as paid: should the payment be refused, the refund, which
// waits behind it, finds out.
func (s *Server) release(ctx context.Context, known *events.Hall, held *events.Reservation) (events.Reservation, error) {
	var released events.Reservation
	err := s.box.halls.Loaded(ctx, known, func() (err error) {
		released, err = s.box.seats.Release(ctx, known, held.ID, held.UserID, time.Now())
		return err
	})
	var refusal *problem.Problem
	switch {
	case err == nil:
		err = s.secure(ctx, known, &released)
		return released, err
	case errors.Is(err, events.ErrPaid):
		paid := *held
		paid.Status = events.StatusPaid
		return paid, nil
	case errors.Is(err, events.ErrNotInRedis), errors.As(err, &refusal):
		// It has ended since it was read; or the answer to this very request was lost on the way, and Redis was asked again.
		_, ended, err := s.reservationOf(ctx, known.Event(), held.ID, nil)
		return ended, eventProblem(err)
	default:
		return released, err
	}
}

// PayReservation submits a payment.
func (s *Server) PayReservation(ctx context.Context, request api.PayReservationRequestObject) (api.PayReservationResponseObject, error) {
	known, found, err := s.ownReservation(ctx, request.Id)
	if err != nil {
		return nil, err
	}
	return s.enqueue(ctx, events.Lane, events.KindPayment, events.Command{Account: found.Account, Event: known.Event(), Reservation: found.ID})
}

// ownReservation finds a reservation of the caller's, as it is now.
func (s *Server) ownReservation(ctx context.Context, text string) (*events.Hall, events.Reservation, error) {
	reservation, err := id.Parse(text)
	if err != nil {
		return nil, events.Reservation{}, errUnknownReservation
	}
	known, found, err := s.findReservation(ctx, reservation)
	if err == nil && found.UserID != sessionOf(ctx).UserID {
		err = errUnknownReservation
	}
	return known, found, eventProblem(err)
}

// findReservation asks Redis, which is ahead of MySQL while a reservation is held, of the event that the reservation is of: this process may remember it, MySQL may
// have the row, and if another process made the reservation just now, the events whose tag the id has are few.
func (s *Server) findReservation(ctx context.Context, reservation id.ID) (*events.Hall, events.Reservation, error) {
	if event, ok := s.box.recent.find(reservation); ok {
		return s.reservationOf(ctx, event, reservation, nil)
	}
	row, err := events.GetReservation(s.DB.Read(ctx), reservation)
	switch {
	case err == nil:
		return s.reservationOf(ctx, row.EventID, reservation, &row)
	case !errors.Is(err, events.ErrUnknownReservation):
		return nil, row, err
	}
	open, err := events.OpenEvents(s.DB.Read(ctx), time.Now())
	if err != nil {
		return nil, row, err
	}
	var halls []*events.Hall
	for _, event := range open {
		if events.Tag(event) != reservation.Index() {
			continue
		}
		known, err := s.hallOf(ctx, event)
		if err != nil {
			return nil, row, err
		}
		halls = append(halls, known)
	}
	found, inRedis, err := s.box.seats.Find(ctx, halls, reservation, time.Now())
	if err != nil {
		return nil, row, err
	}
	for _, known := range halls {
		if inRedis && known.Event() == found.EventID {
			return known, found, nil
		}
	}
	return nil, row, errUnknownReservation
}

// reservationOf reads a reservation of an event: from Redis, or, once it has ended there, its row.
func (s *Server) reservationOf(ctx context.Context, event, reservation id.ID, row *events.Reservation) (*events.Hall, events.Reservation, error) {
	known, err := s.hallOf(ctx, event)
	if err != nil {
		return nil, events.Reservation{}, err
	}
	if row != nil && row.Status != events.StatusHeld {
		return known, *row, nil
	}
	found, inRedis, err := s.box.seats.Get(ctx, known, reservation, time.Now())
	if err != nil || inRedis {
		return known, found, err
	}
	if found, err = events.GetReservation(s.DB.Read(ctx), reservation); err != nil || found.Status != events.StatusHeld {
		return known, found, err
	}
	// Either Redis does not know the event any more; or it has let go of the reservation, and its row is about to follow.
	if err := s.box.halls.Load(ctx, known); err != nil {
		return known, found, err
	}
	held, inRedis, err := s.box.seats.Get(ctx, known, reservation, time.Now())
	if err != nil || inRedis {
		return known, held, err
	}
	found.Status = events.StatusExpired
	return known, found, nil
}
