// Package messages is what is said in rooms. Redis decides first: one script gives a batch of messages their places in the log and in their rooms, and they are
// told from there. The database follows within a second. It knows nothing of who may speak.
//
// Every message has an offset in the log, which is one for all rooms: ascending, not necessarily dense. And it has a sequence in its room: 1, 2, 3 and so on,
// without holes.
package messages

import (
	"encoding/binary"
	"errors"
	"time"

	"guichet/models/chat"
	"guichet/models/feed"
	"guichet/models/id"
	"guichet/models/lamport"
)

// Lane is the lane of it.
const Lane = "chat-messages"

// MaxText is how long a message may be, in UTF-16 units, which is how schemas count.
const MaxText = 4000

// ErrMalformed says that something in Redis cannot be read.
var ErrMalformed = errors.New("messages: malformed")

// ErrUnknown says that there is no such message.
var ErrUnknown = errors.New("messages: there is no such message")

// Message is what somebody said.
type Message struct {
	Offset    int64
	Room      id.ID
	Sequence  int64
	UserID    id.ID
	Username  string
	Text      string // empty once it is deleted
	At        time.Time
	EditedAt  time.Time // zero: never
	DeletedAt time.Time // zero: it is not
	Lamport   lamport.Stamp
}

// offsetBits is how many bits of an id have the offset: those that are free in the second half of a UUID.
const offsetBits = 62

// ID is the message's name to the outside: a UUID of version 7, which has the time to the microsecond (RFC 9562, section 6.2, method 3) and then the offset. So the
// message is found by its offset, and no index of ids is needed.
func (m *Message) ID() id.ID {
	var named id.ID
	us := uint64(m.At.UnixMicro())
	binary.BigEndian.PutUint64(named[:8], us/1000<<16|7<<12|us%1000<<2)
	binary.BigEndian.PutUint64(named[8:], 2<<offsetBits|uint64(m.Offset))
	return named
}

// OffsetOf is the offset of the message that has the id, if there is one.
func OffsetOf(message id.ID) int64 {
	return int64(binary.BigEndian.Uint64(message[8:]) & (1<<offsetBits - 1))
}

// entry is how the feed tells of the message.
func (m *Message) entry(event string, at time.Time) feed.Entry {
	return feed.Entry{Topic: chat.Topic(m.Room), Event: event, At: at, Lamport: m.Lamport, Data: m.AppendJSON(make([]byte, 0, 256+len(m.Text)))}
}

// told is the entry of the log.
func (m *Message) told() feed.Entry {
	e := m.entry(feed.MessagePosted, m.At)
	e.Offset = m.Offset
	return e
}
