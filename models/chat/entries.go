package chat

import (
	"encoding/json"
	"strings"
	"time"

	"guichet/models/feed"
	"guichet/models/id"
	"guichet/models/lamport"
)

// Reason is why somebody has left a room.
type Reason string

// The reasons.
const (
	Left   Reason = "left"
	Gone   Reason = "gone" // was not there for longer than the grace period
	Kicked Reason = "kicked"
	Banned Reason = "banned"
)

// personEntry is what all entries about somebody in a room begin with.
type personEntry struct {
	Room   string `json:"room"`
	User   string `json:"user"`
	UserID id.ID  `json:"user_id"`
}

type enteredEntry struct {
	personEntry
	EnteredAt time.Time `json:"entered_at"`
}

type leftEntry struct {
	personEntry
	Reason Reason `json:"reason"`
}

type restrictedEntry struct {
	personEntry
	MutedUntil *time.Time `json:"muted_until"`
	Banned     bool       `json:"banned"`
}

// Topic is the feed's topic of a room.
func Topic(room id.ID) string { return feed.RoomTopic + RoomText(room) }

// RoomOf is the room that a topic of the feed is about; false if it is about none.
func RoomOf(topic string) (room id.ID, ok bool) {
	text, ofRoom := strings.CutPrefix(topic, feed.RoomTopic)
	if !ofRoom {
		return id.ID{}, false
	}
	room, err := ParseRoom(text)
	return room, err == nil
}

// RoomsOf are the rooms among the topics.
func RoomsOf(topics []string) (rooms []id.ID) {
	for _, topic := range topics {
		if room, ok := RoomOf(topic); ok {
			rooms = append(rooms, room)
		}
	}
	return rooms
}

// entry is an entry of a room. Its resource is made of texts, numbers and times that can be written.
func entry(room id.ID, event string, at time.Time, stamp lamport.Stamp, resource any) feed.Entry {
	data, err := json.Marshal(resource)
	if err != nil {
		panic(err)
	}
	return feed.Entry{Topic: Topic(room), Event: event, At: at, Lamport: stamp, Data: data}
}

func (m *Member) person() personEntry { return personEntry{RoomText(m.Room), m.Username, m.User} }

func (m *Member) entered() feed.Entry {
	return entry(m.Room, feed.MemberEntered, m.EnteredAt, m.Lamport, enteredEntry{m.person(), m.EnteredAt})
}

// left is told with a stamp that is later than all that was told of the member.
func (m *Member) left(reason Reason, at time.Time, stamp lamport.Stamp) feed.Entry {
	return entry(m.Room, feed.MemberLeft, at, stamp, leftEntry{m.person(), reason})
}

func restricted(room id.ID, who Person, r Restriction, at time.Time, stamp lamport.Stamp) feed.Entry {
	told := restrictedEntry{personEntry: personEntry{RoomText(room), who.Name, who.ID}, Banned: r.Banned}
	if !r.MutedUntil.IsZero() {
		told.MutedUntil = &r.MutedUntil
	}
	return entry(room, feed.MemberRestricted, at, stamp, told)
}

// change is what an entry tells of somebody's standing.
type change struct {
	room, user  id.ID
	position    int64
	event       string
	restriction Restriction
	heard       bool // from the feed, after all that is ahead of it
}

// changeOf reads an entry; false if it is about nobody's standing.
func changeOf(e *feed.Entry) (c change, ok bool) {
	switch e.Event {
	case feed.MemberEntered, feed.MemberLeft, feed.MemberRestricted:
	default:
		return c, false
	}
	room, ofRoom := RoomOf(e.Topic)
	if !ofRoom {
		return c, false
	}
	var told restrictedEntry // the others have fewer fields
	if json.Unmarshal(e.Data, &told) != nil || told.UserID.IsZero() {
		return c, false
	}
	c = change{room: room, user: told.UserID, position: e.Position, event: e.Event, restriction: Restriction{Banned: told.Banned}}
	if told.MutedUntil != nil {
		c.restriction.MutedUntil = *told.MutedUntil
	}
	return c, true
}

// BannedBy says whom an entry tells to be banned, and from which room.
func BannedBy(e *feed.Entry) (room, user id.ID, banned bool) {
	if e.Event != feed.MemberRestricted {
		return id.ID{}, id.ID{}, false
	}
	c, ok := changeOf(e)
	return c.room, c.user, ok && c.restriction.Banned
}
