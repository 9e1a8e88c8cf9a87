package handlers

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"guichet/api"
	"guichet/models/bank"
	"guichet/models/database"
	"guichet/models/identity"
	"guichet/models/operation"
	"guichet/models/problem"
)

// hashPatience is the Retry-After when too many passwords are being hashed.
const hashPatience = 2 * time.Second

// VisitCreateUserResponse writes the answer.
func (a jsonAnswer) VisitCreateUserResponse(w http.ResponseWriter) error { return a.write(w) }

// VisitCreateSessionResponse writes the answer.
func (a jsonAnswer) VisitCreateSessionResponse(w http.ResponseWriter) error { return a.write(w) }

// VisitCreateFeedTicketResponse writes the answer.
func (a jsonAnswer) VisitCreateFeedTicketResponse(w http.ResponseWriter) error { return a.write(w) }

// CreateUser registers somebody, with an account.
func (s *Server) CreateUser(ctx context.Context, request api.CreateUserRequestObject) (api.CreateUserResponseObject, error) {
	body := *request.Body
	display, _, err := identity.NormalizeUsername(body.Username)
	if err != nil {
		return nil, identityProblem(err)
	}
	shown := body
	shown.Password = ""
	key, err := passwordlessKey(ctx, "POST /v1/users", shown)
	if err != nil {
		return nil, err
	}
	answer, err := s.createOnce(ctx, key, func(keep keepAnswer) (any, error) {
		return s.register(ctx, display, body.Password, body.AccountNumber, keep)
	})
	if err != nil {
		return nil, identityProblem(err)
	}
	return answer, s.checkRepeated(ctx, answer, body.Username, body.Password)
}

func (s *Server) register(ctx context.Context, username, password string, number *string, keep keepAnswer) (any, error) {
	hash, err := s.Identity.HashPassword(ctx, password)
	if err != nil {
		return nil, err
	}
	user := identity.User{
		ID: s.IDs.Next(), Username: username, PasswordHash: hash, Role: identity.RoleUser, CreatedAt: time.Now().UTC().Truncate(time.Microsecond),
	}
	var made api.User
	err = s.DB.Write(ctx, func(tx database.Tx) error {
		if err := identity.InsertUser(tx, user); err != nil {
			return err
		}
		if user.AccountNumber, err = s.openAccount(tx, &user, number); err != nil {
			return err
		}
		made = asUser(&user)
		return keep(tx, made)
	})
	return made, err
}

func (s *Server) openAccount(tx database.Tx, user *identity.User, number *string) (string, error) {
	if number == nil {
		return bank.OpenAnyAccount(tx, s.Clock, user.ID, user.CreatedAt)
	}
	return *number, bank.OpenAccount(tx, s.Clock, *number, user.ID, user.CreatedAt)
}

// CreateSession signs somebody in.
func (s *Server) CreateSession(ctx context.Context, request api.CreateSessionRequestObject) (api.CreateSessionResponseObject, error) {
	body := *request.Body
	shown := body
	shown.Password = ""
	key, err := passwordlessKey(ctx, "POST /v1/sessions", shown)
	if err != nil {
		return nil, err
	}
	takeOver := body.TakeOver != nil && *body.TakeOver
	answer, err := s.createOnce(ctx, key, func(keep keepAnswer) (any, error) {
		var made api.Session
		_, err := s.Identity.SignIn(ctx, body.Username, body.Password, takeOver, func(tx database.Tx, signedIn identity.SignedIn) (err error) {
			if made, err = asSession(&signedIn); err != nil {
				return err
			}
			return keep(tx, made)
		})
		return made, err
	})
	if err != nil {
		return nil, identityProblem(err)
	}
	return answer, s.checkRepeated(ctx, answer, body.Username, body.Password)
}

// passwordlessKey is the key of a request from somebody who has not signed in, or nil. What it remembers of the request leaves the password out, because
// a plain hash of it would be quick to guess from; checkRepeated makes up for that.
func passwordlessKey(ctx context.Context, call string, shown any) (*operation.Key, error) {
	key := callOf(ctx).idempotencyKey()
	if key == nil {
		return nil, nil
	}
	body, err := json.Marshal(shown)
	if err != nil {
		return nil, err
	}
	key.Request = sha256.Sum256(append([]byte(call+"\n"), body...))
	return key, nil
}

// checkRepeated refuses an answer that was given before to whoever has not the password that it was given for: that was another request.
func (s *Server) checkRepeated(ctx context.Context, answer jsonAnswer, username, password string) error {
	if !answer.repeated {
		return nil
	}
	_, err := s.Identity.CheckPassword(ctx, username, password)
	var wrong *identity.WrongPasswordError
	if errors.As(err, &wrong) || errors.Is(err, identity.ErrUnknownUsername) {
		return errKeyReused
	}
	return identityProblem(err)
}

// DeleteCurrentSession signs the caller out.
func (s *Server) DeleteCurrentSession(ctx context.Context, _ api.DeleteCurrentSessionRequestObject) (api.DeleteCurrentSessionResponseObject, error) {
	return api.DeleteCurrentSession204Response{}, s.Identity.SignOut(ctx, *sessionOf(ctx))
}

// GetMe tells the caller who they are.
func (s *Server) GetMe(ctx context.Context, _ api.GetMeRequestObject) (api.GetMeResponseObject, error) {
	return api.GetMe200JSONResponse(sessionUser(sessionOf(ctx))), nil
}

// ListNotices reads a page of the caller's notices.
func (s *Server) ListNotices(ctx context.Context, request api.ListNoticesRequestObject) (api.ListNoticesResponseObject, error) {
	before, err := idCursor(request.Params.Cursor)
	if err != nil {
		return nil, err
	}
	limit := limitOf(request.Params.Limit)
	notices, err := s.Identity.ListNotices(ctx, sessionOf(ctx).UserID, before, limit+1)
	if err != nil {
		return nil, err
	}
	notices, next := page(notices, limit, func(n *identity.Notice) string { return n.ID.String() })
	items, err := asNotices(notices)
	return api.ListNotices200JSONResponse{Items: items, NextCursor: encodeCursor(next)}, err
}

// CreateFeedTicket gives the caller a ticket to open the feed with.
func (s *Server) CreateFeedTicket(ctx context.Context, _ api.CreateFeedTicketRequestObject) (api.CreateFeedTicketResponseObject, error) {
	answer, err := s.createOnce(ctx, callOf(ctx).idempotencyKey(), func(keep keepAnswer) (any, error) {
		var made api.FeedTicket
		err := s.DB.Write(ctx, func(tx database.Tx) (err error) {
			if made.Ticket, made.ExpiresAt, err = s.Identity.CreateFeedTicket(tx, *sessionOf(ctx)); err != nil {
				return err
			}
			return keep(tx, made)
		})
		return made, err
	})
	if err != nil {
		return nil, err
	}
	return answer, nil
}

// identityProblem tells the client what identity and bank refuse. Other errors it returns as they are.
func identityProblem(err error) error {
	var name *identity.UsernameError
	var wrong *identity.WrongPasswordError
	var locked *identity.LockedError
	switch {
	case errors.As(err, &name):
		return invalid([]problem.Field{{Pointer: "/username", Message: name.Message}})
	case errors.Is(err, identity.ErrUsernameTaken):
		return problem.New(problem.UsernameTaken, "Somebody has this user name, or one that is the same but for case or form.")
	case errors.Is(err, bank.ErrNumberTaken):
		return problem.New(problem.AccountNumberTaken, "Another account has this number.")
	case errors.Is(err, identity.ErrUnknownUsername):
		return problem.New(problem.UnknownUsername, "Nobody has this user name. Register at POST /v1/users.")
	case errors.As(err, &wrong):
		p := problem.New(problem.WrongPassword, "The password is wrong.")
		p.AttemptsLeft = &wrong.AttemptsLeft
		return p
	case errors.As(err, &locked):
		return problem.New(problem.TooManyAttempts, "Too many wrong passwords: sign-in is locked for a while.").After(max(time.Until(locked.Until), time.Second))
	case errors.Is(err, identity.ErrAlreadySignedIn):
		return problem.New(problem.AlreadySignedIn, "A session is alive elsewhere. Sign out there, or send take_over: true to end it.")
	case errors.Is(err, identity.ErrBusy):
		return problem.New(problem.Unavailable, "Too many people are signing in at once; please try again.").After(hashPatience).Because(err)
	default:
		return err
	}
}

func asUser(u *identity.User) api.User {
	return api.User{Id: u.ID.String(), Username: u.Username, Role: api.Role(u.Role), AccountNumber: u.AccountNumber, CreatedAt: u.CreatedAt}
}

func sessionUser(s *identity.Session) api.User {
	return api.User{Id: s.UserID.String(), Username: s.Username, Role: api.Role(s.Role), AccountNumber: s.AccountNumber, CreatedAt: s.UserCreatedAt}
}

func asSession(s *identity.SignedIn) (api.Session, error) {
	notices, err := asNotices(s.Notices)
	return api.Session{Token: s.Token, ExpiresAt: s.ExpiresAt, User: sessionUser(&s.Session), Notices: notices}, err
}

func asNotices(notices []identity.Notice) ([]api.Notice, error) {
	items := make([]api.Notice, len(notices))
	for i, n := range notices {
		items[i] = api.Notice{Id: n.ID.String(), Kind: n.Kind, Text: n.Text, At: n.At}
		decoder := json.NewDecoder(bytes.NewReader(n.Data))
		decoder.UseNumber() // integers stay what they are
		if err := decoder.Decode(&items[i].Data); err != nil {
			return nil, err
		}
	}
	return items, nil
}
