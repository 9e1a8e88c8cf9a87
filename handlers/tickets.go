package handlers

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"guichet/api"
	"guichet/models/database"
	"guichet/models/events"
	"guichet/models/id"
	"guichet/models/identity"
	"guichet/models/problem"
	"guichet/models/text"
	"guichet/models/ticket"
	"guichet/models/trips"
)

// errUnknownTicket is one answer to all: the code was made up, no ticket of it was issued, and it is somebody else's.
var errUnknownTicket = problem.New(problem.UnknownTicket, "There is no such ticket, or it is not yours.")

// ListTickets reads a page of the caller's tickets for events.
func (s *Server) ListTickets(ctx context.Context, request api.ListTicketsRequestObject) (api.ListTicketsResponseObject, error) {
	filter := events.TicketFilter{User: sessionOf(ctx).UserID, Limit: limitOf(request.Params.Limit) + 1}
	var err error
	if filter.AfterReservation, filter.AfterSeat, err = ticketCursor(request.Params.Cursor); err != nil {
		return nil, err
	}
	if request.Params.Event != nil {
		if filter.Event = idOf(*request.Params.Event); filter.Event.IsZero() {
			return api.ListTickets200JSONResponse{Items: []api.Ticket{}}, nil
		}
	}
	tx := s.DB.Read(ctx)
	found, err := events.Tickets(tx, filter)
	if err != nil {
		return nil, err
	}
	found, next := page(found, filter.Limit-1, func(t *events.Ticket) string { return t.Reservation.String() + "." + strconv.Itoa(t.Seat) })
	shown, err := s.asTickets(tx, found)
	return api.ListTickets200JSONResponse{Items: shown, NextCursor: encodeCursor(next)}, err
}

// ticketCursor reads the key of the last ticket of a page; a zero reservation is none.
func ticketCursor(cursor *string) (reservation id.ID, seat int, err error) {
	key, err := decodeCursor(cursor)
	if err != nil || key == "" {
		return id.ID{}, 0, err
	}
	first, second, _ := strings.Cut(key, ".")
	reservation, errID := id.Parse(first)
	seat, errSeat := strconv.Atoi(second)
	if errID != nil || errSeat != nil || seat < 0 {
		return id.ID{}, 0, errCursor
	}
	return reservation, seat, nil
}

// asTickets shows tickets, and takes note of their stamps: the answer is sent after that.
func (s *Server) asTickets(tx database.Tx, tickets []events.Ticket) ([]api.Ticket, error) {
	seats, err := events.SeatNames(tx, tickets)
	if err != nil {
		return nil, err
	}
	shown := make([]api.Ticket, len(tickets))
	for i := range tickets {
		t := &tickets[i]
		s.Clock.Witness(t.Lamport)
		shown[i] = api.Ticket{Code: s.Tickets.Sign(ticket.Code{Kind: ticket.Event, Owner: t.Reservation, Index: t.Seat}), Event: t.Event.String(), Seat: seats[i],
			Status: api.TicketStatus(t.Status), Reservation: t.Reservation.String()}
		if !t.UsedAt.IsZero() {
			shown[i].UsedAt = &t.UsedAt
		}
		if t.UsedWhere != "" {
			shown[i].UsedWhere = &t.UsedWhere
		}
	}
	return shown, nil
}

// picture answers with a PNG.
type picture []byte

// VisitGetTicketPictureResponse writes the answer. Who has the picture has the ticket, so only the caller's own browser may keep it.
func (p picture) VisitGetTicketPictureResponse(w http.ResponseWriter) error {
	header := w.Header()
	header.Set("Content-Type", "image/png")
	header.Set("Content-Length", strconv.Itoa(len(p)))
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "private")
	w.WriteHeader(http.StatusOK)
	_, err := w.Write(p)
	return err
}

// GetTicketPicture draws the code of a ticket.
func (s *Server) GetTicketPicture(ctx context.Context, request api.GetTicketPictureRequestObject) (api.GetTicketPictureResponseObject, error) {
	code, signed := s.Tickets.Verify(request.Code)
	if !signed {
		return nil, errUnknownTicket
	}
	owner, err := s.ownerOf(ctx, code)
	if err != nil {
		return nil, err
	}
	session := sessionOf(ctx)
	door := session.Role == identity.RoleAdmin && code.Kind == ticket.Event // which admins mind
	if owner != session.UserID && !door {
		return nil, errUnknownTicket
	}
	drawn, err := ticket.Picture(request.Code)
	return picture(drawn), err
}

// ownerOf is the user whose ticket a code is, or errUnknownTicket.
func (s *Server) ownerOf(ctx context.Context, code ticket.Code) (id.ID, error) {
	if code.Kind == ticket.Trip {
		owner, err := trips.PurchaseOwner(s.DB.Read(ctx), code.Owner)
		if errors.Is(err, trips.ErrUnknownPurchase) {
			err = errUnknownTicket
		}
		return owner, err
	}
	found, err := events.GetTicket(s.DB.Read(ctx), code.Owner, code.Index)
	if errors.Is(err, events.ErrUnknownTicket) {
		err = errUnknownTicket
	}
	s.Clock.Witness(found.Lamport)
	return found.User, err
}

// CheckInTicket lets somebody in, once.
func (s *Server) CheckInTicket(ctx context.Context, request api.CheckInTicketRequestObject) (api.CheckInTicketResponseObject, error) {
	if err := admin(ctx); err != nil {
		return nil, err
	}
	gate := ""
	if request.Body != nil && request.Body.Gate != nil {
		var err error
		if gate, err = text.Line(*request.Body.Gate, events.MaxGate); err != nil {
			return nil, invalid([]problem.Field{{Pointer: "/gate", Message: err.Error()}})
		}
	}
	code, signed := s.Tickets.Verify(request.Code)
	if !signed || code.Kind != ticket.Event {
		return nil, errUnknownTicket
	}
	var used events.Ticket
	var shown []api.Ticket
	err := s.DB.Write(ctx, func(tx database.Tx) (err error) {
		if used, err = events.CheckIn(tx, s.Clock, code.Owner, code.Index, gate, time.Now()); err != nil {
			return err
		}
		shown, err = s.asTickets(tx, []events.Ticket{used}) // before the commit: what cannot be shown is not used up
		return err
	})
	if err != nil {
		s.Clock.Witness(used.Lamport)
		return nil, checkInProblem(&used, err)
	}
	return api.CheckInTicket200JSONResponse(shown[0]), nil
}

// checkInProblem tells the door why nobody is let in.
func checkInProblem(t *events.Ticket, err error) error {
	switch {
	case errors.Is(err, events.ErrUnknownTicket):
		return errUnknownTicket
	case errors.Is(err, events.ErrTicketRefunded):
		return problem.New(problem.TicketRefunded, "The ticket was refunded; it is void.")
	case errors.Is(err, events.ErrTicketUsed):
		where := ""
		if t.UsedWhere != "" {
			where = ", at " + t.UsedWhere
		}
		return problem.Newf(problem.TicketUsed, "The ticket was used on %s%s.", t.UsedAt.Format(time.RFC3339), where)
	default:
		return err
	}
}
