package trips

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"guichet/models/id"
)

// Kinds of the commands. Expiries are submitted by the house itself.
const (
	KindPurchase     = "purchase"
	KindConfirmation = "purchase_confirmation"
	KindCancellation = "purchase_cancellation"
	KindExpiry       = "purchase_expiry"
)

// Kinds of the journal entries that purchases make.
const (
	EntryPurchase = "purchase"
	EntryRefund   = "refund"
)

// Bounds of how long tickets may be held.
const (
	MinHold = time.Second
	MaxHold = 24 * time.Hour
)

// MaxExpiries is how many purchases one expiry may be about.
const MaxExpiries = 256

// PurchaseCommand is the payload of a purchase. Trip is what the client has sent, which may be no id of a trip, nor any id.
type PurchaseCommand struct {
	Account  string `json:"account"`
	Trip     string `json:"trip"`
	Class    string `json:"class"`
	Quantity int64  `json:"quantity"`
	Confirm  bool   `json:"confirm,omitempty"`
	HoldS    int64  `json:"hold_s"` // for how many seconds the tickets are held
}

// ChangeCommand is the payload of a confirmation or a cancellation. Account, trip and class are the purchase's, which never change.
type ChangeCommand struct {
	Account  string `json:"account"`
	Trip     id.ID  `json:"trip"`
	Class    string `json:"class"`
	Purchase id.ID  `json:"purchase"`
}

// ExpiryCommand is the payload of an expiry: purchases whose time was over when it was submitted.
type ExpiryCommand struct {
	Purchases []DuePurchase `json:"purchases"`
}

// DuePurchase names a purchase, and the trip and class whose tickets it holds.
type DuePurchase struct {
	Purchase id.ID  `json:"purchase"`
	Trip     id.ID  `json:"trip"`
	Class    string `json:"class"`
}

// Command is any of the commands, read: the one that Kind names is set.
type Command struct {
	Kind     string
	Purchase PurchaseCommand
	Change   ChangeCommand // a confirmation or a cancellation
	Expiry   ExpiryCommand
}

// DecodeCommand reads the payload of a command. What cannot have come through the contract is an error.
func DecodeCommand(kind string, payload []byte) (*Command, error) {
	c := Command{Kind: kind}
	var into any
	switch kind {
	case KindPurchase:
		into = &c.Purchase
	case KindConfirmation, KindCancellation:
		into = &c.Change
	case KindExpiry:
		into = &c.Expiry
	default:
		return &c, fmt.Errorf("trips: no command is called %q", kind)
	}
	if err := json.Unmarshal(payload, into); err != nil {
		return &c, err
	}
	return &c, c.check()
}

func (c *Command) check() error {
	switch c.Kind {
	case KindPurchase:
		if hold := c.Purchase.hold(); hold < MinHold || hold > MaxHold {
			return fmt.Errorf("trips: a purchase that is held for %d s", c.Purchase.HoldS)
		}
		return checkAccount(c.Purchase.Account)
	case KindExpiry:
		if n := len(c.Expiry.Purchases); n < 1 || n > MaxExpiries {
			return fmt.Errorf("trips: an expiry of %d purchases", n)
		}
		return nil
	default:
		if c.Change.Purchase.IsZero() || c.Change.Trip.IsZero() {
			return fmt.Errorf("trips: a %s of no purchase", c.Kind)
		}
		return checkAccount(c.Change.Account)
	}
}

var errNoAccount = errors.New("trips: a command without an account, or with the house's")

func checkAccount(number string) error {
	if number == "" || number == House {
		return errNoAccount
	}
	return nil
}

// Trips names the trips that the command is about. Those of a purchase may not exist.
func (c *Command) Trips() []id.ID {
	switch c.Kind {
	case KindPurchase:
		return []id.ID{c.Purchase.trip()}
	case KindExpiry:
		named := make([]id.ID, len(c.Expiry.Purchases))
		for i := range c.Expiry.Purchases {
			named[i] = c.Expiry.Purchases[i].Trip
		}
		return named
	default:
		return []id.ID{c.Change.Trip}
	}
}

// hold is for how long the tickets are held; what no duration can be is none.
func (c *PurchaseCommand) hold() time.Duration {
	if c.HoldS < 0 || c.HoldS > int64(MaxHold/time.Second) {
		return 0
	}
	return time.Duration(c.HoldS) * time.Second
}

// trip is the id that the client has sent, or zero.
func (c *PurchaseCommand) trip() id.ID {
	trip, err := id.Parse(c.Trip)
	if err != nil {
		return id.ID{}
	}
	return trip
}
