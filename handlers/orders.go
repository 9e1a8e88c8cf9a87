package handlers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"guichet/api"
	"guichet/models/exchange"
	"guichet/models/id"
	"guichet/models/money"
	"guichet/models/operation"
	"guichet/models/problem"
)

// errUnknownOrder is one answer to both: no order has the id, and it is somebody else's.
var errUnknownOrder = problem.New(problem.UnknownOrder, "There is no such order, or it is not yours.")

// VisitCreateOrderResponse writes the answer.
func (a operationAnswer) VisitCreateOrderResponse(w http.ResponseWriter) error { return a.write(w) }

// VisitDeleteOrderResponse writes the answer.
func (a operationAnswer) VisitDeleteOrderResponse(w http.ResponseWriter) error { return a.write(w) }

// VisitDeleteOrdersResponse writes the answer.
func (a operationAnswer) VisitDeleteOrdersResponse(w http.ResponseWriter) error { return a.write(w) }

// VisitListOrdersResponse writes the answer.
func (a jsonAnswer) VisitListOrdersResponse(w http.ResponseWriter) error { return a.write(w) }

// VisitGetOrderResponse writes the answer.
func (a jsonAnswer) VisitGetOrderResponse(w http.ResponseWriter) error { return a.write(w) }

// VisitListFillsResponse writes the answer.
func (a jsonAnswer) VisitListFillsResponse(w http.ResponseWriter) error { return a.write(w) }

// VisitListHoldingsResponse writes the answer.
func (a jsonAnswer) VisitListHoldingsResponse(w http.ResponseWriter) error { return a.write(w) }

// CreateOrder submits an order. One for a symbol that is not listed goes to the lane that would have it, which rejects it.
func (s *Server) CreateOrder(ctx context.Context, request api.CreateOrderRequestObject) (api.CreateOrderResponseObject, error) {
	command, fields := orderCommand(sessionOf(ctx).AccountNumber, request.Body)
	if len(fields) > 0 {
		return nil, invalid(fields)
	}
	lane, err := s.laneOf(ctx, command.Symbol)
	if errors.Is(err, errUnknownSymbol) {
		lane, err = exchange.LaneOf(command.Symbol, s.ExchangeLanes), nil
	}
	if err != nil {
		return nil, err
	}
	answer, err := s.enqueue(ctx, lane, exchange.KindOrder, command)
	if err == nil {
		s.ordered.add(answer.id, ordered{sessionOf(ctx).UserID, command.Symbol})
	}
	return answer, err
}

// orderCommand reads an order, and says which of its fields do not go together.
func orderCommand(account string, body *api.NewOrder) (c exchange.OrderCommand, fields []problem.Field) {
	c = exchange.OrderCommand{
		Account: account, Symbol: body.Symbol, Side: exchange.Side(body.Side), Type: exchange.LimitOrder, TimeInForce: exchange.GoodTillCancelled, Quantity: body.Quantity,
		Price: money.Amount(given(body.Price)), PostOnly: given(body.PostOnly), ClientOrderID: given(body.ClientOrderId),
	}
	if body.Type != nil && *body.Type == api.OrderTypeMarket {
		c.Type, c.TimeInForce = exchange.MarketOrder, exchange.ImmediateOrCancel
	}
	if body.TimeInForce != nil {
		c.TimeInForce = exchange.TimeInForce(*body.TimeInForce)
	}
	refuse := func(pointer, message string) {
		fields = append(fields, problem.Field{Pointer: pointer, Message: message})
	}
	if c.Type == exchange.LimitOrder && body.Price == nil {
		refuse("/price", "is required for a limit order")
	}
	if c.Type == exchange.MarketOrder && body.Price != nil {
		refuse("/price", "must be left out of a market order")
	}
	if c.Type == exchange.MarketOrder && c.TimeInForce == exchange.GoodTillCancelled {
		refuse("/time_in_force", "must be ioc or fok: a market order never rests")
	}
	if c.PostOnly && (c.Type == exchange.MarketOrder || c.TimeInForce != exchange.GoodTillCancelled) {
		refuse("/post_only", "goes with limit and gtc only: other orders never rest")
	}
	return c, fields
}

// given is the value of an optional field, zero if it was left out.
func given[T any](field *T) (value T) {
	if field != nil {
		value = *field
	}
	return value
}

// DeleteOrder submits the cancellation of an order.
func (s *Server) DeleteOrder(ctx context.Context, request api.DeleteOrderRequestObject) (api.DeleteOrderResponseObject, error) {
	order, err := parseOrderID(request.Id)
	if err != nil {
		return nil, err
	}
	symbol, err := s.symbolOf(ctx, order)
	if err != nil {
		return nil, err
	}
	lane, err := s.laneOf(ctx, symbol)
	if errors.Is(err, errUnknownSymbol) { // the order waits to be rejected
		return nil, errUnknownOrder
	}
	if err != nil {
		return nil, err
	}
	return s.enqueue(ctx, lane, exchange.KindCancellation, exchange.CancellationCommand{Symbol: symbol, Order: order})
}

func parseOrderID(text string) (id.ID, error) {
	order, err := id.Parse(text)
	if err != nil {
		return order, errUnknownOrder
	}
	return order, nil
}

// symbolOf is the symbol of an order of the caller's, which may still wait in line.
func (s *Server) symbolOf(ctx context.Context, order id.ID) (string, error) {
	user := sessionOf(ctx).UserID
	if placed, found := s.ordered.find(order); found && placed.user == user {
		return placed.symbol, nil
	}
	found, err := exchange.GetOrder(s.DB.Read(ctx), user, order)
	if !errors.Is(err, exchange.ErrUnknownOrder) {
		return found.Symbol, err
	}
	waiting, err := s.journal.Get(ctx, order, user)
	switch {
	case errors.Is(err, operation.ErrNotFound):
		return "", errUnknownOrder
	case err != nil:
		return "", err
	case waiting.Kind != exchange.KindOrder, waiting.Outcome != nil && waiting.Outcome.Status != operation.Succeeded:
		return "", errUnknownOrder
	}
	command, err := exchange.DecodeCommand(waiting.Kind, waiting.Payload)
	return command.Order.Symbol, err
}

// DeleteOrders submits the cancellation of all that the caller has in a symbol.
func (s *Server) DeleteOrders(ctx context.Context, request api.DeleteOrdersRequestObject) (api.DeleteOrdersResponseObject, error) {
	lane, err := s.laneOf(ctx, request.Params.Symbol)
	if err != nil {
		return nil, err
	}
	return s.enqueue(ctx, lane, exchange.KindMassCancellation, exchange.MassCancellationCommand{Account: sessionOf(ctx).AccountNumber, Symbol: request.Params.Symbol})
}

// ListOrders reads a page of the caller's orders.
func (s *Server) ListOrders(ctx context.Context, request api.ListOrdersRequestObject) (api.ListOrdersResponseObject, error) {
	p := request.Params
	before, err := idCursor(p.Cursor)
	if err != nil {
		return nil, err
	}
	limit := limitOf(p.Limit)
	orders, err := exchange.Orders(s.DB.Read(ctx), exchange.OrderFilter{
		User: sessionOf(ctx).UserID, Symbol: given(p.Symbol), Status: exchange.Status(given(p.Status)), ClientOrderID: given(p.ClientOrderId), Before: before, Limit: limit + 1,
	})
	if err != nil {
		return nil, err
	}
	orders, next := page(orders, limit, func(o *exchange.Order) string { return o.ID.String() })
	for i := range orders {
		s.Clock.Witness(orders[i].Lamport)
	}
	return listAnswer(orders, next, (*exchange.Order).AppendJSON), nil
}

// GetOrder reads one order.
func (s *Server) GetOrder(ctx context.Context, request api.GetOrderRequestObject) (api.GetOrderResponseObject, error) {
	order, err := parseOrderID(request.Id)
	if err != nil {
		return nil, err
	}
	found, err := exchange.GetOrder(s.DB.Read(ctx), sessionOf(ctx).UserID, order)
	if err != nil {
		return nil, exchangeProblem(err)
	}
	s.Clock.Witness(found.Lamport)
	return jsonAnswer{http.StatusOK, found.AppendJSON(nil), false}, nil
}

// ListFills reads a page of the caller's fills. What is no id of an order names none, and none has fills.
func (s *Server) ListFills(ctx context.Context, request api.ListFillsRequestObject) (api.ListFillsResponseObject, error) {
	p := request.Params
	before, err := fillCursor(p.Cursor)
	if err != nil {
		return nil, err
	}
	limit := limitOf(p.Limit)
	filter := exchange.FillFilter{User: sessionOf(ctx).UserID, Symbol: given(p.Symbol), Before: before, Limit: limit + 1}
	var fills []exchange.Fill
	if p.Order != nil {
		filter.Order, err = id.Parse(*p.Order)
	}
	if err == nil {
		fills, err = exchange.Fills(s.DB.Read(ctx), filter)
		if err != nil {
			return nil, err
		}
	}
	fills, next := page(fills, limit, fillKey)
	for i := range fills {
		s.Clock.Witness(fills[i].Lamport)
	}
	return listAnswer(fills, next, (*exchange.Fill).AppendJSON), nil
}

func fillKey(f *exchange.Fill) string {
	return fmt.Sprintf("%d.%d.%s", operation.Micro(f.At), f.Number, f.Symbol)
}

// fillCursor reads what fillKey wrote.
func fillCursor(cursor *string) (exchange.FillKey, error) {
	key, err := decodeCursor(cursor)
	if err != nil || key == "" {
		return exchange.FillKey{}, err
	}
	at, rest, _ := strings.Cut(key, ".")
	number, symbol, _ := strings.Cut(rest, ".")
	var k exchange.FillKey
	var errAt, errNumber error
	k.AtUs, errAt = strconv.ParseInt(at, 10, 64)
	k.Number, errNumber = strconv.ParseInt(number, 10, 64)
	k.Symbol = symbol
	if errAt != nil || errNumber != nil || k.Number <= 0 || !exchange.ValidSymbol(symbol) {
		return exchange.FillKey{}, errCursor
	}
	return k, nil
}

// ListHoldings reads a page of the caller's shares.
func (s *Server) ListHoldings(ctx context.Context, request api.ListHoldingsRequestObject) (api.ListHoldingsResponseObject, error) {
	after, err := decodeCursor(request.Params.Cursor)
	if err != nil {
		return nil, err
	}
	limit := limitOf(request.Params.Limit)
	holdings, err := exchange.ReadHoldings(s.DB.Read(ctx), sessionOf(ctx).AccountNumber, after, limit+1)
	if err != nil {
		return nil, err
	}
	holdings, next := page(holdings, limit, func(h *exchange.Holding) string { return h.Symbol })
	for i := range holdings {
		s.Clock.Witness(holdings[i].Lamport)
	}
	return listAnswer(holdings, next, (*exchange.Holding).AppendJSON), nil
}

// ordered is what is remembered of an order that was submitted here.
type ordered struct {
	user   id.ID
	symbol string
}
