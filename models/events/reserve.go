package events

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/problem"
)

// Want is a request for seats: either for Seats, or for the best Quantity together, of a Section or of any.
type Want struct {
	ID       id.ID // of the reservation. Asked with the same ID twice (a request to Redis is repeated when its answer is lost), it is made once
	UserID   id.ID
	Account  string // that pays
	Seats    []int  // 1 to MaxSeatsPerRequest, each once
	Section  string // name; empty: any
	Quantity int    // 1 to MaxSeatsPerRequest
	Key      *Key   // nil: the request bears none
	Now      time.Time
	HoldFor  time.Duration // and no longer than until the event starts
	Stamp    lamport.Stamp
}

// Key is an idempotency key of a user's.
type Key struct {
	Hash    [32]byte // of the key
	Request [32]byte // hash of what was requested with it
}

// Reserved is the answer to a Want.
type Reserved struct {
	Reservation Reservation // as it was when it was made
	Replayed    bool        // it was made by an earlier request with the same key
}

const day = 24 * time.Hour

var errSoldOut = problem.New(problem.SoldOut, "Fewer seats are free than are wanted.")

const seatsTaken = "Some of the seats are taken."

// Reserve holds seats: all that are wanted, or none. Holds that are past their time do not stand in the way.
//
// The best seats together are in the first section, in its first row that has so many free without a gap; in the row, those nearest to its middle.
//
// Refused, in this order, by a *problem.Problem: unknown_section; idempotency_key_reused; event_started; waiting_room (RetryAfter is the expected wait); seat_taken
// (Fields say which, by pointers /seats/N), or sold_out (fewer are free, there, than are wanted), or no_adjacent_seats; seat_limit. ErrNotLoaded: Load, and try again.
func (s *Seats) Reserve(ctx context.Context, hall *Hall, want Want) (Reserved, error) {
	if err := hall.check(&want); err != nil {
		return Reserved{}, err
	}
	if want.suits() {
		answer, err := s.combiner.reserve(ctx, s, hall, &want)
		if err != nil || answer != answerAlone {
			return hall.reservedTogether(&want, answer, err)
		}
	}
	arguments, err := hall.arguments(&want)
	if err != nil {
		return Reserved{}, err
	}
	keys := hall.keys.all()
	if want.Key != nil {
		today := want.Now.UnixMilli() / day.Milliseconds()
		keys = append(keys, hall.keys.made(today), hall.keys.made(today-1))
	}
	for {
		r := replyOf(reserveScript.run(ctx, s.client, keys, want.Now, arguments...))
		if outcome := r.text(); outcome != "again" || r.err != nil {
			return hall.reserved(&want, outcome, r)
		}
	}
}

// RemembersKeys says whether Redis knows every key with which seats of an event were reserved in the last 24 hours, for which keys are promised to be known: the event
// was loaded longer ago, or when the database had no reservation of it that could be made a second time.
func (s *Seats) RemembersKeys(ctx context.Context, hall *Hall, now time.Time) (bool, error) {
	values, err := s.client.HMGet(ctx, hall.keys.hall(), "epoch", "keys_lost_at").Result()
	if err != nil || values[0] == nil {
		return false, err
	}
	lost, _ := values[1].(string)
	lostAt, _ := strconv.ParseInt(lost, 10, 64) // an event without it was loaded before it was noted
	return now.Sub(time.UnixMilli(lostAt)) >= day, nil
}

// arguments of the script.
func (h *Hall) arguments(want *Want) ([]any, error) {
	n := max(len(want.Seats), want.Quantity)
	key, request := "", ""
	if want.Key != nil {
		key, request = want.UserID.String()+string(want.Key.Hash[:]), string(want.Key.Request[:])
	}
	arguments := []any{want.ID.String(), want.UserID.String(), milliText(want.Now.Add(want.HoldFor)), key, request, want.Stamp.String() + " " + want.Account, n}
	if len(want.Seats) > 0 {
		return h.named(arguments, want.Seats)
	}
	return h.best(arguments, want.Section, n)
}

// check says what of a request cannot have come through the contract.
func (h *Hall) check(want *Want) error {
	if n := max(len(want.Seats), want.Quantity); n < 1 || n > MaxSeatsPerRequest || len(want.Seats) > 0 && want.Quantity > 0 {
		return fmt.Errorf("events: %d seats by name and %d together are wanted", len(want.Seats), want.Quantity)
	}
	for i, seat := range want.Seats {
		if seat < 0 || seat >= h.Size() || slices.Contains(want.Seats[:i], seat) {
			return fmt.Errorf("events: seat %d of %d is wanted, or is wanted twice", seat, h.Size())
		}
	}
	return nil
}

func (h *Hall) named(arguments []any, seats []int) ([]any, error) {
	total, err := h.Total(seats)
	if err != nil {
		return nil, err
	}
	arguments = append(arguments, "seats", int64(total), h.places(seats))
	for _, seat := range seats {
		arguments = append(arguments, h.place(seat))
	}
	return arguments, nil
}

func (h *Hall) best(arguments []any, section string, n int) ([]any, error) {
	from, to, size := 0, len(h.sections), strconv.Itoa(h.Size())
	if section != "" {
		i, known := h.names[section]
		if !known {
			return nil, problem.New(problem.UnknownSection, "There is no such section in this hall.")
		}
		from, to, size = i, i+1, ""
	}
	arguments = append(arguments, "best", size)
	for i := from; i < to; i++ {
		total, err := h.sections[i].Price.Times(int64(n))
		if err != nil {
			return nil, err
		}
		arguments = append(arguments, h.start(i), h.start(i+1)-2, h.sections[i].SeatsPerRow, int64(total))
	}
	return arguments, nil
}

// reserved reads the answer of the script.
func (h *Hall) reserved(want *Want, outcome string, r *reply) (Reserved, error) {
	var refusal error
	switch outcome {
	case "reserved":
		return h.made(want, r)
	case "not_loaded":
		refusal = ErrNotLoaded
	case "reused":
		refusal = problem.New(problem.IdempotencyKeyReused, "The Idempotency-Key was used for another request.")
	case "started":
		refusal = problem.New(problem.EventStarted, "The event has started.")
	case "waiting":
		ahead, wait := r.number(), time.Duration(r.number())*time.Millisecond
		refusal = problem.Newf(problem.WaitingRoom, "More people want to reserve than can be let in at once. You are in line, and %d are ahead of you.", ahead).After(max(wait, time.Second))
	case "limit":
		refusal = problem.Newf(problem.SeatLimit, "One person can have at most %d seats.", r.number())
	case "taken":
		p := problem.New(problem.SeatTaken, seatsTaken)
		for len(r.rest) > 0 {
			p.Fields = append(p.Fields, problem.Field{Pointer: "/seats/" + strconv.FormatInt(r.number(), 10), Message: "is taken"})
		}
		refusal = p
	case "sold_out":
		refusal = errSoldOut
	case "not_adjacent":
		refusal = problem.New(problem.NoAdjacentSeats, "There are not so many seats together.")
	default:
		r.fail("is " + strconv.Quote(outcome))
	}
	if r.err != nil {
		return Reserved{}, r.err
	}
	return Reserved{}, refusal
}

// made reads a reservation with its id before it.
func (h *Hall) made(want *Want, r *reply) (Reserved, error) {
	text, record, _ := strings.Cut(r.text(), " ")
	reservation, err := id.Parse(text)
	if r.err != nil || err != nil {
		return Reserved{}, fmt.Errorf("%w: a reservation has the id %q", ErrMalformed, text)
	}
	made, err := h.reservation(reservation, record)
	return Reserved{Reservation: made, Replayed: reservation != want.ID}, err
}
