// Package chat has rooms: who is in them, who may be, who is there now; and what is announced to everybody.
//
// What it decides, it decides in the database, in transactions that add what they change to the feed. A Register is what one process remembers of that, so that a
// message costs no question; Presence is, in Redis, who was seen when.
package chat

import (
	"errors"

	"guichet/models/id"
)

// The longest texts: names of rooms and what they are about in UTF-16 units, announcements in code points.
const (
	MaxName         = 80
	MaxTopic        = 250
	MaxAnnouncement = 4000
)

// Lobby is the room that is there from the start.
var Lobby = id.ID{'l', 'o', 'b', 'b', 'y'}

// lobby is how the lobby's id is written.
const lobby = "lobby"

var (
	// ErrUnknownRoom says that there is no such room.
	ErrUnknownRoom = errors.New("chat: there is no such room")
	// ErrRoomExists says that another room has the name, the event or the symbol.
	ErrRoomExists = errors.New("chat: there is such a room")
	// ErrUnknownMember says that somebody is not in the room.
	ErrUnknownMember = errors.New("chat: there is no such member")
)

// ParseRoom reads a room's id as it is written in paths and topics.
func ParseRoom(text string) (id.ID, error) {
	if text == lobby {
		return Lobby, nil
	}
	room, err := id.Parse(text)
	if err != nil {
		return id.ID{}, ErrUnknownRoom
	}
	return room, nil
}

// RoomText writes a room's id.
func RoomText(room id.ID) string {
	if room == Lobby {
		return lobby
	}
	return room.String()
}
