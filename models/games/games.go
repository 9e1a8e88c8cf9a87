// Package games has games of gomoku between two users: invitations, moves, the clock, and who has won and lost.
//
// A Game is an invitation and what has become of it; a Record is what somebody has won and lost. A Referee is the rules: it decides commands on games, by the board of
// models/gomoku. All of that is pure: no clock, no database, no randomness.
package games

import (
	"time"

	"guichet/models/gomoku"
	"guichet/models/id"
	"guichet/models/lamport"
)

// Lane is the name of the lane that executes the commands of games.
const Lane = "chat-games"

// Bounds, in seconds, of how long a player may have for a move, and what it is if nobody says.
const (
	MinMoveSeconds     = 1
	MaxMoveSeconds     = 86_400
	DefaultMoveSeconds = 300
)

// Status is the state of a game.
type Status string

// The states of a game: invited, then playing or withdrawn; playing, then ended.
const (
	Invited   Status = "invited"
	Playing   Status = "playing"
	Ended     Status = "ended"
	Withdrawn Status = "withdrawn"
)

// Reason is why a game has ended.
type Reason string

// The reasons why a game ends. A full board is a draw; after the others somebody has won.
const (
	FiveInARow  Reason = "five_in_a_row"
	Resignation Reason = "resignation"
	Timeout     Reason = "timeout"
	BoardFull   Reason = "board_full"
)

// Player is a user as a game remembers them. The zero Player is nobody.
type Player struct {
	ID   id.ID
	Name string // as it is shown
}

// Game is an invitation to a game of gomoku, and what has become of it. Its id is that of the operation that invited.
type Game struct {
	ID          id.ID
	Room        id.ID
	Status      Status
	Black       Player // who has invited, and moves first
	White       Player // who has accepted; nobody until then
	Moves       string // a record of models/gomoku
	Winner      id.ID  // zero for a draw, and until it has ended
	Reason      Reason // empty until it has ended
	MoveSeconds int    // how long a player has for a move, MinMoveSeconds to MaxMoveSeconds
	// Deadline is until when the next move has, or the last one had, to be made: at that time it is too late. Zero if nobody has accepted.
	Deadline  time.Time
	InvitedAt time.Time
	EndedAt   time.Time // or was withdrawn; zero until then
	Lamport   lamport.Stamp
}

// Turn is who is to move: nobody, unless it is played.
func (g *Game) Turn() Player {
	switch {
	case g.Status != Playing:
		return Player{}
	case gomoku.Moves(g.Moves)%2 == 0:
		return g.Black
	default:
		return g.White
	}
}

// late says whether the next move would come too late at a time: then the game is as good as ended, be that executed or not.
func (g *Game) late(at time.Time) bool { return g.Status == Playing && !at.Before(g.Deadline) }

// IsPlayer says whether a user is one of the players, of whom there is one until somebody accepts.
func (g *Game) IsPlayer(user id.ID) bool { return user == g.Black.ID || user == g.White.ID }

// rival is the other one of two players.
func (g *Game) rival(user id.ID) id.ID {
	if user == g.Black.ID {
		return g.White.ID
	}
	return g.Black.ID
}

// Record is what somebody has won and lost.
type Record struct {
	User             id.ID
	Won, Lost, Drawn int64
	Lamport          lamport.Stamp
}
