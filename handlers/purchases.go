package handlers

import (
	"context"
	"net/http"
	"time"

	"golang.org/x/text/unicode/norm"

	"guichet/api"
	"guichet/models/id"
	"guichet/models/problem"
	"guichet/models/trips"
)

// errUnknownPurchase is one answer to both: no purchase has the id, and it is somebody else's.
var errUnknownPurchase = problem.New(problem.UnknownPurchase, "There is no such purchase, or it is not yours.")

// VisitCreatePurchaseResponse writes the answer.
func (a operationAnswer) VisitCreatePurchaseResponse(w http.ResponseWriter) error { return a.write(w) }

// VisitConfirmPurchaseResponse writes the answer.
func (a operationAnswer) VisitConfirmPurchaseResponse(w http.ResponseWriter) error { return a.write(w) }

// VisitDeletePurchaseResponse writes the answer.
func (a operationAnswer) VisitDeletePurchaseResponse(w http.ResponseWriter) error { return a.write(w) }

// VisitListPurchasesResponse writes the answer.
func (a jsonAnswer) VisitListPurchasesResponse(w http.ResponseWriter) error { return a.write(w) }

// VisitGetPurchaseResponse writes the answer.
func (a jsonAnswer) VisitGetPurchaseResponse(w http.ResponseWriter) error { return a.write(w) }

// CreatePurchase submits a purchase. What is wrong with it the lane says, in its turn.
func (s *Server) CreatePurchase(ctx context.Context, request api.CreatePurchaseRequestObject) (api.CreatePurchaseResponseObject, error) {
	body := request.Body
	return s.enqueue(ctx, trips.Lane, trips.KindPurchase, trips.PurchaseCommand{
		Account: sessionOf(ctx).AccountNumber, Trip: body.Trip, Class: norm.NFC.String(body.Class), Quantity: body.Quantity, Confirm: given(body.Confirm),
		HoldS: int64(s.Hold / time.Second),
	})
}

// ConfirmPurchase submits the payment of a purchase.
func (s *Server) ConfirmPurchase(ctx context.Context, request api.ConfirmPurchaseRequestObject) (api.ConfirmPurchaseResponseObject, error) {
	return s.changePurchase(ctx, request.Id, trips.KindConfirmation)
}

// DeletePurchase submits the cancellation or the refund of a purchase.
func (s *Server) DeletePurchase(ctx context.Context, request api.DeletePurchaseRequestObject) (api.DeletePurchaseResponseObject, error) {
	return s.changePurchase(ctx, request.Id, trips.KindCancellation)
}

// changePurchase submits what is to be done to a purchase, with what of it never changes, so that the lane can read everything at once.
func (s *Server) changePurchase(ctx context.Context, purchase, kind string) (operationAnswer, error) {
	p, err := s.purchase(ctx, purchase)
	if err != nil {
		return operationAnswer{}, err
	}
	return s.enqueue(ctx, trips.Lane, kind, trips.ChangeCommand{Account: p.Account, Trip: p.TripID, Class: p.Class, Purchase: p.ID})
}

// purchase reads a purchase of the caller's, and takes note of its stamp.
func (s *Server) purchase(ctx context.Context, text string) (*trips.Purchase, error) {
	purchase, err := id.Parse(text)
	if err != nil {
		return nil, errUnknownPurchase
	}
	found, err := trips.GetPurchase(s.DB.Read(ctx), sessionOf(ctx).UserID, purchase)
	if err != nil {
		return nil, tripsProblem(err)
	}
	s.Clock.Witness(found.Lamport)
	return found, nil
}

// GetPurchase reads one purchase.
func (s *Server) GetPurchase(ctx context.Context, request api.GetPurchaseRequestObject) (api.GetPurchaseResponseObject, error) {
	found, err := s.purchase(ctx, request.Id)
	if err != nil {
		return nil, err
	}
	return jsonAnswer{http.StatusOK, found.AppendJSON(nil, s.Tickets), false}, nil
}

// ListPurchases reads a page of the caller's purchases. What is no id of a trip names none, and none has purchases.
func (s *Server) ListPurchases(ctx context.Context, request api.ListPurchasesRequestObject) (api.ListPurchasesResponseObject, error) {
	p := request.Params
	before, err := idCursor(p.Cursor)
	if err != nil {
		return nil, err
	}
	limit := limitOf(p.Limit)
	filter := trips.PurchaseFilter{User: sessionOf(ctx).UserID, Status: trips.Status(given(p.Status)), Before: before, Limit: limit + 1}
	var purchases []trips.Purchase
	if p.Trip != nil {
		filter.Trip, err = id.Parse(*p.Trip)
	}
	if err == nil && (p.Trip == nil || !filter.Trip.IsZero()) {
		purchases, err = trips.Purchases(s.DB.Read(ctx), filter)
		if err != nil {
			return nil, err
		}
	}
	purchases, next := page(purchases, limit, func(p *trips.Purchase) string { return p.ID.String() })
	for i := range purchases {
		s.Clock.Witness(purchases[i].Lamport)
	}
	return listAnswer(purchases, next, func(p *trips.Purchase, b []byte) []byte { return p.AppendJSON(b, s.Tickets) }), nil
}
