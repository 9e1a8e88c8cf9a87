package audit

import (
	"errors"
	"time"

	"guichet/models/bank"
	"guichet/models/chat"
	"guichet/models/database"
	"guichet/models/games"
	"guichet/models/gomoku"
	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/operation"
	"guichet/models/problem"
)

// refereeRound is an envelope of games, as workers/games.go executes it.
type refereeRound struct {
	*games.Round
	commands map[id.ID]*games.Command
}

func loadReferee(tx database.Tx, commands []operation.Command) (round, error) {
	r := &refereeRound{commands: map[id.ID]*games.Command{}}
	var read []games.Submitted
	for i := range commands {
		c, err := games.DecodeCommand(commands[i].Kind, commands[i].Payload)
		if err != nil {
			return nil, err
		}
		r.commands[commands[i].ID] = c
		read = append(read, games.Submitted{Command: c, UserID: commands[i].UserID})
	}
	var err error
	r.Round, err = games.Load(tx, read)
	return r, err
}

func (r *refereeRound) lastStamp() lamport.Stamp { return r.LastStamp() }

func (r *refereeRound) save(tx database.Tx) error { return r.Save(tx) }

func (r *refereeRound) decide(c *operation.Command, cause bank.Cause) *problem.Problem {
	_, refusal := r.Decide(games.Cause{OperationID: c.ID, UserID: c.UserID, Stamp: cause.Stamp, At: cause.At}, r.commands[c.ID])
	return refusal
}

// enter has users enter the lobby, and leave those who were there already.
func (p *process) enter(numbers ...string) {
	p.Helper()
	rows := database.Rows{Table: "room_members", Columns: []string{"room_id", "user_id", "username", "entered_at_us", "lamport"}}
	users := database.Rows{Table: "users", Columns: []string{"id", "username", "username_key", "password_hash", "role", "created_at_us"}}
	for _, number := range numbers {
		user := p.userOf(number)
		users.Add(user[:], number, number, "", "user", 0)
		rows.Add(chat.Lobby[:], user[:], number, time.Now().UnixMicro(), int64(p.clock.Tick()))
	}
	must(p, p.db.Write(p.Context(), func(tx database.Tx) error {
		return errors.Join(users.Upsert(tx, []string{"id"}, []string{"role"}), rows.Upsert(tx, []string{"room_id", "user_id"}, []string{"lamport"}))
	}))
}

func (p *process) leaveLobby(tx database.Tx, number string) error {
	user := p.userOf(number)
	_, err := tx.Exec("DELETE FROM room_members WHERE room_id = ? AND user_id = ?", chat.Lobby[:], user[:])
	return err
}

func (p *process) mustLeaveLobby(number string) {
	p.Helper()
	must(p, p.db.Write(p.Context(), func(tx database.Tx) error { return p.leaveLobby(tx, number) }))
}

func invite(by string, seconds int) command {
	return command{games.KindInvitation, games.InvitationCommand{Room: chat.Lobby, User: by, MoveSeconds: seconds}, by}
}

func acceptGame(by string, game id.ID) command {
	return command{games.KindAcceptance, games.AcceptanceCommand{Game: game, User: by}, by}
}

func place(by string, game id.ID, row, column int) command {
	return command{games.KindMove, games.MoveCommand{Game: game, Row: row, Column: column}, by}
}

func leaveGame(by string, game id.ID) command {
	return command{games.KindLeaving, games.LeavingCommand{Game: game}, by}
}

func endGames(kind string, ended ...id.ID) command {
	return command{kind, games.EndingCommand{Games: ended}, "HOUSE"}
}

// tournament is a past of games in which everything happened that may happen, named for the tests that falsify it.
type tournament struct {
	won, drawn, resigned, late, playing, waiting id.ID // games
	withdrawn, left                              id.ID // by their inviter, and because she had left
	refused, accepting, winning, absent          id.ID // operations
}

// playGames lets processes, whose clocks have nothing to do with each other, make a tournament.
func (h *house) playGames() (past tournament) {
	h.Helper()
	door, otherDoor, worker, standby := h.process(1000), h.process(7), h.process(2), h.process(500_000)
	behind := h.process(3)
	behind.slow = time.Hour // so what it begins is over already when others come to it
	door.enter("ADA1", "BOB1", "EVE1")
	begin := func(p *process, seconds int) id.ID {
		e := door.accept(games.Lane, invite("ADA1", seconds))
		p.execute(e)
		game := e.Commands[0].ID
		p.execute(otherDoor.accept(games.Lane, acceptGame("BOB1", game), acceptGame("EVE1", game)))
		return game
	}
	play := func(game id.ID, record string) *operation.Envelope {
		var commands []command
		for n := range gomoku.Moves(record) {
			m := gomoku.Recorded(record, n)
			commands = append(commands, place([]string{"ADA1", "BOB1"}[n%2], game, m.Row, m.Column))
		}
		e := door.accept(games.Lane, commands...)
		standby.execute(e)
		return e
	}
	past.won = begin(worker, 3600)
	e := play(past.won, "aaoaabobacocadodae")
	past.winning = e.Commands[len(e.Commands)-1].ID
	worker.execute(door.accept(games.Lane, place("BOB1", past.won, 9, 9), leaveGame("ADA1", past.won)))

	past.drawn = begin(standby, 3600)
	play(past.drawn, fullBoard())
	past.resigned = begin(worker, 3600)
	e = door.accept(games.Lane, place("BOB1", past.resigned, 1, 1), place("ADA1", past.resigned, 1, 1), place("BOB1", past.resigned, 1, 1), place("EVE1", past.resigned, 2, 2), leaveGame("BOB1", past.resigned))
	past.refused = e.Commands[2].ID
	worker.execute(e)

	past.late = begin(behind, 1)
	other := begin(behind, 1)
	worker.execute(door.accept(games.Lane, place("ADA1", other, 1, 1), endGames(games.KindTimeout, past.late, other, past.resigned)))

	past.withdrawn = begin(worker, 60) // and another, which nobody accepts
	e = otherDoor.accept(games.Lane, invite("ADA1", 60), invite("ADA1", 60))
	worker.execute(e)
	past.playing, past.withdrawn = past.withdrawn, e.Commands[0].ID
	play(past.playing, "hhhi")
	standby.execute(otherDoor.accept(games.Lane, leaveGame("ADA1", past.withdrawn), acceptGame("EVE1", past.withdrawn)))
	e = otherDoor.accept(games.Lane, invite("ADA1", 60))
	worker.execute(e)
	past.left = e.Commands[0].ID
	door.mustLeaveLobby("ADA1")
	e = door.accept(games.Lane, acceptGame("BOB1", past.left), acceptGame("EVE1", past.left))
	past.accepting = e.Commands[0].ID
	standby.execute(e)
	e = otherDoor.accept(games.Lane, invite("EVE1", 60), invite("BOB1", 60))
	worker.execute(e, 1)
	door.mustLeaveLobby("EVE1")
	worker.execute(door.accept(games.Lane, endGames(games.KindWithdrawal, past.left, e.Commands[0].ID)))
	replayed, err := operation.NewJournal(h.db).Replay(h.Context(), e.Commands[1].ID, nil)
	must(h, err)
	again := &operation.Envelope{}
	again.Add(replayed.Batch, replayed.Commands)
	standby.execute(again)
	standby.enter("BOB1") // who has left and come back
	e = door.accept(games.Lane, invite("BOB1", 90))
	standby.execute(e)
	past.waiting = e.Commands[0].ID
	e = otherDoor.accept(games.Lane, acceptGame("EVE1", past.waiting)) // who has left
	past.absent = e.Commands[0].ID
	standby.execute(e)
	return past
}

// fullBoard is a record of a draw.
func fullBoard() (record string) {
	var stones [2][]gomoku.Move
	for cell := range gomoku.Cells {
		m := gomoku.Move{Row: cell / gomoku.Size, Column: cell % gomoku.Size}
		colour := (m.Column + 2*m.Row) % 4 / 2
		stones[colour] = append(stones[colour], m)
	}
	for n := range gomoku.Cells {
		record = gomoku.Record(record, stones[n%2][n/2])
	}
	return record
}
