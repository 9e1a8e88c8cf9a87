package workers

import (
	"context"
	"fmt"
	"time"

	"guichet/models/chat"
	"guichet/models/database"
	"guichet/models/feed"
	"guichet/models/games"
	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/operation"
	"guichet/models/problem"
)

// gamesCounter referees games.
type gamesCounter struct{}

func newGamesCounter(*Workers) counter { return gamesCounter{} }

type gamesRound struct {
	*games.Round
	commands map[id.ID]gamesCommand
}

// gamesCommand is a command as it was read.
type gamesCommand struct {
	*games.Command
	err error // why it cannot be read
}

func (gamesCounter) load(tx database.Tx, commands []operation.Command) (round, error) {
	r := &gamesRound{commands: make(map[id.ID]gamesCommand, len(commands))}
	readable := make([]games.Submitted, 0, len(commands))
	for i := range commands {
		c := &commands[i]
		read, err := games.DecodeCommand(c.Kind, c.Payload)
		r.commands[c.ID] = gamesCommand{read, err}
		if err == nil {
			readable = append(readable, games.Submitted{Command: read, UserID: c.UserID})
		}
	}
	var err error
	r.Round, err = games.Load(tx, readable)
	return r, err
}

func (gamesCounter) forget() {} // it keeps nothing

func (r *gamesRound) lastStamp() lamport.Stamp { return r.LastStamp() }

func (r *gamesRound) decide(c *operation.Command, stamp lamport.Stamp, at time.Time) decision {
	read := r.commands[c.ID]
	if read.err != nil {
		panic(fmt.Errorf("a payload that did not come through the contract: %w", read.err))
	}
	cause := games.Cause{OperationID: c.ID, UserID: c.UserID, Stamp: stamp, At: at}
	changed, refusal := r.Decide(cause, read.Command)
	return decision{result: resultOf(read.Kind, changed, refusal), refusal: refusal, entries: gameEntries(cause, changed)}
}

// resultOf is the game that a command was about, or which ones the house has ended.
func resultOf(kind string, changed []*games.Game, refusal *problem.Problem) []byte {
	switch {
	case refusal != nil:
		return nil
	case kind == games.KindTimeout, kind == games.KindWithdrawal:
		return games.AppendEnded(nil, changed)
	default:
		return changed[len(changed)-1].AppendJSON(make([]byte, 0, 1024))
	}
}

// gameEntries tells the rooms, of each game that has changed once, what has become of it.
func gameEntries(cause games.Cause, changed []*games.Game) []feed.Entry {
	entries := make([]feed.Entry, 0, len(changed))
	for _, g := range changed {
		entries = append(entries, feed.Entry{Topic: feed.RoomTopic + chat.RoomText(g.Room), Event: newsOf(g), At: cause.At, Lamport: cause.Stamp, Data: g.AppendJSON(make([]byte, 0, 1024))})
	}
	return entries
}

// newsOf is how the last change of a game is told: a move that ends it as its end alone.
func newsOf(g *games.Game) string {
	switch {
	case g.Status == games.Invited:
		return feed.GameInvited
	case g.Status != games.Playing:
		return feed.GameEnded
	case g.Moves == "":
		return feed.GameStarted
	default:
		return feed.GameMoved
	}
}

func (r *gamesRound) prepare(database.Tx) error { return nil }

func (r *gamesRound) store(tx database.Tx) ([]feed.Entry, error) { return nil, r.Save(tx) }

const (
	// endGamesEvery is how often games are looked for whose clock has run out, and invitations whose inviters have left: whoever waits learns of it so late, and
	// whoever moves too late is refused at once.
	endGamesEvery = 500 * time.Millisecond
	// endGamesLater is the longest pause after the house's operation has changed nothing, as one that ran into a fault: each is a row of the journal for ever.
	endGamesLater = time.Minute
)

// attend ends the games that nobody else ends.
func (gamesCounter) attend(ctx context.Context, a *attendance) {
	late := gamesEnder{kind: games.KindTimeout, find: func(tx database.Tx) ([]id.ID, error) { return games.Late(tx, time.Now(), games.MaxEndings) }}
	left := gamesEnder{kind: games.KindWithdrawal, find: func(tx database.Tx) ([]id.ID, error) { return games.Left(tx, games.MaxEndings) }}
	a.every(ctx, endGamesEvery, "ending games", func(ctx context.Context) error {
		err := late.end(ctx, a)
		if err == nil {
			err = left.end(ctx, a)
		}
		return err
	})
}

// gamesEnder submits operations of one kind, each of the games that are to be ended then.
type gamesEnder struct {
	kind  string
	find  func(tx database.Tx) ([]id.ID, error)
	last  id.ID         // the first game of the last operation
	pause time.Duration // before it is submitted again
	until time.Time     // when that is over
}

// end submits operations until there is nothing to end any more.
func (e *gamesEnder) end(ctx context.Context, a *attendance) error {
	for time.Now().After(e.until) {
		found, err := e.find(a.x.db.Read(ctx))
		if err != nil || len(found) == 0 {
			return err
		}
		if e.last != found[0] {
			e.last, e.pause = found[0], endGamesEvery
		} else { // it should have ended
			e.pause = min(2*e.pause, endGamesLater)
			e.until = time.Now().Add(e.pause)
		}
		if err := a.submit(ctx, e.kind, games.EndingCommand{Games: found}); err != nil {
			return err
		}
	}
	return nil
}
