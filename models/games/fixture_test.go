package games

import (
	"testing"
	"time"

	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/problem"
	"guichet/models/testbed"
)

func TestMain(m *testing.M) { testbed.Main(m) }

var (
	ids  = id.NewGenerator()
	noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
)

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// people are who plays in these tests, by their names.
var people = map[string]id.ID{}

func init() {
	for _, name := range []string{"ada", "grace", "alan", ""} {
		people[name] = ids.Next()
	}
	people[""] = id.ID{} // the house
}

// submission is a command, and who submits it.
type submission struct {
	by string
	id id.ID
	*Command
}

func invitation(by string, room id.ID, seconds int) submission {
	return submission{by, ids.Next(), &Command{Kind: KindInvitation, Invitation: InvitationCommand{room, by, seconds}}}
}

func acceptance(by string, game id.ID) submission {
	return submission{by, ids.Next(), &Command{Kind: KindAcceptance, Acceptance: AcceptanceCommand{game, by}}}
}

func moveTo(by string, game id.ID, row, column int) submission {
	return submission{by, ids.Next(), &Command{Kind: KindMove, Move: MoveCommand{game, row, column}}}
}

func leaving(by string, game id.ID) submission {
	return submission{by, ids.Next(), &Command{Kind: KindLeaving, Leaving: LeavingCommand{game}}}
}

func ending(kind string, games ...id.ID) submission {
	return submission{"", ids.Next(), &Command{Kind: kind, Ending: EndingCommand{games}}}
}

// table is a referee with a clock that stands at noon unless it is moved.
type table struct {
	testing.TB
	*Referee
	stamp lamport.Stamp
	now   time.Time
	room  id.ID
}

func newTable(t testing.TB) *table {
	return &table{TB: t, Referee: NewReferee(nil, nil), stamp: 10, now: noon, room: ids.Next()}
}

func (s submission) cause(stamp lamport.Stamp, at time.Time) Cause {
	return Cause{OperationID: s.id, UserID: people[s.by], Stamp: stamp, At: at}
}

func (t *table) submit(s submission) ([]*Game, *problem.Problem) {
	t.stamp++
	return t.Decide(s.cause(t.stamp, t.now), s.Command)
}

// does wants a command to succeed, and to be about the game that it returns, as it is then.
func (t *table) does(s submission) Game {
	t.Helper()
	changed, refusal := t.submit(s)
	if refusal != nil {
		t.Fatalf("%+v: %v", s.Command, refusal)
	}
	g := changed[len(changed)-1]
	if g.Lamport != t.stamp {
		t.Errorf("%+v has left the stamp %d, want %d", s.Command, g.Lamport, t.stamp)
	}
	return *g
}

// refuses wants a command to be refused, and to change nothing.
func (t *table) refuses(s submission, code problem.Code) {
	t.Helper()
	before := t.state()
	changed, refusal := t.submit(s)
	if refusal == nil || refusal.Code != code || len(changed) != 0 || t.state() != before {
		t.Errorf("%s by %s: %v with %d changes, want %s", s.Kind, s.by, refusal, len(changed), code)
	}
}

// refusesAfter wants a command to be refused because of what it has found out, which has changed a game.
func (t *table) refusesAfter(s submission, code problem.Code) Game {
	t.Helper()
	changed, refusal := t.submit(s)
	if refusal == nil || refusal.Code != code || len(changed) != 1 {
		t.Fatalf("%s by %s: %v with %d changes, want %s", s.Kind, s.by, refusal, len(changed), code)
	}
	return *changed[0]
}

// state is all there is, as text.
func (t *table) state() string { return describe(t.Referee) }

// record is what somebody has won, lost and drawn.
func (t *table) record(name string) [3]int64 {
	if r := t.records[people[name]]; r != nil {
		return [3]int64{r.Won, r.Lost, r.Drawn}
	}
	return [3]int64{}
}

// begin has ada invite and grace accept.
func (t *table) begin() id.ID {
	t.Helper()
	game := t.does(invitation("ada", t.room, 60)).ID
	t.does(acceptance("grace", game))
	return game
}

// play places stones in turns, ada's first, on cells of a record.
func (t *table) play(game id.ID, record string) (last Game) {
	t.Helper()
	for n := 0; n < len(record); n += 2 {
		last = t.does(moveTo([]string{"ada", "grace"}[n/2%2], game, int(record[n])-'a', int(record[n+1])-'a'))
	}
	return last
}
