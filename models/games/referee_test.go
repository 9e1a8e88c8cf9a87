package games

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"guichet/models/gomoku"
	"guichet/models/id"
	"guichet/models/problem"
)

// describe writes all that a referee has, in a fixed order.
func describe(r *Referee) string {
	var lines []string
	for _, g := range r.games {
		lines = append(lines, fmt.Sprintf("%+v", *g))
	}
	for _, record := range r.records {
		lines = append(lines, fmt.Sprintf("%+v", *record))
	}
	for at, g := range r.waiting {
		lines = append(lines, fmt.Sprintf("%s waits in %s for %s", at.user, at.room, g.ID))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// blackWins is a game that black wins in nine moves.
const blackWins = "aaoaabobacocadodae"

func TestGame(t *testing.T) {
	t.Parallel()
	table := newTable(t)
	invite := invitation("ada", table.room, 60)
	invited := table.does(invite)
	if want := (Game{ID: invite.id, Room: table.room, Status: Invited, Black: Player{people["ada"], "ada"}, MoveSeconds: 60, InvitedAt: noon, Lamport: invited.Lamport}); invited != want {
		t.Errorf("%+v, want %+v", invited, want)
	}
	if invited.Turn() != (Player{}) {
		t.Error("it is somebody's turn before anybody has accepted")
	}
	table.now = noon.Add(time.Hour) // an invitation has no clock
	begun := table.does(acceptance("grace", invited.ID))
	if begun.Status != Playing || begun.White.Name != "grace" || begun.Turn().Name != "ada" || !begun.Deadline.Equal(table.now.Add(time.Minute)) || !begun.EndedAt.IsZero() {
		t.Errorf("%+v", begun)
	}
	table.now = table.now.Add(59 * time.Second)
	moved := table.play(invited.ID, "hh")
	if moved.Turn().Name != "grace" || !moved.Deadline.Equal(table.now.Add(time.Minute)) || moved.Moves != "hh" {
		t.Errorf("%+v", moved)
	}
	table.now = table.now.Add(time.Minute - time.Microsecond)
	table.does(moveTo("grace", invited.ID, 7, 8))
	won := table.play(invited.ID, blackWins)
	if won.Status != Ended || won.Reason != FiveInARow || won.Winner != people["ada"] || !won.EndedAt.Equal(table.now) || won.Turn() != (Player{}) || gomoku.Moves(won.Moves) != 11 {
		t.Errorf("%+v", won)
	}
	if ada, grace := table.record("ada"), table.record("grace"); ada != [3]int64{1, 0, 0} || grace != [3]int64{0, 1, 0} {
		t.Errorf("ada has %v, grace has %v", ada, grace)
	}
	if r := table.records[people["grace"]]; r.Lamport != table.stamp || table.LastStamp() != table.stamp {
		t.Errorf("%+v at %d", r, table.stamp)
	}
}

func TestWhiteWins(t *testing.T) {
	t.Parallel()
	table := newTable(t)
	game := table.begin()
	if won := table.play(game, "hhaaojabogacoeadocaeae"[:20]); won.Reason != FiveInARow || won.Winner != people["grace"] {
		t.Errorf("%+v", won)
	}
	if ada, grace := table.record("ada"), table.record("grace"); ada != [3]int64{0, 1, 0} || grace != [3]int64{1, 0, 0} {
		t.Errorf("ada has %v, grace has %v", ada, grace)
	}
}

// full is a record of a game that fills the board, without five in a row.
func full() string {
	var stones [2][]gomoku.Move
	for cell := range gomoku.Cells {
		m := gomoku.Move{Row: cell / gomoku.Size, Column: cell % gomoku.Size}
		colour := (m.Column + 2*m.Row) % 4 / 2
		stones[colour] = append(stones[colour], m)
	}
	record := ""
	for n := range gomoku.Cells {
		record = gomoku.Record(record, stones[n%2][n/2])
	}
	return record
}

func TestDraw(t *testing.T) {
	t.Parallel()
	table := newTable(t)
	game := table.begin()
	if g := table.play(game, full()); g.Status != Ended || g.Reason != BoardFull || !g.Winner.IsZero() || g.EndedAt.IsZero() {
		t.Errorf("%+v", g)
	}
	if ada, grace := table.record("ada"), table.record("grace"); ada != [3]int64{0, 0, 1} || grace != ada {
		t.Errorf("ada has %v, grace has %v", ada, grace)
	}
	table.refuses(moveTo("ada", game, 0, 0), problem.NotPlaying)
}

func TestInviting(t *testing.T) {
	t.Parallel()
	table := newTable(t)
	first := table.does(invitation("ada", table.room, 60)).ID
	table.refuses(invitation("ada", table.room, 30), problem.AlreadyWaiting)
	table.does(invitation("ada", ids.Next(), 60)) // in another room
	table.does(invitation("grace", table.room, 60))
	table.does(acceptance("grace", first))
	second := table.does(invitation("ada", table.room, 60)).ID // while another is played
	table.refuses(invitation("ada", table.room, 60), problem.AlreadyWaiting)
	if g := table.does(leaving("ada", second)); g.Status != Withdrawn || !g.EndedAt.Equal(noon) || g.Reason != "" || !g.White.ID.IsZero() {
		t.Errorf("%+v", g)
	}
	table.does(invitation("ada", table.room, 60))
}

func TestAccepting(t *testing.T) {
	t.Parallel()
	table := newTable(t)
	game := table.does(invitation("ada", table.room, 60)).ID
	table.refuses(acceptance("grace", ids.Next()), problem.UnknownGame)
	table.refuses(acceptance("ada", game), problem.OwnGame)
	table.does(acceptance("grace", game))
	table.refuses(acceptance("alan", game), problem.GameTaken)
	table.refuses(acceptance("grace", game), problem.GameTaken)
	table.refuses(acceptance("ada", game), problem.OwnGame)
	table.now = noon.Add(time.Hour) // the clock has run out, which is not for others to say
	table.refuses(acceptance("alan", game), problem.GameTaken)
	table.does(ending(KindTimeout, game))
	table.refuses(acceptance("alan", game), problem.GameTaken)
	withdrawn := table.does(invitation("ada", table.room, 60)).ID
	table.does(leaving("ada", withdrawn))
	table.refuses(acceptance("alan", withdrawn), problem.NotWaiting)
	table.refuses(acceptance("ada", withdrawn), problem.OwnGame)
}

func TestInviterHasLeft(t *testing.T) {
	t.Parallel()
	table := newTable(t)
	game := table.does(invitation("ada", table.room, 60)).ID
	table.Left(game, true)
	if g := table.refusesAfter(acceptance("grace", game), problem.NotWaiting); g.Status != Withdrawn || !g.EndedAt.Equal(noon) || g.Lamport != table.stamp {
		t.Errorf("%+v", g)
	}
	table.refuses(acceptance("grace", game), problem.NotWaiting)

	// Who has come back since may invite again.
	again := table.does(invitation("ada", table.room, 60)).ID
	table.Left(again, true)
	changed, refusal := table.submit(invitation("ada", table.room, 60))
	if refusal != nil || len(changed) != 2 || changed[0].ID != again || changed[0].Status != Withdrawn || changed[1].Status != Invited {
		t.Fatalf("%v, %v", changed, refusal)
	}
	table.refuses(acceptance("grace", again), problem.NotWaiting)

	// The house withdraws what nobody accepts. What was accepted goes on.
	third, taken := changed[1].ID, table.does(invitation("ada", ids.Next(), 60)).ID
	table.does(acceptance("grace", taken))
	table.Left(third, true)
	table.Left(taken, true)
	ended, refusal := table.submit(ending(KindWithdrawal, again, third, taken, ids.Next()))
	if refusal != nil || len(ended) != 1 || ended[0].ID != third || ended[0].Status != Withdrawn {
		t.Errorf("%v, %v", ended, refusal)
	}
	if g := table.Find(taken); g.Status != Playing {
		t.Errorf("%+v", g)
	}
	present := table.does(invitation("ada", table.room, 60)).ID
	if ended, _ := table.submit(ending(KindWithdrawal, present)); len(ended) != 0 {
		t.Error("an invitation was withdrawn whose inviter is there")
	}
	table.Left(present, true)
	if g := table.does(leaving("ada", present)); g.Status != Withdrawn {
		t.Errorf("%+v", g)
	}
}

func TestAcceptorHasLeft(t *testing.T) {
	t.Parallel()
	table := newTable(t)
	game := table.does(invitation("ada", table.room, 60)).ID
	table.Away(table.room, people["grace"], true)
	table.refuses(acceptance("grace", game), problem.NotAMember)
	table.Away(table.room, people["ada"], true) // of whom it is Left that counts
	table.does(acceptance("alan", game))
	table.refuses(acceptance("grace", game), problem.GameTaken)
	table.does(moveTo("ada", game, 7, 7))

	another := table.does(invitation("ada", table.room, 60)).ID
	table.Left(another, true)
	table.refusesAfter(acceptance("grace", another), problem.NotWaiting)
	third := table.does(invitation("ada", table.room, 60)).ID
	table.Away(table.room, people["grace"], false)
	table.does(acceptance("grace", third))
}

func TestMoving(t *testing.T) {
	t.Parallel()
	table := newTable(t)
	game := table.does(invitation("ada", table.room, 60)).ID
	table.refuses(moveTo("ada", ids.Next(), 0, 0), problem.UnknownGame)
	table.refuses(moveTo("grace", game, 0, 0), problem.NotAPlayer)
	table.refuses(moveTo("ada", game, 0, 0), problem.NotPlaying)
	table.does(acceptance("grace", game))
	table.refuses(moveTo("alan", game, 0, 0), problem.NotAPlayer)
	table.refuses(moveTo("grace", game, 0, 0), problem.NotYourTurn)
	table.does(moveTo("ada", game, 0, 0))
	table.refuses(moveTo("ada", game, 0, 0), problem.NotYourTurn)
	table.refuses(moveTo("grace", game, 0, 0), problem.CellTaken)
	table.does(moveTo("grace", game, 14, 14))
	table.refuses(moveTo("ada", game, 14, 14), problem.CellTaken)
	table.does(leaving("grace", game))
	table.refuses(moveTo("ada", game, 1, 1), problem.NotPlaying)
	table.refuses(moveTo("alan", game, 1, 1), problem.NotAPlayer)
	withdrawn := table.does(invitation("ada", table.room, 60)).ID
	table.does(leaving("ada", withdrawn))
	table.refuses(moveTo("ada", withdrawn, 1, 1), problem.NotPlaying)
}

func TestLeaving(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ moves, who, winner string }{{"", "ada", "grace"}, {"", "grace", "ada"}, {"hh", "ada", "grace"}, {"hh", "grace", "ada"}} {
		table := newTable(t)
		game := table.begin()
		table.play(game, c.moves)
		table.refuses(leaving("alan", game), problem.NotAPlayer)
		if g := table.does(leaving(c.who, game)); g.Status != Ended || g.Reason != Resignation || g.Winner != people[c.winner] || !g.EndedAt.Equal(noon) {
			t.Errorf("%+v: %+v", c, g)
		}
		if won, lost := table.record(c.winner), table.record(c.who); won != [3]int64{1, 0, 0} || lost != [3]int64{0, 1, 0} {
			t.Errorf("%v and %v", won, lost)
		}
		table.refuses(leaving(c.who, game), problem.NotPlaying)
		table.refuses(leaving(c.winner, game), problem.NotPlaying)
	}
	table := newTable(t)
	game := table.does(invitation("ada", table.room, 60)).ID
	table.refuses(leaving("grace", game), problem.NotAPlayer)
	table.refuses(leaving("grace", ids.Next()), problem.UnknownGame)
	table.does(leaving("ada", game))
	table.refuses(leaving("ada", game), problem.NotPlaying)
}

// The clock is exact, whoever finds out first that it has run out.
func TestClock(t *testing.T) {
	t.Parallel()
	late := map[string]func(*table, id.ID) Game{
		"the house": func(t *table, game id.ID) Game { return t.does(ending(KindTimeout, game)) },
		"their move": func(t *table, game id.ID) Game {
			return t.refusesAfter(moveTo("grace", game, 1, 1), problem.NotPlaying)
		},
		"the other's": func(t *table, game id.ID) Game { return t.refusesAfter(moveTo("ada", game, 1, 1), problem.NotPlaying) },
		"resignation": func(t *table, game id.ID) Game { return t.refusesAfter(leaving("grace", game), problem.NotPlaying) },
	}
	for who, says := range late {
		for _, after := range []time.Duration{time.Minute, time.Minute + time.Microsecond, 24 * time.Hour} {
			table := newTable(t)
			game := table.begin()
			table.play(game, "hh")
			table.now = noon.Add(after)
			if g := says(table, game); g.Status != Ended || g.Reason != Timeout || g.Winner != people["ada"] || g.Moves != "hh" || !g.EndedAt.Equal(table.now) || !g.Deadline.Equal(noon.Add(time.Minute)) {
				t.Errorf("%s, after %v: %+v", who, after, g)
			}
			if ada, grace := table.record("ada"), table.record("grace"); ada != [3]int64{1, 0, 0} || grace != [3]int64{0, 1, 0} {
				t.Errorf("%s: ada has %v, grace has %v", who, ada, grace)
			}
			if ended, _ := table.submit(ending(KindTimeout, game)); len(ended) != 0 {
				t.Errorf("%s: it ends twice", who)
			}
		}
	}
	table := newTable(t)
	game := table.begin()
	table.now = noon.Add(time.Minute - time.Microsecond)
	if ended, _ := table.submit(ending(KindTimeout, game, ids.Next())); len(ended) != 0 {
		t.Error("it ends before its time")
	}
	table.now = noon.Add(time.Minute)
	table.refuses(moveTo("alan", game, 1, 1), problem.NotAPlayer) // who has nothing to say
	if g := table.does(ending(KindTimeout, game)); g.Winner != people["grace"] {
		t.Errorf("black has not moved: %+v", g)
	}
}

// A game and a record have what was decided, and nothing that was refused is to be stored.
func TestWhatIsStored(t *testing.T) {
	t.Parallel()
	table := newTable(t)
	game := table.begin()
	if len(table.made) != 1 || len(table.changed) != 1 || len(table.scored) != 0 {
		t.Errorf("%d, %d and %d are to be stored", len(table.made), len(table.changed), len(table.scored))
	}
	table.Forget()
	table.refuses(moveTo("grace", game, 0, 0), problem.NotYourTurn)
	table.refuses(acceptance("alan", game), problem.GameTaken)
	if len(table.made)+len(table.changed)+len(table.scored) != 0 {
		t.Error("a refusal is to be stored")
	}
	table.does(leaving("grace", game))
	if len(table.made) != 0 || len(table.changed) != 1 || len(table.scored) != 2 {
		t.Errorf("%d, %d and %d are to be stored", len(table.made), len(table.changed), len(table.scored))
	}
}
