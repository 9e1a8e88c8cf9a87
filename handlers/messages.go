package handlers

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"guichet/api"
	"guichet/models/chat"
	"guichet/models/id"
	"guichet/models/identity"
	"guichet/models/messages"
	"guichet/models/operation"
	"guichet/models/problem"
	"guichet/models/text"
)

// VisitListMessagesResponse writes the answer.
func (a jsonAnswer) VisitListMessagesResponse(w http.ResponseWriter) error { return a.write(w) }

// VisitPostMessageResponse writes the answer.
func (a jsonAnswer) VisitPostMessageResponse(w http.ResponseWriter) error { return a.write(w) }

// VisitGetMessageResponse writes the answer.
func (a jsonAnswer) VisitGetMessageResponse(w http.ResponseWriter) error { return a.write(w) }

// VisitEditMessageResponse writes the answer.
func (a decidedAnswer) VisitEditMessageResponse(w http.ResponseWriter) error { return a.write(w) }

// VisitDeleteMessageResponse writes the answer.
func (a decidedAnswer) VisitDeleteMessageResponse(w http.ResponseWriter) error { return a.write(w) }

// messageProblem tells the client what the log refuses. Other errors it returns as they are.
func messageProblem(err error) error {
	if errors.Is(err, messages.ErrUnknown) {
		return problem.New(problem.UnknownMessage, "There is no such message in this room.")
	}
	return err
}

// PostMessage says something: it is decided in Redis, and the database follows. Where Redis does not promise to keep it, the answer waits for the database.
func (s *Server) PostMessage(ctx context.Context, request api.PostMessageRequestObject) (api.PostMessageResponseObject, error) {
	room, refusal := s.speaking(ctx, request.Id)
	said, err := messageText(request.Body.Text)
	if err != nil && refusal == nil {
		return nil, err
	}
	session := sessionOf(ctx)
	draft := messages.Draft{Room: room, UserID: session.UserID, Username: session.Username, Text: said, Key: callOf(ctx).idempotencyKey()}
	var posted messages.Posted
	if refusal != nil {
		posted, err = s.postedDespite(ctx, request.Id, &draft, refusal)
	} else {
		posted, err = s.postOnce(ctx, &draft)
	}
	if err != nil {
		return nil, err
	}
	return jsonAnswer{http.StatusCreated, posted.AppendJSON(make([]byte, 0, 256+len(said))), posted.Replayed}, nil
}

// messageText is a text as it may be said.
func messageText(given string) (string, error) {
	said, err := text.Block(given, messages.MaxText)
	if err != nil {
		return "", invalid([]problem.Field{{Pointer: "/text", Message: err.Error()}})
	}
	return said, nil
}

// postOnce posts what was not posted before with the same key. Keys are known to Redis, unless it has lost them, and to the database once it has the message.
func (s *Server) postOnce(ctx context.Context, draft *messages.Draft) (messages.Posted, error) {
	posted, found, err := s.postedWithKey(ctx, draft)
	if found || err != nil {
		return posted, err
	}
	posted, err = s.Messages.Post(ctx, draft)
	if err == nil && !s.RedisIsDurable {
		err = s.Messages.AwaitStored(ctx, &posted)
	}
	return posted, err
}

// postedWithKey looks for what was posted before with the draft's key.
func (s *Server) postedWithKey(ctx context.Context, draft *messages.Draft) (messages.Posted, bool, error) {
	if draft.Key == nil {
		return messages.Posted{}, false, nil
	}
	return madeWithKey(ctx, func(ctx context.Context) (messages.Posted, bool, error) {
		return s.postedBefore(ctx, draft)
	}, func() (bool, error) {
		remembers, err := s.Messages.RemembersKeys(ctx, time.Now())
		if err == nil && !remembers { // all, but this one it may
			_, remembers, err = s.Messages.PostedBefore(ctx, draft)
		}
		return remembers, err
	})
}

// postedDespite is what was posted before with the same key by somebody who would be refused now; else it is the refusal.
func (s *Server) postedDespite(ctx context.Context, text string, draft *messages.Draft, refusal error) (messages.Posted, error) {
	room, err := chat.ParseRoom(text)
	if draft.Key == nil || err != nil {
		return messages.Posted{}, refusal
	}
	draft.Room = room
	looking, cancel := context.WithTimeout(ctx, keyPatience)
	defer cancel()
	posted, found, err := s.postedBefore(looking, draft)
	if !found && !errors.Is(err, errKeyReused) {
		posted, found, err = s.postedLately(ctx, draft) // the database may be behind
		if !found {
			err = refusal
		}
	}
	return posted, err
}

// postedLately asks Redis whether the key was used. Where it does not promise to keep what was posted, the database is waited for, as it is by who posts.
func (s *Server) postedLately(ctx context.Context, draft *messages.Draft) (posted messages.Posted, found bool, err error) {
	posted, found, err = s.Messages.PostedBefore(ctx, draft)
	if found && err == nil && !s.RedisIsDurable {
		err = s.Messages.AwaitStored(ctx, &posted)
	}
	return posted, found, err
}

// postedBefore asks the database whether the key was used.
func (s *Server) postedBefore(ctx context.Context, draft *messages.Draft) (posted messages.Posted, found bool, err error) {
	answers, err := operation.FindAnswers(s.DB.Read(ctx), []operation.Key{*draft.Key})
	if err != nil {
		return posted, false, err
	}
	before, found := answers[draft.Key.Bare()]
	if !found {
		return posted, false, nil
	}
	if before.Request != draft.Key.Request {
		return posted, false, errKeyReused
	}
	posted, err = s.Messages.Replayed(ctx, draft, before.Operation)
	return posted, true, err
}

// ListMessages reads a page of what was said.
func (s *Server) ListMessages(ctx context.Context, request api.ListMessagesRequestObject) (api.ListMessagesResponseObject, error) {
	room, err := s.admitted(ctx, request.Id)
	if err != nil {
		return nil, err
	}
	asked := messages.Page{Room: room}
	if asked.Forward, asked.From, err = messagePlace(&request.Params); err != nil {
		return nil, err
	}
	limit := limitOf(request.Params.Limit)
	asked.Limit = limit + 1
	found, err := s.Messages.History(ctx, asked)
	if err != nil {
		return nil, err
	}
	found, next := page(found, limit, func(m *messages.Message) string {
		if asked.Forward {
			return afterCursor + strconv.FormatInt(m.Sequence, 10)
		}
		return beforeCursor + strconv.FormatInt(m.Sequence, 10)
	})
	for i := range found {
		s.Clock.Witness(found[i].Lamport)
	}
	return listAnswer(found, next, (*messages.Message).AppendJSON), nil
}

// What cursors of messages begin with, which is the direction that they go on in.
const (
	beforeCursor = "before."
	afterCursor  = "after."
)

// messagePlace is where a page of messages begins: where its cursor says, or else its parameters.
func messagePlace(params *api.ListMessagesParams) (forward bool, from int64, err error) {
	switch {
	case params.Before != nil && params.After != nil:
		return false, 0, invalid([]problem.Field{{Pointer: "query/after", Message: "goes without before"}})
	case params.Cursor == nil && params.After != nil:
		return true, *params.After, nil
	case params.Cursor == nil:
		return false, given(params.Before), nil
	}
	key, err := decodeCursor(params.Cursor)
	if err != nil {
		return false, 0, err
	}
	number, forward := strings.CutPrefix(key, afterCursor)
	backward := false
	if !forward {
		number, backward = strings.CutPrefix(key, beforeCursor)
	}
	from, parseErr := strconv.ParseInt(number, 10, 64)
	if !forward && !backward || parseErr != nil || from <= 0 {
		return false, 0, errCursor
	}
	return forward, from, nil
}

// GetMessage reads one message.
func (s *Server) GetMessage(ctx context.Context, request api.GetMessageRequestObject) (api.GetMessageResponseObject, error) {
	room, err := s.admitted(ctx, request.Id)
	if err != nil {
		return nil, err
	}
	found, err := s.message(ctx, room, request.Message)
	if err != nil {
		return nil, err
	}
	return jsonAnswer{http.StatusOK, found.AppendJSON(nil), false}, nil
}

// message finds a message of a room.
func (s *Server) message(ctx context.Context, room id.ID, named string) (messages.Message, error) {
	parsed, err := id.Parse(named)
	if err != nil {
		return messages.Message{}, messageProblem(messages.ErrUnknown)
	}
	found, err := s.Messages.Get(ctx, room, parsed)
	if err != nil {
		return found, messageProblem(err)
	}
	s.Clock.Witness(found.Lamport)
	return found, nil
}

// EditMessage submits a correction, and waits for what becomes of it.
func (s *Server) EditMessage(ctx context.Context, request api.EditMessageRequestObject) (api.EditMessageResponseObject, error) {
	room, err := s.speaking(ctx, request.Id)
	if room, err = s.unlessRepeated(ctx, request.Id, room, err); err != nil {
		return nil, err
	}
	said, err := messageText(request.Body.Text)
	if err != nil {
		return nil, err
	}
	found, err := s.message(ctx, room, request.Message)
	if err != nil {
		return nil, err
	}
	return s.decide(ctx, messages.Lane, messages.KindEdit, messages.Command{Message: found.ID(), Text: said}, http.StatusOK)
}

// DeleteMessage submits a deletion, and waits for what becomes of it.
func (s *Server) DeleteMessage(ctx context.Context, request api.DeleteMessageRequestObject) (api.DeleteMessageResponseObject, error) {
	room, err := s.admitted(ctx, request.Id)
	if room, err = s.unlessRepeated(ctx, request.Id, room, err); err != nil {
		return nil, err
	}
	found, err := s.message(ctx, room, request.Message)
	if err != nil {
		return nil, err
	}
	command := messages.Command{Message: found.ID(), Admin: sessionOf(ctx).Role == identity.RoleAdmin}
	return s.decide(ctx, messages.Lane, messages.KindDeletion, command, http.StatusOK)
}
