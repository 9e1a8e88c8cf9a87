package handlers

import (
	"context"
	"errors"
	"sync"
	"time"

	"guichet/api"
	"guichet/models/audit"
	"guichet/models/messages"
	"guichet/models/operation"
	"guichet/models/problem"
)

// ListLanes reads all lanes: there are few, so a page has them all.
func (s *Server) ListLanes(ctx context.Context, request api.ListLanesRequestObject) (api.ListLanesResponseObject, error) {
	if err := admin(ctx); err != nil {
		return nil, err
	}
	after, err := decodeCursor(request.Params.Cursor)
	if err != nil {
		return nil, err
	}
	lanes, err := s.lanes(ctx)
	if err != nil {
		return nil, err
	}
	rest := lanes[:0]
	for _, lane := range lanes {
		if lane.Name > after {
			rest = append(rest, lane)
		}
	}
	rest, next := page(rest, limitOf(request.Params.Limit), func(l *api.Lane) string { return l.Name })
	return api.ListLanes200JSONResponse{Items: rest, NextCursor: encodeCursor(next)}, nil
}

func (s *Server) lanes(ctx context.Context) ([]api.Lane, error) {
	states, err := operation.ReadLanes(s.DB.Read(ctx))
	if err != nil {
		return nil, err
	}
	depths, err := s.journal.Depths(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.addMessages(ctx, depths); err != nil {
		return nil, err
	}
	lanes := make([]api.Lane, len(states))
	for i, state := range states {
		depth := depths[state.Name]
		lanes[i] = api.Lane{Name: state.Name, Depth: depth.Operations, Paused: state.Paused, Rate: s.rates.rate(state.Name)}
		if !depth.Oldest.IsZero() {
			lanes[i].OldestAgeMs = max(0, time.Since(depth.Oldest).Milliseconds())
		}
		if state.Holder != "" {
			lanes[i].Holder = &state.Holder
		}
	}
	return lanes, nil
}

// addMessages adds what waits in the log of messages to what waits in the journal. While Redis is away that is not known, and the journal is shown alone.
func (s *Server) addMessages(ctx context.Context, depths map[string]operation.Depth) error {
	ctx, cancel := context.WithTimeout(ctx, readyPatience)
	defer cancel()
	n, oldest, err := s.Messages.Waiting(ctx)
	if err != nil {
		if isRedisAway(err) || ctx.Err() != nil {
			return nil
		}
		return err
	}
	depth := depths[messages.Lane]
	depth.Operations += n
	if !oldest.IsZero() && (depth.Oldest.IsZero() || oldest.Before(depth.Oldest)) {
		depth.Oldest = oldest
	}
	depths[messages.Lane] = depth
	return nil
}

// UpdateLane pauses or resumes a lane.
func (s *Server) UpdateLane(ctx context.Context, request api.UpdateLaneRequestObject) (api.UpdateLaneResponseObject, error) {
	if err := admin(ctx); err != nil {
		return nil, err
	}
	err := operation.PauseLane(ctx, s.DB, request.Name, request.Body.Paused)
	if errors.Is(err, operation.ErrUnknownLane) {
		return nil, problem.New(problem.NotFound, "There is no such lane.")
	}
	if err != nil {
		return nil, err
	}
	s.Wake(request.Name)
	lanes, err := s.lanes(ctx)
	if err != nil {
		return nil, err
	}
	for _, lane := range lanes {
		if lane.Name == request.Name {
			return api.UpdateLane200JSONResponse(lane), nil
		}
	}
	return nil, problem.New(problem.NotFound, "There is no such lane.")
}

// GetAudit proves the books. It reads everything, so one runs at a time.
func (s *Server) GetAudit(ctx context.Context, _ api.GetAuditRequestObject) (api.GetAuditResponseObject, error) {
	if err := admin(ctx); err != nil {
		return nil, err
	}
	select {
	case s.auditing <- struct{}{}:
		defer func() { <-s.auditing }()
	default:
		return nil, problem.New(problem.TooManyRequests, "An audit is running; one at a time.").After(5 * time.Second)
	}
	report, err := audit.Run(ctx, s.DB)
	if err != nil {
		return nil, err
	}
	answer := api.GetAudit200JSONResponse{Holds: report.Holds(), At: report.At, TookMs: report.Took.Milliseconds()}
	for _, check := range report.Checks {
		answer.Checks = append(answer.Checks, struct {
			Checked  int64    `json:"checked"`
			Findings []string `json:"findings"`
			Holds    bool     `json:"holds"`
			Name     string   `json:"name"`
		}{check.Checked, append([]string{}, check.Findings...), check.Holds(), check.Name})
	}
	return answer, nil
}

// rateSeconds is how far back the rate of a lane looks.
const rateSeconds = 10

// laneRates counts what lanes execute, by second.
type laneRates struct {
	mu    sync.Mutex
	lanes map[string]*[rateSeconds + 1]secondCount
}

type secondCount struct {
	second int64
	count  int
}

func newLaneRates() *laneRates {
	return &laneRates{lanes: map[string]*[rateSeconds + 1]secondCount{}}
}

func (r *laneRates) add(lane string, n int) {
	second := time.Now().Unix()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lanes[lane] == nil {
		r.lanes[lane] = &[rateSeconds + 1]secondCount{}
	}
	slot := &r.lanes[lane][second%(rateSeconds+1)]
	if slot.second != second {
		*slot = secondCount{second: second}
	}
	slot.count += n
}

// rate is operations a second over the last whole seconds.
func (r *laneRates) rate(lane string) float64 {
	now := time.Now().Unix()
	r.mu.Lock()
	defer r.mu.Unlock()
	total := 0
	if slots := r.lanes[lane]; slots != nil {
		for _, slot := range slots {
			if slot.second < now && slot.second >= now-rateSeconds {
				total += slot.count
			}
		}
	}
	return float64(total) / rateSeconds
}
