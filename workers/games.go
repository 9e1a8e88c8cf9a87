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
		entries = append(entries, feed.Entry{Topic: chat.Topic(g.Room), Event: newsOf(g), At: cause.At, Lamport: cause.Stamp, Data: g.AppendJSON(make([]byte, 0, 1024))})
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

// attend ends the games whose clock has run out, and the invitations whose inviters have left. Whoever moves too late is refused at once.
func (gamesCounter) attend(ctx context.Context, a *attendance) {
	late := ender{kind: games.KindTimeout, find: toEnd(func(tx database.Tx) ([]id.ID, error) { return games.Late(tx, time.Now(), games.MaxEndings) }), any: games.AnyOpen}
	left := ender{kind: games.KindWithdrawal, find: toEnd(func(tx database.Tx) ([]id.ID, error) { return games.Left(tx, games.MaxEndings) }), any: games.AnyOpen}
	a.every(ctx, endEvery, "ending games", func(ctx context.Context) error {
		err := late.end(ctx, a)
		if err == nil {
			err = left.end(ctx, a)
		}
		return err
	})
}

func toEnd(find func(tx database.Tx) ([]id.ID, error)) func(tx database.Tx) (first id.ID, payload any, err error) {
	return func(tx database.Tx) (first id.ID, payload any, err error) {
		found, err := find(tx)
		if len(found) > 0 {
			first = found[0]
		}
		return first, games.EndingCommand{Games: found}, err
	}
}
