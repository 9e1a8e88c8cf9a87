package handlers

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"guichet/api"
	"guichet/models/database"
	"guichet/models/exchange"
	"guichet/models/money"
	"guichet/models/problem"
)

// defaultDepth is how many levels of each side of a book are shown.
const defaultDepth = 50

var errUnknownSymbol = problem.New(problem.UnknownSymbol, "There is no such symbol.")

// VisitCreateSymbolResponse writes the answer.
func (a jsonAnswer) VisitCreateSymbolResponse(w http.ResponseWriter) error { return a.write(w) }

// VisitGetBookResponse writes the answer.
func (a jsonAnswer) VisitGetBookResponse(w http.ResponseWriter) error { return a.write(w) }

// VisitListTradesResponse writes the answer.
func (a jsonAnswer) VisitListTradesResponse(w http.ResponseWriter) error { return a.write(w) }

// VisitListCandlesResponse writes the answer.
func (a jsonAnswer) VisitListCandlesResponse(w http.ResponseWriter) error { return a.write(w) }

// VisitCreateIssueResponse writes the answer.
func (a operationAnswer) VisitCreateIssueResponse(w http.ResponseWriter) error { return a.write(w) }

// laneOf is the lane of a symbol, which never changes once it is listed; or errUnknownSymbol, which is not remembered, so that a new symbol is seen at once.
func (s *Server) laneOf(ctx context.Context, symbol string) (string, error) {
	if lane, known := s.symbolLanes.Load(symbol); known {
		return lane.(string), nil
	}
	found, err := s.symbol(ctx, symbol)
	if err != nil {
		return "", err
	}
	s.symbolLanes.Store(symbol, found.Lane)
	return found.Lane, nil
}

// symbol reads a symbol, and takes note of its stamp, which no trade, candle or level of it that was read before exceeds.
func (s *Server) symbol(ctx context.Context, symbol string) (exchange.Symbol, error) {
	found, err := exchange.GetSymbol(s.DB.Read(ctx), symbol)
	if err != nil {
		return found, exchangeProblem(err)
	}
	s.Clock.Witness(found.Lamport)
	return found, nil
}

// exchangeProblem tells the client what the stores of the exchange refuse. Other errors it returns as they are.
func exchangeProblem(err error) error {
	switch {
	case errors.Is(err, exchange.ErrUnknownSymbol):
		return errUnknownSymbol
	case errors.Is(err, exchange.ErrSymbolTaken):
		return problem.New(problem.SymbolTaken, "The symbol is listed already.")
	case errors.Is(err, exchange.ErrUnknownOrder):
		return errUnknownOrder
	default:
		return err
	}
}

// ListSymbols reads a page of what is traded.
func (s *Server) ListSymbols(ctx context.Context, request api.ListSymbolsRequestObject) (api.ListSymbolsResponseObject, error) {
	after, err := decodeCursor(request.Params.Cursor)
	if err != nil {
		return nil, err
	}
	limit := limitOf(request.Params.Limit)
	found, err := exchange.Symbols(s.DB.Read(ctx), after, limit+1)
	if err != nil {
		return nil, err
	}
	found, next := page(found, limit, func(s *exchange.Symbol) string { return s.Symbol })
	list := api.ListSymbols200JSONResponse{Items: make([]api.Symbol, len(found)), NextCursor: encodeCursor(next)}
	for i := range found {
		s.Clock.Witness(found[i].Lamport)
		list.Items[i] = asSymbol(&found[i])
	}
	return list, nil
}

func asSymbol(s *exchange.Symbol) api.Symbol {
	return api.Symbol{Symbol: s.Symbol, Name: s.Name, Tick: int64(s.Tick), Lot: s.Lot, Halted: s.Halted, FeeBps: s.FeeBps, ListedAt: s.ListedAt}
}

// GetSymbol reads one symbol.
func (s *Server) GetSymbol(ctx context.Context, request api.GetSymbolRequestObject) (api.GetSymbolResponseObject, error) {
	found, err := s.symbol(ctx, request.Symbol)
	if err != nil {
		return nil, err
	}
	return api.GetSymbol200JSONResponse(asSymbol(&found)), nil
}

// CreateSymbol lists a symbol, beside the queue.
func (s *Server) CreateSymbol(ctx context.Context, request api.CreateSymbolRequestObject) (api.CreateSymbolResponseObject, error) {
	if err := admin(ctx); err != nil {
		return nil, err
	}
	answer, err := s.createOnce(ctx, callOf(ctx).idempotencyKey(), func(keep keepAnswer) (any, error) {
		listed := s.newSymbol(request.Body)
		var made api.Symbol
		err := s.DB.Write(ctx, func(tx database.Tx) error {
			if err := exchange.InsertSymbol(tx, s.Clock, &listed); err != nil {
				return err
			}
			made = asSymbol(&listed)
			return keep(tx, made)
		})
		return made, err
	})
	if err != nil {
		return nil, exchangeProblem(err)
	}
	return answer, nil
}

func (s *Server) newSymbol(body *api.NewSymbol) exchange.Symbol {
	listed := exchange.Symbol{
		Symbol: body.Symbol, Name: body.Name, Tick: money.Amount(body.Tick), Lot: body.Lot, FeeBps: exchange.DefaultFeeBps,
		Lane: exchange.LaneOf(body.Symbol, s.ExchangeLanes), ListedAt: time.Now().UTC().Truncate(time.Microsecond),
	}
	if body.FeeBps != nil {
		listed.FeeBps = *body.FeeBps
	}
	return listed
}

// UpdateSymbol halts or resumes trading, beside the queue.
func (s *Server) UpdateSymbol(ctx context.Context, request api.UpdateSymbolRequestObject) (api.UpdateSymbolResponseObject, error) {
	if err := admin(ctx); err != nil {
		return nil, err
	}
	var changed exchange.Symbol
	err := s.DB.Write(ctx, func(tx database.Tx) (err error) {
		changed, err = exchange.Halt(tx, s.Clock, request.Symbol, request.Body.Halted, time.Now())
		return err
	})
	if err != nil {
		return nil, exchangeProblem(err)
	}
	s.Clock.Witness(changed.Lamport)
	return api.UpdateSymbol200JSONResponse(asSymbol(&changed)), nil
}

// CreateIssue submits a grant of shares.
func (s *Server) CreateIssue(ctx context.Context, request api.CreateIssueRequestObject) (api.CreateIssueResponseObject, error) {
	if err := admin(ctx); err != nil {
		return nil, err
	}
	lane, err := s.laneOf(ctx, request.Symbol)
	if err != nil {
		return nil, err
	}
	return s.enqueue(ctx, lane, exchange.KindIssue, exchange.IssueCommand{Account: request.Body.Account, Symbol: request.Symbol, Quantity: request.Body.Quantity})
}

// GetBook reads the best levels of a book.
func (s *Server) GetBook(ctx context.Context, request api.GetBookRequestObject) (api.GetBookResponseObject, error) {
	depth := defaultDepth
	if request.Params.Depth != nil {
		depth = *request.Params.Depth
	}
	found, err := exchange.ReadDepth(ctx, s.DB, request.Symbol, depth)
	if err != nil {
		return nil, exchangeProblem(err)
	}
	s.Clock.Witness(found.Symbol.Lamport)
	book := exchange.BookChange{Symbol: found.Symbol.Symbol, Sequence: found.Symbol.Sequence, Bids: found.Bids, Asks: found.Asks} // from nothing
	return jsonAnswer{http.StatusOK, book.AppendJSON(make([]byte, 0, 128+64*(len(found.Bids)+len(found.Asks)))), false}, nil
}

// ListTrades reads a page of a symbol's tape.
func (s *Server) ListTrades(ctx context.Context, request api.ListTradesRequestObject) (api.ListTradesResponseObject, error) {
	before, err := numberCursor(request.Params.Cursor)
	if err != nil {
		return nil, err
	}
	limit := limitOf(request.Params.Limit)
	trades, err := exchange.Trades(s.DB.Read(ctx), request.Symbol, before, limit+1)
	if err == nil {
		_, err = s.symbol(ctx, request.Symbol)
	}
	if err != nil {
		return nil, err
	}
	trades, next := page(trades, limit, func(t *exchange.Trade) string { return strconv.FormatInt(t.Number, 10) })
	return listAnswer(trades, next, (*exchange.Trade).AppendJSON), nil
}

// ListCandles reads a page of a symbol's candles.
func (s *Server) ListCandles(ctx context.Context, request api.ListCandlesRequestObject) (api.ListCandlesResponseObject, error) {
	filter, err := candleFilter(&request)
	if err != nil {
		return nil, err
	}
	candles, err := exchange.Candles(s.DB.Read(ctx), filter)
	if err == nil {
		_, err = s.symbol(ctx, request.Symbol)
	}
	if err != nil {
		return nil, err
	}
	candles, next := page(candles, filter.Limit-1, func(c *exchange.Candle) string { return strconv.FormatInt(c.Start.Unix(), 10) })
	return listAnswer(candles, next, (*exchange.Candle).AppendJSON), nil
}

// candleFilter asks for one candle more than the page has.
func candleFilter(request *api.ListCandlesRequestObject) (exchange.CandleFilter, error) {
	filter := exchange.CandleFilter{Symbol: request.Symbol, Interval: exchange.Intervals[0], From: request.Params.From, To: request.Params.To, Limit: limitOf(request.Params.Limit) + 1}
	if request.Params.Interval != nil {
		filter.Interval, _ = exchange.ParseInterval(string(*request.Params.Interval)) // the contract has the same names
	}
	before, err := numberCursor(request.Params.Cursor)
	if start := time.Unix(before, 0); before > 0 && (filter.To == nil || start.Before(*filter.To)) {
		filter.To = &start
	}
	return filter, err
}
