package events

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"guichet/models/problem"
)

const (
	// mostTogether is how many requests for seats one script decides, and mostPlaces how many seats: no script may take long.
	mostTogether = 256
	mostPlaces   = 1000
	// worthwhile is how many requests have to wait for another script to be sent while one is under way, which may be waiting for the disk.
	worthwhile = 32
	// togetherPatience is how long it may take from when a request came until it is decided, and linePatience how much of that it may wait before Redis is asked. So
	// Redis has the rest to answer, and little is decided of which nobody hears.
	togetherPatience = 3 * time.Second
	linePatience     = 2 * time.Second
)

// errKeptWaiting says that a request was not decided: those before it took too long.
var errKeptWaiting = fmt.Errorf("events: Redis keeps requests for seats waiting: %w", context.DeadlineExceeded)

// combiner decides requests for seats that came while the last ones were being decided: those for one event in one script, and all of them in one go to Redis
// and back. Under load most of what a request costs there is the way, the writing to disk, and the reading and writing of what all requests share.
type combiner struct {
	mu       sync.Mutex
	lines    map[*Hall][]*wish // what waits
	waiting  int               // how many do
	deciding int               // how many are deciding, and will take what waits: at most two
}

type wish struct {
	ctx    context.Context // the request's
	want   *Want
	total  int64
	joined time.Time
	answer chan string // what the script has answered, if there is no error
	now    time.Time   // the script's, which is one for all that it decides
	err    error
}

func newWish(ctx context.Context, want *Want, total int64) *wish {
	return &wish{ctx: ctx, want: want, total: total, joined: time.Now(), answer: make(chan string, 1)}
}

// lapsed says why a request is not to be decided any more: seats are not held for who has given up.
func (w *wish) lapsed(now time.Time) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if now.Sub(w.joined) > linePatience {
		return errKeptWaiting
	}
	return nil
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
	w := newWish(ctx, want, int64(total))
	if c.join(hall, w) {
		go c.decide(s) //nolint:contextcheck // for others, too; each wish has its own
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
func (c *combiner) decide(s *Seats) {
	for groups := c.take(); len(groups) > 0; groups = c.take() {
		s.decide(groups)
	}
}

// take takes what waits, of each event as much as one script may decide. If that is nothing, one less is deciding.
func (c *combiner) take() map[*Hall][]*wish {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting == 0 || c.deciding == 2 && c.waiting < worthwhile {
		c.deciding--
		return nil
	}
	now, groups := time.Now(), make(map[*Hall][]*wish, len(c.lines))
	for hall, waiting := range c.lines {
		group, n := groupOf(waiting, now)
		if len(group) > 0 {
			groups[hall] = group
		}
		c.waiting -= n
		if n < len(waiting) {
			c.lines[hall] = waiting[n:]
		} else {
			delete(c.lines, hall)
		}
	}
	if len(groups) == 0 { // all who waited have given up
		c.deciding--
	}
	return groups
}

// groupOf is what one script may decide of a line, and how much of the line that is, together with those who have lapsed, who are answered. It uses the line's memory.
func groupOf(waiting []*wish, now time.Time) (group []*wish, n int) {
	group = waiting[:0]
	for places := 0; n < len(waiting) && len(group) < mostTogether; n++ {
		w := waiting[n]
		if w.err = w.lapsed(now); w.err != nil {
			w.answer <- ""
			continue
		}
		if places += len(w.want.Seats); places > mostPlaces {
			break
		}
		group = append(group, w)
	}
	return slices.Clip(group), n
}

// decide decides each event's group in one script, in what is left of the time of the request that has waited longest.
func (s *Seats) decide(groups map[*Hall][]*wish) {
	var oldest *wish
	for _, group := range groups {
		if oldest == nil || group[0].joined.Before(oldest.joined) {
			oldest = group[0]
		}
	}
	ctx, cancel := context.WithDeadline(context.WithoutCancel(oldest.ctx), oldest.joined.Add(togetherPatience))
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
		record, mark := h.recordAndMark(w, arguments[0].(string))
		arguments = append(arguments, w.want.ID.String(), w.want.UserID.String(), milliText(w.want.Now.Add(w.want.HoldFor)), record, mark, len(w.want.Seats))
		for _, seat := range w.want.Seats {
			arguments = append(arguments, h.place(seat))
		}
		if len(w.want.Seats) == 0 {
			arguments = append(arguments, w.want.Quantity, h.Size())
		}
	}
	return arguments
}

// recordAndMark are what Redis is to have of a reservation if it is made, as reserve.lua writes it: the script would take longer over putting them together than over
// all else.
func (h *Hall) recordAndMark(w *wish, now string) (record, mark string) {
	where := make([]byte, 0, 64)
	for i, seat := range w.want.Seats {
		if i > 0 {
			where = append(where, ',')
		}
		where = strconv.AppendInt(where, int64(h.place(seat)), 10)
	}
	b := make([]byte, 0, 192+2*len(where))
	b = append(append(b, "h "...), w.want.UserID.String()...)
	b = append(append(b, " - - "...), where...)
	b = strconv.AppendInt(append(b, ' '), w.total, 10)
	b = append(append(b, ' '), now...)
	b = append(append(b, ' '), milliText(w.want.Now.Add(w.want.HoldFor))...)
	b = append(append(b, ' '), w.want.Stamp.String()...)
	b = append(append(b, ' '), w.want.Account...)
	end := len(b)
	b = append(append(b, now...), ' ')
	b = append(append(b, w.want.ID.String()...), ' ')
	b = append(b, where...)
	all := string(b)
	return all[:end], all[end:]
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
