package games

import (
	"fmt"
	"time"

	"guichet/models/gomoku"
	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/problem"
)

// Cause is the operation on whose behalf the referee acts, and whose it is: the zero user is the house.
type Cause struct {
	OperationID id.ID
	UserID      id.ID
	Stamp       lamport.Stamp
	At          time.Time
}

// Referee is the games that a round of commands concerns, with the records of their players, and what the round has made of them.
type Referee struct {
	games   map[id.ID]*Game
	records map[id.ID]*Record // by user; who has none has played no game to its end
	waiting map[place]*Game   // invitations that wait
	gone    map[id.ID]bool    // invitations that wait, and whose inviters have left the room since
	away    map[place]bool    // who is not in a room

	// What is to be stored.
	made    []*Game
	changed map[id.ID]*Game   // that are not as they were
	scored  map[id.ID]*Record // likewise
}

// place is somebody in a room.
type place struct{ room, user id.ID }

// NewReferee returns a referee of the given games and records.
func NewReferee(games []*Game, records []*Record) *Referee {
	r := &Referee{games: make(map[id.ID]*Game, len(games)), records: make(map[id.ID]*Record, len(records)), waiting: map[place]*Game{}, gone: map[id.ID]bool{}, away: map[place]bool{}}
	for _, g := range games {
		r.games[g.ID] = g
		if g.Status == Invited {
			r.waiting[place{g.Room, g.Black.ID}] = g
		}
	}
	for _, record := range records {
		r.records[record.User] = record
	}
	r.Forget()
	return r
}

// Left notes whether the inviter of a game that waits has left the room since, even if they have come back: who is in a room is decided elsewhere.
func (r *Referee) Left(game id.ID, left bool) { r.gone[game] = left }

// Away notes whether somebody is not in a room, which keeps them from accepting there.
func (r *Referee) Away(room, user id.ID, away bool) { r.away[place{room, user}] = away }

// Find returns a game that was loaded or made, or nil.
func (r *Referee) Find(game id.ID) *Game { return r.games[game] }

// All are the games and the records, by their ids and their users, as they are now. They are the referee's own.
func (r *Referee) All() (map[id.ID]*Game, map[id.ID]*Record) { return r.games, r.records }

// Forget drops what is to be stored: for who replays a journal, and has nothing to store.
func (r *Referee) Forget() {
	r.made, r.changed, r.scored = nil, map[id.ID]*Game{}, map[id.ID]*Record{}
}

// LastStamp is the largest stamp of what was loaded: whatever is decided now comes after it.
func (r *Referee) LastStamp() (last lamport.Stamp) {
	for _, g := range r.games {
		last = max(last, g.Lamport)
	}
	for _, record := range r.records {
		last = max(last, record.Lamport)
	}
	return last
}

// Decide executes a command: it returns the games that have changed, of which the last is what the command was about, or the refusal. A refusal changes nothing, but
// for what had to happen before the command and was not executed yet: a clock that has run out ends its game, whoever says so, and an invitation is withdrawn whose
// inviter has left. The problems of each command are in the order in which they are looked for.
func (r *Referee) Decide(c Cause, command *Command) (changed []*Game, refusal *problem.Problem) {
	switch command.Kind {
	case KindInvitation:
		return r.invite(c, &command.Invitation)
	case KindAcceptance:
		return r.accept(c, &command.Acceptance)
	case KindMove:
		return r.move(c, &command.Move)
	case KindLeaving:
		return r.leave(c, &command.Leaving)
	case KindTimeout:
		return r.endThose(c, &command.Ending, r.timeOut), nil
	case KindWithdrawal:
		return r.endThose(c, &command.Ending, r.withdrawLeft), nil
	default:
		panic(fmt.Sprintf("games: no command is called %q", command.Kind))
	}
}

// invite refuses already_waiting.
func (r *Referee) invite(c Cause, command *InvitationCommand) (changed []*Game, refusal *problem.Problem) {
	at := place{command.Room, c.UserID}
	if before := r.waiting[at]; before != nil {
		if !r.withdrawLeft(c, before) {
			return nil, problem.New(problem.AlreadyWaiting, "you have invited in this room, and nobody has accepted yet")
		}
		changed = append(changed, before)
	}
	g := &Game{ID: c.OperationID, Room: command.Room, Status: Invited, Black: Player{c.UserID, command.User}, MoveSeconds: command.MoveSeconds, InvitedAt: c.At, Lamport: c.Stamp}
	r.games[g.ID] = g
	r.waiting[at] = g
	r.made = append(r.made, g)
	return append(changed, g), nil
}

// accept refuses unknown_game, own_game, game_taken (once somebody has accepted, for ever), not_waiting and not_a_member. The last is for who has left the room while
// the acceptance waited in line: who is not in it when it comes is refused before it is submitted.
func (r *Referee) accept(c Cause, command *AcceptanceCommand) ([]*Game, *problem.Problem) {
	g := r.games[command.Game]
	switch {
	case g == nil:
		return nil, unknownGame()
	case g.Black.ID == c.UserID:
		return nil, problem.New(problem.OwnGame, "it takes somebody else to accept your invitation")
	case !g.White.ID.IsZero():
		return nil, problem.Newf(problem.GameTaken, "%s has accepted before you", g.White.Name)
	case g.Status != Invited:
		return nil, problem.New(problem.NotWaiting, "the invitation was withdrawn")
	case r.withdrawLeft(c, g):
		return []*Game{g}, problem.New(problem.NotWaiting, "whoever invited has left the room")
	case r.away[place{g.Room, c.UserID}]:
		return nil, problem.New(problem.NotAMember, "you have left the room")
	}
	delete(r.waiting, place{g.Room, g.Black.ID})
	g.Status, g.White = Playing, Player{c.UserID, command.User}
	g.startClock(c)
	r.change(c, g)
	return []*Game{g}, nil
}

// move refuses unknown_game, not_a_player, not_playing (also if the clock has run out, which ends the game), not_your_turn and cell_taken.
func (r *Referee) move(c Cause, command *MoveCommand) ([]*Game, *problem.Problem) {
	g, changed, refusal := r.played(c, command.Game)
	if refusal != nil {
		return changed, refusal
	}
	if g.Turn().ID != c.UserID {
		return nil, problem.Newf(problem.NotYourTurn, "it is the turn of %s", g.Turn().Name)
	}
	cell := gomoku.Move{Row: command.Row, Column: command.Column}
	board := g.board()
	state, err := board.Place(cell)
	if err != nil { // the cell is on the board, as a command's is, and the game goes on
		return nil, problem.Newf(problem.CellTaken, "there is a stone at row %d, column %d", cell.Row, cell.Column)
	}
	g.Moves = gomoku.Record(g.Moves, cell)
	switch state {
	case gomoku.Won:
		r.end(c, g, FiveInARow, c.UserID)
	case gomoku.Full:
		r.end(c, g, BoardFull, id.ID{})
	case gomoku.Open:
		g.startClock(c)
		r.change(c, g)
	}
	return []*Game{g}, nil
}

// leave refuses unknown_game, not_a_player and not_playing (also if the clock has run out, which ends the game).
func (r *Referee) leave(c Cause, command *LeavingCommand) ([]*Game, *problem.Problem) {
	if g := r.games[command.Game]; g != nil && g.Status == Invited && g.Black.ID == c.UserID {
		r.withdraw(c, g)
		return []*Game{g}, nil
	}
	g, changed, refusal := r.played(c, command.Game)
	if refusal != nil {
		return changed, refusal
	}
	r.end(c, g, Resignation, g.rival(c.UserID))
	return []*Game{g}, nil
}

// played finds a game that the user plays. It refuses unknown_game, not_a_player and not_playing; before that, a game whose clock has run out is ended, and returned
// as changed.
func (r *Referee) played(c Cause, game id.ID) (g *Game, changed []*Game, refusal *problem.Problem) {
	g = r.games[game]
	switch {
	case g == nil:
		return nil, nil, unknownGame()
	case !g.IsPlayer(c.UserID):
		return nil, nil, problem.New(problem.NotAPlayer, "others play this game")
	case r.timeOut(c, g):
		return nil, []*Game{g}, problem.New(problem.NotPlaying, "the time for the move is over, and with it the game")
	case g.Status == Invited:
		return nil, nil, problem.New(problem.NotPlaying, "nobody has accepted yet")
	case g.Status != Playing:
		return nil, nil, problem.Newf(problem.NotPlaying, "it is %s", g.Status)
	}
	return g, nil, nil
}

func unknownGame() *problem.Problem {
	return problem.New(problem.UnknownGame, "there is no such game")
}

// endThose ends the games that are named, and returns those that it has ended. What has come to another end meanwhile is left as it is.
func (r *Referee) endThose(c Cause, command *EndingCommand, end func(Cause, *Game) bool) (ended []*Game) {
	for _, named := range command.Games {
		if g := r.games[named]; g != nil && end(c, g) {
			ended = append(ended, g)
		}
	}
	return ended
}

// timeOut ends a game whose clock has run out: whoever had to move has lost. It says whether it has.
func (r *Referee) timeOut(c Cause, g *Game) bool {
	if !g.late(c.At) {
		return false
	}
	r.end(c, g, Timeout, g.rival(g.Turn().ID))
	return true
}

// withdrawLeft withdraws an invitation whose inviter has left the room. It says whether it has.
func (r *Referee) withdrawLeft(c Cause, g *Game) bool {
	if g.Status != Invited || !r.gone[g.ID] {
		return false
	}
	r.withdraw(c, g)
	return true
}

func (r *Referee) withdraw(c Cause, g *Game) {
	delete(r.waiting, place{g.Room, g.Black.ID})
	g.Status, g.EndedAt = Withdrawn, c.At
	r.change(c, g)
}

// end ends a game, and adds it to the records of both players. The zero winner is a draw.
func (r *Referee) end(c Cause, g *Game, reason Reason, winner id.ID) {
	g.Status, g.Reason, g.Winner, g.EndedAt = Ended, reason, winner, c.At
	for _, player := range []id.ID{g.Black.ID, g.White.ID} {
		record := r.records[player]
		if record == nil {
			record = &Record{User: player}
			r.records[player] = record
		}
		record.add(g)
		record.Lamport = c.Stamp
		r.scored[player] = record
	}
	r.change(c, g)
}

// add counts a game that the user has played to its end.
func (r *Record) add(g *Game) {
	switch g.Winner {
	case id.ID{}:
		r.Drawn++
	case r.User:
		r.Won++
	default:
		r.Lost++
	}
}

func (r *Referee) change(c Cause, g *Game) {
	g.Lamport = c.Stamp
	r.changed[g.ID] = g
}

// startClock gives whoever is to move now their time.
func (g *Game) startClock(c Cause) {
	g.Deadline = c.At.Add(time.Duration(g.MoveSeconds) * time.Second)
}

// board is the board as the moves have left it.
func (g *Game) board() *gomoku.Board {
	b, err := gomoku.Replay(g.Moves)
	if err != nil {
		panic(fmt.Errorf("the moves of game %s: %w", g.ID, err))
	}
	return b
}
