package handlers

import (
	"context"
	"errors"
	"net/http"

	"guichet/api"
	"guichet/models/chat"
	"guichet/models/games"
	"guichet/models/id"
	"guichet/models/identity"
	"guichet/models/operation"
	"guichet/models/problem"
)

var (
	errUnknownGame = problem.New(problem.UnknownGame, "There is no such game.")
)

// VisitListGamesResponse writes the answer.
func (a jsonAnswer) VisitListGamesResponse(w http.ResponseWriter) error { return a.write(w) }

// VisitGetGameResponse writes the answer.
func (a jsonAnswer) VisitGetGameResponse(w http.ResponseWriter) error { return a.write(w) }

// VisitInviteToGameResponse writes the answer.
func (a decidedAnswer) VisitInviteToGameResponse(w http.ResponseWriter) error { return a.write(w) }

// VisitAcceptGameResponse writes the answer.
func (a decidedAnswer) VisitAcceptGameResponse(w http.ResponseWriter) error { return a.write(w) }

// VisitMakeMoveResponse writes the answer.
func (a decidedAnswer) VisitMakeMoveResponse(w http.ResponseWriter) error { return a.write(w) }

// VisitLeaveGameResponse writes the answer.
func (a decidedAnswer) VisitLeaveGameResponse(w http.ResponseWriter) error { return a.write(w) }

// game reads a game, and takes note of its stamp. It is for whoever plays it, wherever they are; others must be admitted to its room to see it.
func (s *Server) game(ctx context.Context, text string) (*games.Game, error) {
	game, err := id.Parse(text)
	if err != nil {
		return nil, errUnknownGame
	}
	found, err := games.Get(s.DB.Read(ctx), game)
	if errors.Is(err, games.ErrUnknownGame) {
		return nil, errUnknownGame
	}
	if err != nil {
		return nil, err
	}
	s.Clock.Witness(found.Lamport)
	return found, nil
}

// ListGames reads a page of a room's games.
func (s *Server) ListGames(ctx context.Context, request api.ListGamesRequestObject) (api.ListGamesResponseObject, error) {
	room, err := s.admitted(ctx, request.Id)
	if err != nil {
		return nil, err
	}
	before, err := idCursor(request.Params.Cursor)
	if err != nil {
		return nil, err
	}
	limit := limitOf(request.Params.Limit)
	found, err := games.List(s.DB.Read(ctx), games.Filter{Room: room, Status: games.Status(given(request.Params.Status)), Before: before, Limit: limit + 1})
	if err != nil {
		return nil, err
	}
	found, next := page(found, limit, func(g **games.Game) string { return (*g).ID.String() })
	for _, g := range found {
		s.Clock.Witness(g.Lamport)
	}
	return listAnswer(found, next, func(g **games.Game, b []byte) []byte { return (*g).AppendJSON(b) }), nil
}

// GetGame reads one game.
func (s *Server) GetGame(ctx context.Context, request api.GetGameRequestObject) (api.GetGameResponseObject, error) {
	found, err := s.game(ctx, request.Id)
	if err == nil && !found.IsPlayer(sessionOf(ctx).UserID) {
		_, err = s.admitted(ctx, chat.RoomText(found.Room))
	}
	if err != nil {
		return nil, err
	}
	return jsonAnswer{http.StatusOK, found.AppendJSON(nil), false}, nil
}

// InviteToGame submits an invitation.
func (s *Server) InviteToGame(ctx context.Context, request api.InviteToGameRequestObject) (api.InviteToGameResponseObject, error) {
	room, err := s.enteredOrRepeated(ctx, request.Id)
	if err != nil {
		return nil, err
	}
	command := games.InvitationCommand{Room: room, User: sessionOf(ctx).Username, MoveSeconds: games.DefaultMoveSeconds}
	if request.Body.MoveSeconds != nil {
		command.MoveSeconds = *request.Body.MoveSeconds
	}
	return s.decide(ctx, games.Lane, games.KindInvitation, command, http.StatusCreated)
}

// AcceptGame submits an acceptance.
func (s *Server) AcceptGame(ctx context.Context, request api.AcceptGameRequestObject) (api.AcceptGameResponseObject, error) {
	found, err := s.game(ctx, request.Id)
	if err == nil {
		_, err = s.enteredOrRepeated(ctx, chat.RoomText(found.Room))
	}
	if err != nil {
		return nil, err
	}
	return s.decide(ctx, games.Lane, games.KindAcceptance, games.AcceptanceCommand{Game: found.ID, User: sessionOf(ctx).Username}, http.StatusOK)
}

// enteredOrRepeated is entered, but for what was asked before.
func (s *Server) enteredOrRepeated(ctx context.Context, text string) (id.ID, error) {
	room, err := s.entered(ctx, text)
	return s.unlessRepeated(ctx, text, room, err)
}

// unlessRepeated takes a refusal back where the same was asked before with the same Idempotency-Key: then the same answer is given again, though the caller may have
// left the room since, or been muted.
func (s *Server) unlessRepeated(ctx context.Context, text string, room id.ID, err error) (id.ID, error) {
	var refusal *problem.Problem
	key := callOf(ctx).idempotencyKey()
	if err == nil || key == nil || !errors.As(err, &refusal) {
		return room, err
	}
	answers, findErr := operation.FindAnswers(s.DB.Read(ctx), []operation.Key{*key})
	if findErr != nil {
		return room, findErr
	}
	parsed, parseErr := chat.ParseRoom(text)
	if _, used := answers[key.Bare()]; !used || parseErr != nil {
		return room, err
	}
	return parsed, nil
}

// MakeMove submits a move. Who plays may move wherever they are.
func (s *Server) MakeMove(ctx context.Context, request api.MakeMoveRequestObject) (api.MakeMoveResponseObject, error) {
	found, err := s.game(ctx, request.Id)
	if err != nil {
		return nil, err
	}
	return s.decide(ctx, games.Lane, games.KindMove, games.MoveCommand{Game: found.ID, Row: request.Body.Row, Column: request.Body.Column}, http.StatusOK)
}

// LeaveGame submits a withdrawal or a resignation.
func (s *Server) LeaveGame(ctx context.Context, request api.LeaveGameRequestObject) (api.LeaveGameResponseObject, error) {
	found, err := s.game(ctx, request.Id)
	if err != nil {
		return nil, err
	}
	return s.decide(ctx, games.Lane, games.KindLeaving, games.LeavingCommand{Game: found.ID}, http.StatusOK)
}

// GetPlayer reads what somebody has won and lost.
func (s *Server) GetPlayer(ctx context.Context, request api.GetPlayerRequestObject) (api.GetPlayerResponseObject, error) {
	user, err := identity.FindUser(s.DB.Read(ctx), request.Username)
	if errors.Is(err, identity.ErrUnknownUsername) {
		return nil, errUnknownUser
	}
	if err != nil {
		return nil, err
	}
	record, err := games.RecordOf(s.DB.Read(ctx), user.ID)
	if err != nil {
		return nil, err
	}
	s.Clock.Witness(record.Lamport)
	return api.GetPlayer200JSONResponse{User: user.Username, Won: record.Won, Lost: record.Lost, Drawn: record.Drawn}, nil
}
