package games

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"guichet/models/id"
	"guichet/models/problem"
)

// day submits commands at random, most of which make sense.
type day struct {
	*rand.Rand
	rooms []id.ID
	games []id.ID
	names []string
}

func newDay(seed uint64) *day {
	return &day{Rand: rand.New(rand.NewPCG(seed, 11)), rooms: []id.ID{ids.Next(), ids.Next()}, games: []id.ID{ids.Next()}, names: []string{"ada", "grace", "alan"}} //nolint:gosec // a test that can be repeated
}

func pick[T any](d *day, of []T) T { return of[d.IntN(len(of))] }

// next is the next command, mostly about one of the last games. Stones are placed near each other, so that games end.
func (d *day) next(at func(id.ID) *Game) submission {
	made := slices.DeleteFunc(slices.Clone(d.games), func(game id.ID) bool { return at(game) == nil })
	game := pick(d, append(made[max(0, len(made)-3):], d.games[0])) // the first is none
	g := at(game)
	who := pick(d, d.names)
	switch n := d.IntN(80); {
	case n < 3 || len(made) == 0:
		s := invitation(who, pick(d, d.rooms), 5+d.IntN(60))
		d.games = append(d.games, s.id)
		return s
	case n < 9 || g != nil && g.Status == Invited && n < 60:
		return acceptance(who, game)
	case n < 10:
		return leaving(who, game)
	case n < 12:
		return ending(KindTimeout, game, pick(d, d.games))
	case n < 14:
		return ending(KindWithdrawal, game, pick(d, d.games))
	default:
		if g != nil && g.Turn().Name != "" && n < 75 {
			who = g.Turn().Name
		}
		return moveTo(who, game, 6+d.IntN(5), 6+d.IntN(5))
	}
}

// Whatever is submitted: a refusal changes nothing but what had ended before, nobody waits twice in a room, games are as their moves and their clocks say, and
// records are the sums of the games.
func TestWhateverIsSubmitted(t *testing.T) {
	t.Parallel()
	seen := map[string]int{}
	for seed := range uint64(10) {
		d, table := newDay(seed), newTable(t)
		for range 2500 {
			table.now = table.now.Add(time.Duration(d.IntN(1500)) * time.Millisecond)
			for _, g := range table.waiting {
				table.Left(g.ID, d.IntN(20) == 0)
			}
			table.step(d.next(table.Find), seen)
		}
	}
	for _, code := range []problem.Code{problem.AlreadyWaiting, problem.OwnGame, problem.GameTaken, problem.NotWaiting, problem.NotAPlayer, problem.NotPlaying, problem.NotYourTurn, problem.CellTaken} {
		if seen[string(code)] == 0 {
			t.Errorf("nobody was told %s", code)
		}
	}
	for _, what := range []string{"invited", "playing", "withdrawn", "endedfive_in_a_row", "endedresignation", "endedtimeout"} {
		if seen[what] == 0 {
			t.Errorf("nothing was %s: %v", what, seen)
		}
	}
}

// step submits a command, and checks all that holds after any.
func (t *table) step(s submission, seen map[string]int) {
	t.Helper()
	before := t.state()
	changed, refusal := t.submit(s)
	if len(changed) == 0 && t.state() != before {
		t.Fatalf("%+v was refused, and something has changed", s.Command)
	}
	if refusal != nil {
		seen[string(refusal.Code)]++
		if len(changed) > 0 && (len(changed) > 1 || changed[0].Status != Withdrawn && changed[0].Reason != Timeout) {
			t.Fatalf("%+v was refused, and has changed %+v", s.Command, changed[0])
		}
	}
	for _, g := range changed {
		seen[string(g.Status)+string(g.Reason)]++
	}
	if wrong := t.wrong(); wrong != "" {
		t.Fatalf("after %+v: %s", s.Command, wrong)
	}
}

// wrong says what does not hold of a referee.
func (t *table) wrong() string {
	records, waiting := map[id.ID][3]int64{}, map[string]bool{}
	for _, g := range t.games {
		played := g.Status == Playing || g.Status == Ended
		switch place := g.Room.String() + g.Black.Name; {
		case g.Status == Invited && waiting[place]:
			return "somebody waits twice"
		case g.Status == Invited:
			waiting[place] = true
		}
		if played == g.White.ID.IsZero() || played == g.Deadline.IsZero() || (g.Status == Ended) == (g.Reason == "") || (g.Status == Ended || g.Status == Withdrawn) == g.EndedAt.IsZero() ||
			!played && g.Moves != "" || g.White == g.Black || g.Lamport > t.stamp {
			return fmt.Sprintf("a game is %+v", *g)
		}
		if g.Status != Ended {
			continue
		}
		for _, player := range []id.ID{g.Black.ID, g.White.ID} {
			r := records[player]
			r[map[bool]int{true: 0, false: 1}[player == g.Winner]]++
			records[player] = r
		}
		if g.Winner != g.Black.ID && g.Winner != g.White.ID || (g.Reason == Timeout) == g.EndedAt.Before(g.Deadline) {
			return fmt.Sprintf("a game has ended as %+v", *g)
		}
	}
	for user, r := range t.records {
		if got := [3]int64{r.Won, r.Lost, r.Drawn}; records[user] != got {
			return fmt.Sprintf("%s has %v; by the games, %v", user, got, records[user])
		}
	}
	if len(t.records) != len(records) || len(t.waiting) != len(waiting) {
		return "a record, or somebody who waits, is missing"
	}
	return ""
}

// compareLines says where two texts differ first.
func compareLines(got, want string) string {
	a, b := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range a {
		if i >= len(b) || a[i] != b[i] {
			return fmt.Sprintf("%s\nwant\n%s", a[i], slices.Concat(b, []string{"nothing"})[min(i, len(b))])
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(a), len(b))
}
