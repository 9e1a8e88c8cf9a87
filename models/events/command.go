package events

import (
	"encoding/json"
	"fmt"

	"guichet/models/id"
)

// Kinds of the commands of events.
const (
	KindPayment = "reservation_payment"
	KindRefund  = "reservation_refund"
)

// Command is the payload of a payment or a refund. All of it was known when the reservation was made.
type Command struct {
	Account     string `json:"account"`
	Event       id.ID  `json:"event"`
	Reservation id.ID  `json:"reservation"`
}

// DecodeCommand reads the payload of a command. What cannot have come through the contract is an error.
func DecodeCommand(kind string, payload []byte) (Command, error) {
	var c Command
	if kind != KindPayment && kind != KindRefund {
		return c, fmt.Errorf("events: no command is called %q", kind)
	}
	if err := json.Unmarshal(payload, &c); err != nil {
		return c, err
	}
	if c.Account == "" || c.Event.IsZero() || c.Reservation.IsZero() {
		return c, fmt.Errorf("events: a %s that names too little: %s", kind, payload)
	}
	return c, nil
}
