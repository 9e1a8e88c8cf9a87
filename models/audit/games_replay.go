package audit

import (
	"guichet/models/bank"
	"guichet/models/database"
	"guichet/models/games"
	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/operation"
	"guichet/models/problem"
)

// gamesReplayer replays what was done to games, and answers for their tables.
type gamesReplayer struct {
	referee *games.Referee
	// withdrawn are the games that were withdrawn at a stamp. Who is in a room is not decided in the lane, so the journal does not know whether an inviter had left;
	// a withdrawal remembers the operation that found out. All that follows from it is replayed.
	withdrawn map[lamport.Stamp][]id.ID
	// refused are the operations that were refused: for the same reason, that an acceptor was not there is taken from their codes.
	refused map[id.ID]problem.Code
}

func newGamesReplayer(tx database.Tx, _ *bank.Ledger) (replayer, error) {
	refused, err := readRefused(tx, games.Lane)
	if err != nil {
		return nil, err
	}
	x := &gamesReplayer{referee: games.NewReferee(nil, nil), withdrawn: map[lamport.Stamp][]id.ID{}, refused: refused}
	for row, err := range gameRows(tx) {
		if err != nil {
			return nil, err
		}
		if row.Status == games.Withdrawn {
			x.withdrawn[row.Lamport] = append(x.withdrawn[row.Lamport], row.ID)
		}
	}
	return x, nil
}

func (x *gamesReplayer) replay(command *operation.Command, cause bank.Cause) *problem.Problem {
	c, err := games.DecodeCommand(command.Kind, command.Payload)
	if err != nil {
		panic(err)
	}
	for _, game := range x.withdrawn[cause.Stamp] {
		x.referee.Left(game, true)
	}
	if g := x.referee.Find(c.Acceptance.Game); g != nil {
		x.referee.Away(g.Room, command.UserID, x.refused[cause.OperationID] == problem.NotAMember)
	}
	defer x.referee.Forget()
	_, refusal := x.referee.Decide(games.Cause{OperationID: cause.OperationID, UserID: command.UserID, Stamp: cause.Stamp, At: cause.At}, c)
	return refusal
}

// compare reports where the tables of games are not as the replay has left things.
func (x *gamesReplayer) compare(tx database.Tx, c *Check) error {
	replayed, records := x.referee.All()
	for row, err := range gameRows(tx) {
		if err != nil {
			return err
		}
		again := replayed[row.ID]
		switch {
		case again == nil:
			c.find("game %s is recorded, and not replayed", row.ID)
		case row.Game != storedGame(again):
			c.find("game %s is %+v; replayed, %+v", row.ID, row.Game, *again)
		}
		delete(replayed, row.ID)
	}
	for _, game := range id.Keys(replayed) {
		c.find("game %s was replayed, and is not recorded", game)
	}
	for r, err := range gameRecordRows(tx) {
		if err != nil {
			return err
		}
		again := records[r.User]
		if again == nil {
			again = &games.Record{}
		}
		if *r != *again {
			c.find("the record of user %s is %+v; replayed, %+v", r.User, *r, *again)
		}
		delete(records, r.User)
	}
	for _, user := range id.Keys(records) {
		c.find("user %s has no record; replayed, it is %+v", user, *records[user])
	}
	return nil
}

// storedGame is the game as it is when it has been stored and read: equal times are then the same values.
func storedGame(g *games.Game) games.Game {
	read := *g
	read.Deadline, read.InvitedAt, read.EndedAt = operation.FromMicro(operation.Micro(g.Deadline)), operation.FromMicro(operation.Micro(g.InvitedAt)), operation.FromMicro(operation.Micro(g.EndedAt))
	return read
}
