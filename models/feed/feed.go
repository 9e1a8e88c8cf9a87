// Package feed is the stream of what happened: entries with global positions, kept in a table, told live, and resumed by position.
//
// Positions are dense and in the order of commits, because every transaction that adds entries locks the head last (see Append). So one number says
// where a reader is in any set of topics; a reader that goes on after it misses nothing and sees nothing twice; and an entry comes after all that
// happened before it, in whichever lane. A process that is told of entries beyond the next position knows that it missed some, and reads them.
//
// Beside the table there may be a log of entries that are told before the database has them (see Ahead), with ascending offsets of its own. Then where a reader
// is takes two numbers (see Place).
package feed

import (
	"bytes"
	"encoding/json"
	"strconv"
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
	MemberEntered      = "member.entered"
	MemberLeft         = "member.left"
	MemberRestricted   = "member.restricted"
	MessagePosted      = "message"
	MessageEdited      = "message.edited"
	MessageDeleted     = "message.deleted"
	FileUploaded       = "file.uploaded"
	FileDeleted        = "file.deleted"
	GameInvited        = "game.invited"
	GameStarted        = "game.started"
	GameMoved          = "game.moved"
	GameEnded          = "game.ended"
	Announced          = "announcement"
	Gap                = "feed.gap"
)

// Entry is one thing that happened, on one topic.
type Entry struct {
	Position    int64 // set by Append; 0 for entries of the log ahead of the table
	Offset      int64 // of those; 0 for entries of the table
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

// RoomTopic is the topic of what happens in a room, before the room's id as chat.RoomText writes it. It is for those who may be in the room.
const RoomTopic = "room:"

// AnnouncementTopic is the topic of announcements. Every stream has it, whatever else it follows.
const AnnouncementTopic = "announcements"

// width is how many positions the entry takes: an operation's end stands for its start too, which comes one position before it.
func (e *Entry) width() int64 {
	if e.Event == OperationFinished {
		return 2
	}
	return 1
}

// Frames writes the entry as server-sent events for who is at a place, leaving out what they have been told, and returns where they are then.
func (e *Entry) Frames(b []byte, at Place) ([]byte, Place) {
	if e.Offset > 0 {
		if e.Offset <= at.Offset {
			return b, at
		}
		at.Offset = e.Offset
		return e.FrameAt(b, at), at
	}
	if e.Event == OperationFinished && e.Position-1 > at.Position {
		at.Position = e.Position - 1
		if started := e.started(); started != nil {
			b = started.FrameAt(b, at)
		}
	}
	if e.Position > at.Position {
		at.Position = e.Position
		b = e.FrameAt(b, at)
	}
	return b, at
}

// Passing writes an entry that is told once and not kept, so without a position: readers resume from where they were before it.
func (e *Entry) Passing(b []byte) []byte { return e.body(b) }

// FrameAt writes the entry with the id of a place.
func (e *Entry) FrameAt(b []byte, at Place) []byte {
	b = append(b, "id: "...)
	b = at.Append(b)
	return e.body(append(b, '\n'))
}

// ownTime has the entries whose resource has a time of its own by the name of `at`, which is not told twice: that of a message is when it was said.
var ownTime = map[string]bool{MessagePosted: true, MessageEdited: true, MessageDeleted: true, FileUploaded: true, Announced: true}

func (e *Entry) body(b []byte) []byte {
	b = append(b, "event: "...)
	b = append(b, e.Event...)
	b = append(b, "\ndata: {"...)
	if !ownTime[e.Event] {
		b = append(b, "\"at\":\""...)
		b = e.At.UTC().AppendFormat(b, time.RFC3339Nano)
		b = append(b, "\","...)
	}
	if e.Event != OperationStarted && e.Event != OperationFinished && e.Event != OperationQueued { // an operation shows the stamp itself
		b = append(b, "\"lamport\":"...)
		b = strconv.AppendInt(b, int64(e.Lamport), 10)
		b = append(b, ',')
	}
	if fields := bytes.TrimPrefix(e.Data, []byte("{")); len(fields) > 1 {
		b = append(b, fields...)
	} else {
		b[len(b)-1] = '}' // in place of the comma
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
