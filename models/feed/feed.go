// Package feed is the stream of what happened: entries with global positions, kept in a table, told live, and resumed by position.
//
// Positions are dense and in the order of commits, because every transaction that adds entries locks the head last (see Append). So one number says
// where a reader is in any set of topics; a reader that goes on after it misses nothing and sees nothing twice; and an entry comes after all that
// happened before it, in whichever lane. A process that is told of entries beyond the next position knows that it missed some, and reads them.
package feed

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/operation"
)

// Names of entries, as the contract lists them.
const (
	OperationStarted   = "operation.started"
	OperationFinished  = "operation.finished"
	OperationQueued    = "operation.queued" // told and not kept: see Passing
	NoticeGiven        = "notice"
	SessionEnded       = "session.ended"
	OrderFilled        = "order.filled"
	OrderCanceled      = "order.canceled"
	Traded             = "trade"
	BookChanged        = "book.changed"
	CandlesChanged     = "candles.changed"
	PurchaseExpired    = "purchase.expired"
	SeatChanged        = "seat.changed"
	ReservationExpired = "reservation.expired"
	Gap                = "feed.gap"
)

// Entry is one thing that happened, on one topic.
type Entry struct {
	Position    int64 // set by Append
	Topic       string
	Event       string
	At          time.Time
	Lamport     lamport.Stamp
	OperationID id.ID           // set on OperationFinished
	Data        json.RawMessage // the resource: a JSON object
}

// UserTopic is the topic of what concerns one user.
func UserTopic(user id.ID) string { return "user:" + user.String() }

// What happens in the market of a symbol is public, on three topics.
const (
	TradesTopic  = "trades:" // before the symbol, as in the two below
	BookTopic    = "book:"
	CandlesTopic = "candles:"
)

// EventTopic is the topic of what happens to the seats of an event, before the event's id. It is public.
const EventTopic = "event:"

// width is how many positions the entry takes: an operation's end stands for its start too, which comes one position before it.
func (e *Entry) width() int64 {
	if e.Event == OperationFinished {
		return 2
	}
	return 1
}

// Frames writes the entry as server-sent events, leaving out what has a position up to after.
func (e *Entry) Frames(b []byte, after int64) []byte {
	if e.Event == OperationFinished && e.Position-1 > after {
		if started := e.started(); started != nil {
			b = started.frame(b)
		}
	}
	if e.Position > after {
		b = e.frame(b)
	}
	return b
}

// Passing writes an entry that is told once and not kept, so without a position: readers resume from where they were before it.
func (e *Entry) Passing(b []byte) []byte { return e.body(b) }

func (e *Entry) frame(b []byte) []byte {
	b = append(b, "id: "...)
	b = strconv.AppendInt(b, e.Position, 10)
	return e.body(append(b, '\n'))
}

func (e *Entry) body(b []byte) []byte {
	b = append(b, "event: "...)
	b = append(b, e.Event...)
	b = append(b, "\ndata: {\"at\":\""...)
	b = e.At.UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(b, '"')
	if e.Event != OperationStarted && e.Event != OperationFinished && e.Event != OperationQueued { // an operation shows the stamp itself
		b = append(b, ",\"lamport\":"...)
		b = strconv.AppendInt(b, int64(e.Lamport), 10)
	}
	if fields := bytes.TrimPrefix(e.Data, []byte("{")); len(fields) > 1 {
		b = append(b, ',')
		b = append(b, fields...)
	} else {
		b = append(b, '}')
	}
	return append(b, "\n\n"...)
}

// started is the entry of the operation's start, made from that of its end: both became known in the same commit.
func (e *Entry) started() *Entry {
	var ended struct {
		ID          id.ID     `json:"id"`
		Kind        string    `json:"kind"`
		Lane        string    `json:"lane"`
		SubmittedAt time.Time `json:"submitted_at"`
		StartedAt   time.Time `json:"started_at"`
	}
	if json.Unmarshal(e.Data, &ended) != nil {
		return nil
	}
	running := operation.Operation{
		Command: operation.Command{ID: ended.ID, Kind: ended.Kind, Lane: ended.Lane, SubmittedAt: ended.SubmittedAt, Lamport: e.Lamport},
		Started: ended.StartedAt,
	}
	return &Entry{Position: e.Position - 1, Topic: e.Topic, Event: OperationStarted, At: ended.StartedAt, Lamport: e.Lamport, Data: running.AppendJSON(nil)}
}

// ParsePosition reads the id of an entry. Ids that are not of this feed are refused.
func ParsePosition(s string) (int64, bool) {
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
	return n, err == nil && n >= 0
}
