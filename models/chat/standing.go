package chat

import (
	"time"

	"guichet/models/problem"
)

// Need is what somebody wants to do in a room. Each includes those before it.
type Need int

// The needs.
const (
	ToRead     Need = iota // what is said, who is there, what there is
	ToTakePart             // as a member
	ToSpeak                // to post or to upload
)

// Standing is how somebody stands with a room.
type Standing struct {
	Member bool
	Restriction
	NoTicket bool // the room is an event's, for which they have no ticket
}

// Restriction is what somebody may not do in a room. The zero Restriction is none.
type Restriction struct {
	MutedUntil time.Time // zero, or a time that may have passed
	Banned     bool
}

// Refusal says why somebody of that standing may not do what they want to; nil if they may.
func (s Standing) Refusal(need Need, now time.Time) *problem.Problem {
	switch {
	case s.Banned:
		return problem.New(problem.Banned, "You are banned from this room.")
	case s.NoTicket:
		return problem.New(problem.TicketRequired, "This room is for those who have a ticket for its event.")
	case need >= ToTakePart && !s.Member:
		return problem.New(problem.NotAMember, "You are not in this room; enter it first.")
	case need >= ToSpeak && now.Before(s.MutedUntil):
		return problem.Newf(problem.Muted, "You are muted in this room until %s.", s.MutedUntil.UTC().Format(time.RFC3339Nano))
	default:
		return nil
	}
}

// Change is what becomes of a restriction; what is nil stays.
type Change struct {
	MutedUntil *time.Time // the zero time: not muted
	Banned     *bool
}

// Apply returns the restriction as it is after the change. A mute that is over is none.
func (c Change) Apply(r Restriction, now time.Time) Restriction {
	if c.MutedUntil != nil {
		r.MutedUntil = *c.MutedUntil
	}
	if c.Banned != nil {
		r.Banned = *c.Banned
	}
	if !now.Before(r.MutedUntil) {
		r.MutedUntil = time.Time{}
	}
	return r
}
