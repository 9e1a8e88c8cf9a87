package events

import (
	"context"
	"strconv"
	"time"

	"guichet/models/id"
)

// WaitingRoom is the setting of an event's waiting room. The zero WaitingRoom is none.
//
// Tokens come at the rate, and a second's worth of them is kept. A token lets one user in, who may then reserve for the window: whoever comes while there is one
// and nobody waits; else who is first in the line. Whose window runs out has to line up anew.
type WaitingRoom struct {
	Rate   int           // how many are let in a second; 0: there is no waiting room
	Window time.Duration // how long each may take to reserve
}

// RoomState is where a user stands.
type RoomState string

// The states of users, as the contract spells them.
const (
	RoomOpen     RoomState = "open"     // nobody has to wait
	RoomOutside  RoomState = "outside"  // the user has not tried to reserve, or let the window pass
	RoomWaiting  RoomState = "waiting"  // in line
	RoomAdmitted RoomState = "admitted" // may reserve
)

// Place is where a user stands in a waiting room.
type Place struct {
	State         RoomState
	Ahead         int64         // of who waits: how many are before them
	Wait          time.Duration // of who waits: how long it is expected to take
	AdmittedUntil time.Time     // of who is admitted
}

// Place says where a user stands. The error is ErrNotLoaded if Redis does not know the event.
func (s *Seats) Place(ctx context.Context, event, user id.ID, now time.Time) (Place, error) {
	r := replyOf(placeScript.run(ctx, s.client, keysOf(event).all(), now, user.String()))
	p := Place{State: RoomState(r.text())}
	switch p.State {
	case "not_loaded":
		return Place{}, ErrNotLoaded
	case RoomWaiting:
		p.Ahead, p.Wait = r.number(), time.Duration(r.number())*time.Millisecond
	case RoomAdmitted:
		p.AdmittedUntil = time.UnixMilli(r.number()).UTC()
	case RoomOpen, RoomOutside:
	default:
		r.fail("is " + strconv.Quote(string(p.State)))
	}
	return p, r.err
}

// SetWaitingRoom opens, changes or closes the waiting room. Closing it sends everybody in. The error is ErrNotLoaded if Redis does not know the event: Load it and
// set it again, because another process may be loading it from before the change.
func (s *Seats) SetWaitingRoom(ctx context.Context, event id.ID, room WaitingRoom, now time.Time) error {
	known, err := setRoomScript.run(ctx, s.client, keysOf(event).all(), now, room.Rate, room.Window.Milliseconds()).Int()
	if err == nil && known == 0 {
		err = ErrNotLoaded
	}
	return err
}
