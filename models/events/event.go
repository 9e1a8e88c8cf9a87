package events

import (
	"time"

	"guichet/models/id"
	"guichet/models/lamport"
)

// Lane is the name of the lane that executes payments and refunds.
const Lane = "events"

// HouseAccount is the house's account that tickets of events are paid to.
const HouseAccount = "events"

// DefaultMaxPerUser is how many seats a user may have unless the event says otherwise.
const DefaultMaxPerUser = 10

// How long texts may be, in UTF-16 units (see text.Line).
const (
	MaxName = 120 // of an event
	MaxGate = 80  // where somebody was let in
)

// Event is a concert or a match. Apart from the waiting room it never changes.
type Event struct {
	ID         id.ID
	Name       string
	StartsAt   time.Time
	Sections   []Section
	MaxPerUser int // seats, held and paid together
	Waiting    WaitingRoom
	Lamport    lamport.Stamp
}

// Tag is the index that the ids of an event's reservations have (see id.ID): it tells which events need not be asked for a reservation.
func Tag(event id.ID) int { return int(event[7] ^ event[13] ^ event[5]) }
