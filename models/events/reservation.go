package events

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/money"
)

// Status is what has become of a reservation.
type Status string

// The states of a reservation, as the contract and the database spell them.
const (
	StatusHeld     Status = "held"
	StatusPaid     Status = "paid"
	StatusReleased Status = "released"
	StatusExpired  Status = "expired"
	StatusRefunded Status = "refunded"
)

// Ended says whether nothing more can happen to a reservation in this state.
func (s Status) Ended() bool {
	return s == StatusReleased || s == StatusExpired || s == StatusRefunded
}

// Reservation is seats of one user at one event.
type Reservation struct {
	ID         id.ID
	EventID    id.ID
	UserID     id.ID
	Account    string // that pays
	Seats      []int  // numbers in the hall, as they were asked for; the best together ascend
	Total      money.Amount
	Status     Status
	ReservedAt time.Time // to the millisecond
	ExpiresAt  time.Time // to the millisecond; from then on it is no longer held, unless a payment has claimed it
	ClaimedBy  id.ID     // the payment that is under way while it is held; only Redis knows it
	PaidBy     id.ID     // the operation that paid
	RefundedBy id.ID     // the operation that refunded
	Lamport    lamport.Stamp
}

// ErrMalformed says that Redis has something that this program has not written there.
var ErrMalformed = errors.New("events: malformed in Redis")

// A record is a reservation as a text: fields with a space after each but the last, which are
//
//	state user claimed-or-paid-by refunded-by places total reserved expires stamp account
//
// Scripts write the first four, and take the state and the user and the places from it; the rest never changes. Times are milliseconds, places the seats' places
// in the map with commas between them, and "-" is no operation.
const recordFields = 10

// States as records have them.
const (
	recordHeld     = 'h'
	recordClaimed  = 'p' // held, and a payment is under way
	recordPaid     = 's'
	recordReleased = 'r'
	recordExpired  = 'e'
	recordRefunded = 'f'
)

const noOperation = "-"

var statuses = map[byte]Status{
	recordHeld: StatusHeld, recordClaimed: StatusHeld, recordPaid: StatusPaid,
	recordReleased: StatusReleased, recordExpired: StatusExpired, recordRefunded: StatusRefunded,
}

// record writes a reservation.
func (h *Hall) record(r *Reservation) string {
	b := make([]byte, 0, 192)
	state, operation := byte(recordHeld), r.PaidBy
	switch r.Status {
	case StatusPaid:
		state = recordPaid
	case StatusReleased:
		state = recordReleased
	case StatusExpired:
		state = recordExpired
	case StatusRefunded:
		state = recordRefunded
	case StatusHeld:
		if !r.ClaimedBy.IsZero() {
			state, operation = recordClaimed, r.ClaimedBy
		}
	}
	b = append(append(b, state, ' '), r.UserID.String()...)
	b = append(append(b, ' '), operationText(operation)...)
	b = append(append(b, ' '), operationText(r.RefundedBy)...)
	b = append(append(b, ' '), h.places(r.Seats)...)
	return string(appendTerms(append(b, ' '), r.Total, r.ReservedAt, r.ExpiresAt, r.Lamport, r.Account))
}

// appendTerms writes what never changes: the last five fields.
func appendTerms(b []byte, total money.Amount, reservedAt, expiresAt time.Time, stamp lamport.Stamp, account string) []byte {
	for _, n := range []int64{int64(total), reservedAt.UnixMilli(), expiresAt.UnixMilli(), int64(stamp)} {
		b = append(strconv.AppendInt(b, n, 10), ' ')
	}
	return append(b, account...)
}

func operationText(operation id.ID) string {
	if operation.IsZero() {
		return noOperation
	}
	return operation.String()
}

// places writes where seats stand in the map.
func (h *Hall) places(seats []int) string {
	b := make([]byte, 0, 6*len(seats))
	for i, seat := range seats {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(h.place(seat)), 10)
	}
	return string(b)
}

// seatsAt reads what places wrote.
func (h *Hall) seatsAt(places string) ([]int, error) {
	if places == "" {
		return nil, nil
	}
	texts := strings.Split(places, ",")
	seats := make([]int, len(texts))
	for i, text := range texts {
		place, err := strconv.Atoi(text)
		seat, valid := h.seat(place)
		if err != nil || !valid {
			return nil, fmt.Errorf("%w: %q is not a place in the hall of event %s", ErrMalformed, text, h.event)
		}
		seats[i] = seat
	}
	return seats, nil
}

// reservation reads what record wrote.
func (h *Hall) reservation(reservation id.ID, record string) (Reservation, error) {
	f := strings.SplitN(record, " ", recordFields)
	if len(f) != recordFields || len(f[0]) != 1 {
		return Reservation{}, fmt.Errorf("%w: reservation %s is %q", ErrMalformed, reservation, record)
	}
	r := Reservation{ID: reservation, EventID: h.event, Status: statuses[f[0][0]], Account: f[9]}
	user, err1 := id.Parse(f[1])
	operation, err2 := parseOperation(f[2])
	refunded, err3 := parseOperation(f[3])
	seats, err4 := h.seatsAt(f[4])
	var numbers [4]int64
	var errs [4]error
	for i := range numbers {
		numbers[i], errs[i] = strconv.ParseInt(f[5+i], 10, 64)
	}
	if err := errors.Join(err1, err2, err3, err4, errs[0], errs[1], errs[2], errs[3]); err != nil {
		return Reservation{}, fmt.Errorf("%w: reservation %s is %q: %w", ErrMalformed, reservation, record, err)
	}
	if r.Status == "" {
		return Reservation{}, fmt.Errorf("%w: reservation %s is %q", ErrMalformed, reservation, record)
	}
	r.UserID, r.RefundedBy, r.Seats = user, refunded, seats
	r.Total, r.Lamport = money.Amount(numbers[0]), lamport.Stamp(numbers[3])
	r.ReservedAt, r.ExpiresAt = time.UnixMilli(numbers[1]).UTC(), time.UnixMilli(numbers[2]).UTC()
	if f[0][0] == recordClaimed {
		r.ClaimedBy = operation
	} else {
		r.PaidBy = operation
	}
	return r, nil
}

func parseOperation(text string) (id.ID, error) {
	if text == noOperation {
		return id.ID{}, nil
	}
	return id.Parse(text)
}
