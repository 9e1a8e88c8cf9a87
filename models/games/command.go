package games

import (
	"encoding/json"
	"errors"
	"fmt"

	"guichet/models/gomoku"
	"guichet/models/id"
)

// Kinds of the commands. Timeouts and withdrawals are submitted by the house itself.
const (
	KindInvitation = "game_invitation"
	KindAcceptance = "game_acceptance"
	KindMove       = "game_move"
	KindLeaving    = "game_leaving"
	KindTimeout    = "game_timeout"
	KindWithdrawal = "game_withdrawal"
)

// MaxEndings is how many games one timeout or withdrawal may be about.
const MaxEndings = 256

// InvitationCommand is the payload of an invitation.
type InvitationCommand struct {
	Room        id.ID  `json:"room"`
	User        string `json:"user"` // the name of who invites
	MoveSeconds int    `json:"move_seconds"`
}

// AcceptanceCommand is the payload of an acceptance.
type AcceptanceCommand struct {
	Game id.ID  `json:"game"`
	User string `json:"user"` // the name of who accepts
}

// MoveCommand is the payload of a move.
type MoveCommand struct {
	Game   id.ID `json:"game"`
	Row    int   `json:"row"`
	Column int   `json:"column"`
}

// LeavingCommand is the payload of a leaving: who has invited withdraws, a player resigns.
type LeavingCommand struct {
	Game id.ID `json:"game"`
}

// EndingCommand is the payload of a timeout, of games whose clock had run out when it was submitted, or of a withdrawal, of invitations whose inviters had left the
// room then.
type EndingCommand struct {
	Games []id.ID `json:"games"`
}

// Command is any of the commands, read: the one that Kind names is set.
type Command struct {
	Kind       string
	Invitation InvitationCommand
	Acceptance AcceptanceCommand
	Move       MoveCommand
	Leaving    LeavingCommand
	Ending     EndingCommand // a timeout or a withdrawal
}

// DecodeCommand reads the payload of a command. What cannot have come through the contract is an error.
func DecodeCommand(kind string, payload []byte) (*Command, error) {
	c := Command{Kind: kind}
	var into any
	switch kind {
	case KindInvitation:
		into = &c.Invitation
	case KindAcceptance:
		into = &c.Acceptance
	case KindMove:
		into = &c.Move
	case KindLeaving:
		into = &c.Leaving
	case KindTimeout, KindWithdrawal:
		into = &c.Ending
	default:
		return &c, fmt.Errorf("games: no command is called %q", kind)
	}
	if err := json.Unmarshal(payload, into); err != nil {
		return &c, err
	}
	return &c, c.check()
}

var (
	errNoGame = errors.New("games: a command about no game")
	errNoUser = errors.New("games: a command of nobody")
)

func (c *Command) check() error {
	if c.Kind == KindInvitation {
		return c.Invitation.check()
	}
	games := c.Games()
	if len(games) > MaxEndings {
		return fmt.Errorf("games: a %s of %d games", c.Kind, len(games))
	}
	if len(games) == 0 || games[0].IsZero() {
		return errNoGame
	}
	switch {
	case c.Kind == KindAcceptance && c.Acceptance.User == "":
		return errNoUser
	case c.Kind == KindMove && !c.Move.onBoard():
		return fmt.Errorf("games: a move to row %d, column %d", c.Move.Row, c.Move.Column)
	}
	return nil
}

func (c *InvitationCommand) check() error {
	switch {
	case c.Room.IsZero():
		return errors.New("games: an invitation into no room")
	case c.User == "":
		return errNoUser
	case c.MoveSeconds < MinMoveSeconds || c.MoveSeconds > MaxMoveSeconds:
		return fmt.Errorf("games: %d s for a move", c.MoveSeconds)
	}
	return nil
}

func (c *MoveCommand) onBoard() bool {
	return c.Row >= 0 && c.Row < gomoku.Size && c.Column >= 0 && c.Column < gomoku.Size
}

// Games names the games that the command is about. Of an invitation there is none yet.
func (c *Command) Games() []id.ID {
	switch c.Kind {
	case KindInvitation:
		return nil
	case KindAcceptance:
		return []id.ID{c.Acceptance.Game}
	case KindMove:
		return []id.ID{c.Move.Game}
	case KindLeaving:
		return []id.ID{c.Leaving.Game}
	default:
		return c.Ending.Games
	}
}
