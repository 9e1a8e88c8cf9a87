package handlers

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"guichet/api"
	"guichet/models/feed"
	"guichet/models/id"
	"guichet/models/identity"
	"guichet/models/operation"
	"guichet/models/problem"
)

// operationAnswer answers with an operation, as JSON that is written already.
type operationAnswer struct {
	status   int
	id       id.ID
	body     []byte
	waited   time.Duration // the preference that was honoured
	repeated bool
}

func (a operationAnswer) write(w http.ResponseWriter) error {
	header := w.Header()
	header.Set("Content-Type", "application/json")
	if a.status != 0 { // an answer to a submission, not to a look
		header.Set("Location", "/v1/operations/"+a.id.String())
	}
	if a.waited > 0 && a.status == http.StatusOK {
		header.Set("Preference-Applied", "wait="+strconv.Itoa(int(a.waited/time.Second)))
	}
	if a.repeated {
		header.Set("Idempotency-Replayed", "true")
	}
	w.WriteHeader(max(a.status, http.StatusOK))
	_, err := w.Write(a.body)
	return err
}

// VisitGetOperationResponse and its like make it an answer of the generated interface.
func (a operationAnswer) VisitGetOperationResponse(w http.ResponseWriter) error { return a.write(w) }

// VisitReplayOperationResponse writes the answer.
func (a operationAnswer) VisitReplayOperationResponse(w http.ResponseWriter) error { return a.write(w) }

// VisitCreateDepositResponse writes the answer.
func (a operationAnswer) VisitCreateDepositResponse(w http.ResponseWriter) error { return a.write(w) }

// VisitCreateWithdrawalResponse writes the answer.
func (a operationAnswer) VisitCreateWithdrawalResponse(w http.ResponseWriter) error {
	return a.write(w)
}

// VisitCreateTransferResponse writes the answer.
func (a operationAnswer) VisitCreateTransferResponse(w http.ResponseWriter) error { return a.write(w) }

// enqueue submits a command and answers 202, or 200 if the caller prefers to wait and it ends in time.
func (s *Server) enqueue(ctx context.Context, lane, kind string, payload any) (operationAnswer, error) {
	submitted, err := s.submit(ctx, lane, kind, payload)
	if err != nil {
		return operationAnswer{}, err
	}
	if !submitted.repeated.IsZero() {
		answer, err := s.answerSubmitted(ctx, submitted.repeated, callOf(ctx).wait)
		answer.repeated = true
		return answer, err
	}
	answer := operationAnswer{status: http.StatusAccepted, id: submitted.command.ID}
	if submitted.ended != nil {
		defer submitted.forget()
		answer.waited = callOf(ctx).wait
		timeout := time.NewTimer(answer.waited)
		defer timeout.Stop()
		select {
		case ended := <-submitted.ended:
			answer.status, answer.body = http.StatusOK, ended.Data
			return answer, nil
		case <-timeout.C:
		case <-ctx.Done():
		case <-s.closing:
		}
		if found, err := s.answerSubmitted(ctx, answer.id, 0); err == nil {
			return found, nil
		} // otherwise the store is away, which does not undo that the operation was accepted
	}
	queued := operation.Operation{Command: submitted.command, Position: s.intakes[lane].depth.ahead()}
	answer.body = queued.AppendJSON(make([]byte, 0, 384))
	return answer, nil
}

// ahead estimates the place of an operation that has just been accepted: what waits besides it. Polling reads the exact place.
func (d *depth) ahead() int64 { return max(0, d.read.Load()+d.added.Load()-1) }

// answerSubmitted answers a submission with the operation as the store has it, after waiting for its end: for a key that was used before, it was
// submitted earlier.
func (s *Server) answerSubmitted(ctx context.Context, operationID id.ID, wait time.Duration) (operationAnswer, error) {
	answer := operationAnswer{status: http.StatusAccepted, id: operationID, waited: callOf(ctx).wait}
	found, err := s.look(ctx, operationID, sessionOf(ctx).UserID, wait)
	if err != nil {
		return answer, err
	}
	if answer.waited > 0 && found.Outcome != nil {
		answer.status = http.StatusOK
	}
	answer.body = found.AppendJSON(nil)
	return answer, nil
}

// GetOperation reads one operation, and waits for its end if asked to.
func (s *Server) GetOperation(ctx context.Context, request api.GetOperationRequestObject) (api.GetOperationResponseObject, error) {
	operationID, err := parseID(request.Id)
	if err != nil {
		return nil, err
	}
	session := sessionOf(ctx)
	user := session.UserID
	if session.Role == identity.RoleAdmin {
		user = id.ID{}
	}
	var wait time.Duration
	if request.Params.Wait != nil {
		wait = time.Duration(*request.Params.Wait) * time.Second
	}
	found, err := s.look(ctx, operationID, user, wait)
	if err != nil {
		return nil, err
	}
	return operationAnswer{id: operationID, body: found.AppendJSON(nil)}, nil
}

// look reads an operation; if it has not ended, it waits for that and reads again. A zero user sees everybody's.
func (s *Server) look(ctx context.Context, operationID, user id.ID, wait time.Duration) (*operation.Operation, error) {
	if wait == 0 {
		return s.get(ctx, operationID, user)
	}
	callOf(ctx).operation = operationID
	ended, forget := s.Hub.Expect(operationID) // before the first look, so that an end in between is not missed
	defer forget()
	found, err := s.get(ctx, operationID, user)
	if err != nil || found.Outcome != nil {
		return found, err
	}
	timeout := time.NewTimer(wait)
	defer timeout.Stop()
	select {
	case <-ended:
	case <-timeout.C:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-s.closing:
	}
	return s.get(ctx, operationID, user)
}

func (s *Server) get(ctx context.Context, operationID, user id.ID) (*operation.Operation, error) {
	found, err := s.journal.Get(ctx, operationID, user)
	if errors.Is(err, operation.ErrNotFound) {
		return nil, problem.New(problem.NotFound, "There is no such operation, or it is not yours.")
	}
	if err != nil {
		return nil, err
	}
	s.noteRead(found)
	return found, nil
}

// noteRead adds what this process knows of an operation that was read, and takes note of its stamp: the answer is sent after that.
func (s *Server) noteRead(o *operation.Operation) {
	if o.Outcome == nil {
		o.Started = s.Hub.RunningSince(o.Lane, o.ID)
		s.Clock.Witness(o.Lamport)
	} else {
		s.Clock.Witness(o.Outcome.Lamport)
	}
}

// ListOperations reads a page of the caller's operations.
func (s *Server) ListOperations(ctx context.Context, request api.ListOperationsRequestObject) (api.ListOperationsResponseObject, error) {
	session := sessionOf(ctx)
	filter := operation.Filter{User: session.UserID, Limit: limitOf(request.Params.Limit) + 1}
	if request.Params.Kind != nil {
		filter.Kind = *request.Params.Kind
	}
	running := false
	if request.Params.Status != nil {
		filter.Status = operation.Status(*request.Params.Status)
		if running = filter.Status == operation.Running; running {
			filter.Status = operation.Queued // the journal does not tell them apart
		}
	}
	if session.Role == identity.RoleAdmin && filter.Status == operation.Failed {
		filter.User = id.ID{}
	}
	var err error
	if filter.Before, err = idCursor(request.Params.Cursor); err != nil {
		return nil, err
	}
	found, err := s.journal.List(ctx, filter)
	if err != nil {
		return nil, err
	}
	found, next := page(found, filter.Limit-1, func(o *operation.Operation) string { return o.ID.String() })
	body := append(make([]byte, 0, 512*len(found)+64), `{"items":[`...)
	for i, n := 0, 0; i < len(found); i++ {
		o := &found[i]
		s.noteRead(o)
		if o.Outcome == nil && request.Params.Status != nil && running != !o.Started.IsZero() {
			continue
		}
		if n++; n > 1 {
			body = append(body, ',')
		}
		body = o.AppendJSON(body)
	}
	body = append(body, `],"next_cursor":`...)
	body = appendCursor(body, next)
	return jsonAnswer{http.StatusOK, append(body, '}'), false}, nil
}

// ReplayOperation queues a failed operation again.
func (s *Server) ReplayOperation(ctx context.Context, request api.ReplayOperationRequestObject) (api.ReplayOperationResponseObject, error) {
	if err := admin(ctx); err != nil {
		return nil, err
	}
	operationID, err := parseID(request.Id)
	if err != nil {
		return nil, err
	}
	call := callOf(ctx)
	replay, err := s.journal.Replay(ctx, operationID, call.idempotencyKey())
	switch {
	case errors.Is(err, operation.ErrKeyReused):
		return nil, errKeyReused
	case errors.Is(err, operation.ErrNotFound):
		return nil, problem.New(problem.NotFound, "There is no such operation.")
	case errors.Is(err, operation.ErrNotReplayable):
		return nil, problem.New(problem.NotReplayable, "Only an operation whose status is failed can be replayed.")
	case err != nil:
		return nil, err
	}
	if !replay.Repeated {
		s.intakes[replay.Lane].dispatcher.addReplayed(replay.Batch, replay.Commands)
	}
	answer := operationAnswer{status: http.StatusAccepted, id: operationID, waited: call.wait, repeated: replay.Repeated}
	found, err := s.look(ctx, operationID, id.ID{}, call.wait)
	if err != nil {
		return nil, err
	}
	if answer.waited > 0 && found.Outcome != nil {
		answer.status = http.StatusOK
	}
	answer.body = found.AppendJSON(nil)
	return answer, nil
}

var _ feed.Listener = (*Server)(nil)
