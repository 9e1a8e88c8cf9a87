package handlers

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"guichet/models/operation"
	"guichet/models/problem"
)

// decidePatience is how long a call waits for what its lane decides, where that is its answer. The lane may be paused, or have no holder.
const decidePatience = 10 * time.Second

// decidedAnswer answers with what a lane has decided; with the operation, if that takes too long.
type decidedAnswer struct {
	decided *jsonAnswer
	refusal *problem.Problem
	operationAnswer
}

func (a decidedAnswer) write(w http.ResponseWriter) error {
	if a.decided != nil {
		return a.decided.write(w)
	}
	if a.refusal == nil {
		return a.operationAnswer.write(w)
	}
	body, err := json.Marshal(a.refusal)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/problem+json")
	if a.repeated {
		w.Header().Set("Idempotency-Replayed", "true")
	}
	w.WriteHeader(a.refusal.Code.Status())
	_, err = w.Write(body)
	return err
}

// decide submits a command and waits for its end: status and the resource that is its result, or the problem that it was rejected with.
func (s *Server) decide(ctx context.Context, lane, kind string, payload any, status int) (decidedAnswer, error) {
	callOf(ctx).wait = decidePatience
	queued, err := s.enqueue(ctx, lane, kind, payload)
	queued.waited = 0 // nobody preferred it
	if err != nil || queued.status != http.StatusOK {
		return decidedAnswer{operationAnswer: queued}, err
	}
	var ended struct {
		Status  operation.Status
		Result  json.RawMessage
		Problem *struct {
			Code   problem.Code
			Detail string
			Errors []problem.Field
		}
	}
	if err := json.Unmarshal(queued.body, &ended); err != nil {
		return decidedAnswer{}, fmt.Errorf("handlers: operation %s cannot be read: %w", queued.id, err)
	}
	if ended.Status == operation.Succeeded {
		return decidedAnswer{decided: &jsonAnswer{status, ended.Result, queued.repeated}}, nil
	}
	return decidedAnswer{refusal: &problem.Problem{Code: ended.Problem.Code, Detail: ended.Problem.Detail, Fields: ended.Problem.Errors}, operationAnswer: queued}, nil
}
