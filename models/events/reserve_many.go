package events

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"guichet/models/problem"
)

const (
	// mostTogether is how many requests for seats one script decides, and mostPlaces how many seats: no script may take long.
	mostTogether = 64
	mostPlaces   = 1000
	// worthwhile is how many requests have to wait for another script to be sent while one is under way, which may be waiting for the disk.
	worthwhile = 32
	// togetherPatience is how long Redis may take to decide them.
	togetherPatience = 3 * time.Second
)

// combiner decides requests for seats that came while the last ones were being decided: those for one event in one script, and all of them in one go to Redis
// and back. Under load most of what a request costs there is the way, the writing to disk, and the reading and writing of what all requests share.
type combiner struct {
	mu       sync.Mutex
	lines    map[*Hall][]*wish // what waits
	waiting  int               // how many do
	deciding int               // how many are deciding, and will take what waits: at most two
}

type wish struct {
	want   *Want
	total  int64
	answer chan string // what the script has answered, if there is no error
	now    time.Time   // the script's, which is one for all that it decides
	err    error
}

// Answers of the script, besides which seats are taken, by their places in the request.
const (
	answerReserved  = ""
	answerAlone     = "alone"
	answerNotLoaded = "not_loaded"
	answerSoldOut   = "sold_out"
	answerTaken     = "taken "
)

// suits says whether a request can be decided together with others.
func (w *Want) suits() bool { return w.Key == nil && w.Section == "" }

// reserve returns the answer to a request, whose time it sets to when it was decided.
func (c *combiner) reserve(ctx context.Context, s *Seats, hall *Hall, want *Want) (string, error) {
	total, err := hall.Total(want.Seats)
	if err != nil {
		return "", err
	}
	w := &wish{want: want, total: int64(total), answer: make(chan string, 1)}
	if c.join(hall, w) {
		go c.decide(context.WithoutCancel(ctx), s)
	}
	select {
	case answer := <-w.answer:
		want.Now, want.HoldFor = w.now, want.HoldFor+want.Now.Sub(w.now)
		return answer, w.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// join puts a request in line, and says whether another should decide: then the caller has to see to it.
func (c *combiner) join(hall *Hall, w *wish) (another bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lines == nil {
		c.lines = map[*Hall][]*wish{}
	}
	c.lines[hall] = append(c.lines[hall], w)
	c.waiting++
	another = c.deciding == 0 || c.deciding == 1 && c.waiting >= worthwhile
	if another {
		c.deciding++
	}
	return another
}

// decide decides until nothing waits.
func (c *combiner) decide(ctx context.Context, s *Seats) {
	for groups := c.take(); len(groups) > 0; groups = c.take() {
		s.decide(ctx, groups)
	}
}

// take takes what waits, of each event as much as one script may decide.
func (c *combiner) take() map[*Hall][]*wish {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting == 0 || c.deciding == 2 && c.waiting < worthwhile {
		c.deciding--
		return nil
	}
	groups := make(map[*Hall][]*wish, len(c.lines))
	for hall, waiting := range c.lines {
		n, places := 0, 0
		for n < min(len(waiting), mostTogether) && places+len(waiting[n].want.Seats) <= mostPlaces {
			places += len(waiting[n].want.Seats)
			n++
		}
		groups[hall] = waiting[:n:n]
		c.waiting -= n
		if n < len(waiting) {
			c.lines[hall] = waiting[n:]
		} else {
			delete(c.lines, hall)
		}
	}
	return groups
}

// decide decides each event's group in one script.
func (s *Seats) decide(ctx context.Context, groups map[*Hall][]*wish) {
	ctx, cancel := context.WithTimeout(ctx, togetherPatience)
	defer cancel()
	pipe := s.client.Pipeline()
	sent := make(map[*Hall]*redis.Cmd, len(groups))
	for hall, group := range groups {
		sent[hall] = reserveManyScript.EvalSha(ctx, pipe, hall.keys.all(), hall.manyArguments(group)...)
	}
	_, _ = pipe.Exec(ctx) // each of the commands has its own error
	for hall, group := range groups {
		cmd := sent[hall]
		if redis.HasErrorPrefix(cmd.Err(), "NOSCRIPT") {
			cmd = reserveManyScript.Eval(ctx, s.client, hall.keys.all(), hall.manyArguments(group)...)
		}
		answers, err := cmd.StringSlice()
		if err == nil && len(answers) != len(group) && len(answers) != 1 {
			err = fmt.Errorf("%w: a script has given %d answers to %d", ErrMalformed, len(answers), len(group))
		}
		for i, w := range group {
			w.err = err
			switch {
			case err != nil:
				w.answer <- ""
			case len(answers) < len(group): // one answer for all of them
				w.answer <- answers[0]
			default:
				w.answer <- answers[i]
			}
		}
	}
}

// manyArguments are the arguments of the script for a group, which is decided as of the earliest time that one of it has.
func (h *Hall) manyArguments(group []*wish) []any {
	now := group[0].want.Now
	for _, w := range group {
		if w.want.Now.Before(now) {
			now = w.want.Now
		}
	}
	arguments := make([]any, 1, 1+8*len(group))
	arguments[0] = milliText(now)
	for _, w := range group {
		w.now = now
		arguments = append(arguments, w.want.ID.String(), w.want.UserID.String(), milliText(w.want.Now.Add(w.want.HoldFor)), w.want.Stamp.String()+" "+w.want.Account, w.total, len(w.want.Seats))
		for _, seat := range w.want.Seats {
			arguments = append(arguments, h.place(seat))
		}
		if len(w.want.Seats) == 0 {
			arguments = append(arguments, w.want.Quantity, h.Size())
		}
	}
	return arguments
}

// reservedTogether reads an answer.
func (h *Hall) reservedTogether(w *Want, answer string, err error) (Reserved, error) {
	switch {
	case err != nil:
		return Reserved{}, err
	case answer == answerReserved:
		total, err := h.Total(w.Seats)
		return Reserved{Reservation: Reservation{ID: w.ID, EventID: h.event, UserID: w.UserID, Account: w.Account, Seats: w.Seats, Total: total, Status: StatusHeld,
			ReservedAt: w.Now.UTC().Truncate(time.Millisecond), ExpiresAt: w.Now.Add(w.HoldFor).UTC().Truncate(time.Millisecond), Lamport: w.Stamp}}, err
	case answer == answerNotLoaded:
		return Reserved{}, ErrNotLoaded
	case answer == answerSoldOut:
		return Reserved{}, errSoldOut
	}
	taken := problem.New(problem.SeatTaken, seatsTaken)
	places, isTaken := strings.CutPrefix(answer, answerTaken)
	if !isTaken {
		return Reserved{}, fmt.Errorf("%w: the answer of a script is %q", ErrMalformed, answer)
	}
	for place := range strings.SplitSeq(places, ",") {
		taken.Fields = append(taken.Fields, problem.Field{Pointer: "/seats/" + place, Message: "is taken"})
	}
	return Reserved{}, taken
}
