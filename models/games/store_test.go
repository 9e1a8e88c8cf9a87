package games

import (
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"guichet/models/chat"
	"guichet/models/database"
	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/operation"
	"guichet/models/problem"
	"guichet/models/testbed/stores"
)

// house is a store with a lane of games.
type house struct {
	*testing.T
	db    *database.DB
	clock lamport.Clock
	now   time.Time
}

func newHouse(t *testing.T, db *database.DB) *house {
	h := &house{T: t, db: db, now: noon}
	h.clock.Witness(100)
	ok(t, operation.EnsureLanes(t.Context(), db, []string{Lane}))
	return h
}

func (h *house) write(do func(tx database.Tx) error) {
	h.Helper()
	ok(h, h.db.Write(h.Context(), do))
}

// enter has people enter a room, as the rules of rooms do.
func (h *house) enter(room id.ID, names ...string) {
	h.Helper()
	rows := database.Rows{Table: "room_members", Columns: []string{"room_id", "user_id", "username", "entered_at_us", "lamport"}}
	for _, name := range names {
		user := people[name]
		rows.Add(room[:], user[:], name, h.now.UnixMicro(), int64(h.clock.Tick()))
	}
	h.write(rows.Insert)
}

func (h *house) leave(room id.ID, name string) {
	h.Helper()
	user := people[name]
	h.write(func(tx database.Tx) error {
		n, err := tx.Exec("DELETE FROM room_members WHERE room_id = ? AND user_id = ?", room[:], user[:])
		if err == nil && n != 1 {
			err = fmt.Errorf("%s was not there", name)
		}
		return err
	})
}

// round executes commands in one transaction, as a lane does, and returns the refusals.
func (h *house) round(commands ...submission) (codes []problem.Code, last lamport.Stamp) {
	h.Helper()
	h.write(func(tx database.Tx) error {
		codes = nil
		lane, err := operation.LockLane(tx, Lane)
		if err != nil {
			return err
		}
		var read []Submitted
		for _, c := range commands {
			read = append(read, Submitted{c.Command, people[c.by]})
		}
		round, err := Load(tx, read)
		if err != nil {
			return err
		}
		h.clock.Receive(max(lane.Lamport, round.LastStamp()))
		for _, c := range commands {
			last = h.clock.Tick()
			code := problem.Code("")
			if _, refusal := round.Decide(c.cause(last, h.now), c.Command); refusal != nil {
				code = refusal.Code
			}
			codes = append(codes, code)
		}
		return tx.Deferred(func(tx database.Tx) error {
			return errors.Join(round.Save(tx), operation.AdvanceLane(tx, Lane, lane.Sequence+int64(len(commands)), last))
		})
	})
	return codes, last
}

func (h *house) must(commands ...submission) {
	h.Helper()
	h.wants(make([]problem.Code, len(commands)), commands...)
}

func (h *house) wants(codes []problem.Code, commands ...submission) {
	h.Helper()
	if got, _ := h.round(commands...); !slices.Equal(got, codes) {
		h.Fatalf("%q, want %q", got, codes)
	}
}

func (h *house) get(game id.ID) *Game {
	h.Helper()
	g, err := Get(h.db.Read(h.Context()), game)
	ok(h, err)
	return g
}

func TestGamesInStore(t *testing.T) {
	stores.Each(t, func(t *testing.T, db *database.DB) {
		h := newHouse(t, db)
		if _, err := Get(db.Read(t.Context()), ids.Next()); !errors.Is(err, ErrUnknownGame) {
			t.Errorf("%v", err)
		}
		h.enter(chat.Lobby, "ada", "grace")
		invite := invitation("ada", chat.Lobby, 60)
		_, stamp := h.round(invite)
		if g, want := *h.get(invite.id), (Game{ID: invite.id, Room: chat.Lobby, Status: Invited, Black: Player{people["ada"], "ada"}, MoveSeconds: 60, InvitedAt: noon, Lamport: stamp}); g != want {
			t.Errorf("%+v, want %+v", g, want)
		}
		h.wants([]problem.Code{problem.AlreadyWaiting, "", problem.GameTaken, problem.NotYourTurn, "", problem.CellTaken}, invitation("ada", chat.Lobby, 60), acceptance("grace", invite.id),
			acceptance("alan", invite.id), moveTo("grace", invite.id, 0, 0), moveTo("ada", invite.id, 7, 7), moveTo("grace", invite.id, 7, 7))
		if g := h.get(invite.id); g.Status != Playing || g.White != (Player{people["grace"], "grace"}) || g.Moves != "hh" || !g.Deadline.Equal(noon.Add(time.Minute)) {
			t.Errorf("%+v", g)
		}
		_, stamp = h.round(leaving("grace", invite.id))
		if g := h.get(invite.id); g.Status != Ended || g.Reason != Resignation || g.Winner != people["ada"] || !g.EndedAt.Equal(noon) || g.Lamport != stamp {
			t.Errorf("%+v", g)
		}
		for name, want := range map[string]Record{"ada": {people["ada"], 1, 0, 0, stamp}, "grace": {people["grace"], 0, 1, 0, stamp}, "alan": {User: people["alan"]}} {
			if got, err := RecordOf(db.Read(t.Context()), people[name]); err != nil || *got != want {
				t.Errorf("%+v %v, want %+v", got, err, want)
			}
		}
	})
}

// A whole game in one round, from the invitation to the end, with records that are there and records that are not.
func TestGameWithinARound(t *testing.T) {
	stores.Each(t, func(t *testing.T, db *database.DB) {
		h := newHouse(t, db)
		for n := range int64(3) {
			invite := invitation("ada", chat.Lobby, 60)
			commands := []submission{invite, acceptance("grace", invite.id)}
			for i := 0; i < len(blackWins); i += 2 {
				commands = append(commands, moveTo([]string{"ada", "grace"}[i/2%2], invite.id, int(blackWins[i])-'a', int(blackWins[i+1])-'a'))
			}
			h.must(commands...)
			if g := h.get(invite.id); g.Reason != FiveInARow || g.Winner != people["ada"] || g.Moves != blackWins {
				t.Errorf("%+v", g)
			}
			for name, want := range map[string][3]int64{"ada": {n + 1, 0, 0}, "grace": {0, n + 1, 0}} {
				if r, err := RecordOf(db.Read(t.Context()), people[name]); err != nil || [3]int64{r.Won, r.Lost, r.Drawn} != want {
					t.Errorf("%+v %v, want %v", r, err, want)
				}
			}
		}
		h.must(invitation("ada", chat.Lobby, 60)) // she is not waiting any more
	})
}

func TestListGames(t *testing.T) {
	stores.Each(t, func(t *testing.T, db *database.DB) {
		h := newHouse(t, db)
		other := ids.Next()
		h.enter(chat.Lobby, "ada", "grace")
		h.enter(other, "ada")
		var all []id.ID
		for n := range 9 {
			invite := invitation("ada", chat.Lobby, 60)
			all = append(all, invite.id)
			h.must(invite)
			switch {
			case n%3 == 0:
				h.must(leaving("ada", invite.id))
			case n < 7:
				h.must(acceptance("grace", invite.id))
			default:
				if n == 7 {
					h.must(leaving("ada", invite.id))
				}
			}
		}
		h.must(invitation("ada", other, 60))
		slices.Reverse(all)
		for _, status := range []Status{"", Invited, Playing, Ended, Withdrawn} {
			var want []id.ID
			for _, game := range all {
				if g := h.get(game); status == "" || g.Status == status {
					want = append(want, game)
				}
			}
			for _, limit := range []int{1, 2, 50} {
				var got []id.ID
				for f := (Filter{Room: chat.Lobby, Status: status, Limit: limit}); ; {
					page, err := List(db.Read(t.Context()), f)
					ok(t, err)
					for _, g := range page {
						got, f.Before = append(got, g.ID), g.ID
					}
					if len(page) < limit {
						break
					}
				}
				if !slices.Equal(got, want) {
					t.Errorf("%q by %d: %v, want %v", status, limit, got, want)
				}
			}
		}
	})
}

// An invitation does not outlive its inviter's stay in the room, whether or not they come back.
func TestLeavingTheRoom(t *testing.T) {
	stores.Each(t, func(t *testing.T, db *database.DB) {
		h := newHouse(t, db)
		left := func() []id.ID {
			t.Helper()
			found, err := Left(db.Read(t.Context()), 5)
			ok(t, err)
			return found
		}
		h.enter(chat.Lobby, "ada", "grace")
		first := invitation("ada", chat.Lobby, 60)
		h.must(first)
		if found := left(); found != nil {
			t.Errorf("%v have left", found)
		}
		h.leave(chat.Lobby, "ada")
		if found := left(); !slices.Equal(found, []id.ID{first.id}) {
			t.Errorf("%v have left", found)
		}
		h.wants([]problem.Code{problem.NotWaiting, problem.NotWaiting}, acceptance("grace", first.id), acceptance("alan", first.id))
		if g := h.get(first.id); g.Status != Withdrawn || !g.EndedAt.Equal(noon) || left() != nil {
			t.Errorf("%+v", g)
		}

		h.enter(chat.Lobby, "ada")
		second := invitation("ada", chat.Lobby, 60)
		h.must(second)
		h.leave(chat.Lobby, "ada")
		h.enter(chat.Lobby, "ada")
		if found := left(); !slices.Equal(found, []id.ID{second.id}) {
			t.Errorf("%v have left", found)
		}
		third := invitation("ada", chat.Lobby, 60)
		h.must(third)
		if g := h.get(second.id); g.Status != Withdrawn || h.get(third.id).Status != Invited || left() != nil {
			t.Errorf("%+v", g)
		}

		h.leave(chat.Lobby, "ada")
		h.must(ending(KindWithdrawal, first.id, second.id, third.id))
		if g := h.get(third.id); g.Status != Withdrawn || left() != nil {
			t.Errorf("%+v", g)
		}
		fourth := invitation("ada", chat.Lobby, 60) // she has left while it waited in line
		h.must(fourth)
		h.wants([]problem.Code{problem.NotWaiting}, acceptance("grace", fourth.id))

		h.enter(chat.Lobby, "ada")
		fifth := invitation("ada", chat.Lobby, 60)
		h.must(fifth, acceptance("grace", fifth.id))
		h.leave(chat.Lobby, "ada") // a game goes on without the room
		h.must(moveTo("ada", fifth.id, 7, 7))
	})
}

// Who leaves the room waits for the round that has seen them there.
func TestLeavingWaitsForTheRound(t *testing.T) {
	stores.Each(t, func(t *testing.T, db *database.DB) {
		h := newHouse(t, db)
		h.enter(chat.Lobby, "ada")
		invite := invitation("ada", chat.Lobby, 60)
		h.must(invite)
		var order []string
		left := make(chan struct{})
		h.write(func(tx database.Tx) error {
			if _, err := Load(tx, []Submitted{{acceptance("grace", invite.id).Command, people["grace"]}}); err != nil {
				return err
			}
			go func() {
				defer close(left)
				h.leave(chat.Lobby, "ada")
				order = append(order, "left")
			}()
			select {
			case <-left:
			case <-time.After(100 * time.Millisecond):
			}
			order = append(order, "decided")
			return nil
		})
		<-left
		if !slices.Equal(order, []string{"decided", "left"}) {
			t.Errorf("%v", order)
		}
	})
}

func TestLate(t *testing.T) {
	stores.Each(t, func(t *testing.T, db *database.DB) {
		h := newHouse(t, db)
		const many = 300
		h.enter(chat.Lobby, "ada")
		var games []id.ID
		for n := range many {
			invite := invitation("ada", chat.Lobby, 60)
			h.must(invite, acceptance("grace", invite.id))
			games = append(games, invite.id)
			if n%100 == 99 {
				h.now = h.now.Add(time.Minute / 4)
			}
		}
		late := func(at time.Time, limit int) []id.ID {
			t.Helper()
			found, err := Late(db.Read(t.Context()), at, limit)
			ok(t, err)
			return found
		}
		over := noon.Add(time.Minute)
		for after, want := range map[time.Duration]int{-time.Microsecond: 0, 0: 100, time.Minute / 4: 200, time.Hour: MaxEndings} {
			if found := late(over.Add(after), MaxEndings); len(found) != want || want > 0 && found[0] != games[0] {
				t.Errorf("after %v, the time of %d is over, want %d", after, len(found), want)
			}
		}
		h.now = over
		h.must(ending(KindTimeout, games[:MaxEndings]...))
		if found := late(over, MaxEndings); len(found) != 0 || h.get(games[99]).Reason != Timeout || h.get(games[100]).Status != Playing {
			t.Errorf("%v", found)
		}
		h.now = over.Add(time.Hour)
		for left := many - 100; left > 0; {
			found := late(h.now, MaxEndings)
			h.must(ending(KindTimeout, found...))
			left -= len(found)
		}
		if r, err := RecordOf(db.Read(t.Context()), people["grace"]); err != nil || r.Won != many || len(late(h.now, 1)) != 0 {
			t.Errorf("%+v %v", r, err)
		}
	})
}

// Who has left the room while their acceptance waited in line does not play; who has come back does.
func TestAcceptorsWhoLeave(t *testing.T) {
	stores.Each(t, func(t *testing.T, db *database.DB) {
		h := newHouse(t, db)
		h.enter(chat.Lobby, "ada", "grace")
		first := invitation("ada", chat.Lobby, 60)
		h.must(first)
		h.leave(chat.Lobby, "grace")
		h.wants([]problem.Code{problem.NotAMember, problem.NotAMember}, acceptance("grace", first.id), acceptance("alan", first.id))
		if g := h.get(first.id); g.Status != Invited {
			t.Errorf("%+v", g)
		}
		h.enter(chat.Lobby, "grace")
		entered := h.clock.Now()
		h.must(acceptance("grace", first.id))
		if g := h.get(first.id); g.Status != Playing || g.Lamport <= entered {
			t.Errorf("%+v", g)
		}
	})
}

// What a round loads is enough: it decides as a referee does that has everything in memory, always, and what it stores is what that has.
func TestRoundsLikeMemory(t *testing.T) {
	stores.Each(t, func(t *testing.T, db *database.DB) {
		h, memory, d := newHouse(t, db), NewReferee(nil, nil), newDay(5)
		entered := map[place]lamport.Stamp{}
		for range 150 {
			for _, room := range d.rooms {
				for _, name := range d.names {
					at := place{room, people[name]}
					switch _, there := entered[at]; {
					case there && d.IntN(10) == 0:
						h.leave(room, name)
						delete(entered, at)
					case !there && d.IntN(3) > 0:
						h.enter(room, name)
						entered[at] = h.clock.Now()
					}
					_, there := entered[at]
					memory.Away(room, people[name], !there)
				}
			}
			for at, g := range memory.waiting {
				stamp, there := entered[at]
				memory.Left(g.ID, !there || stamp > g.Lamport)
			}
			var commands []submission
			for range 1 + d.IntN(25) {
				commands = append(commands, d.next(memory.Find))
			}
			codes, last := h.round(commands...)
			for i, c := range commands {
				_, refusal := memory.Decide(c.cause(last-lamport.Stamp(len(commands)-1-i), h.now), c.Command)
				code := problem.Code("")
				if refusal != nil {
					code = refusal.Code
				}
				if code != codes[i] {
					t.Fatalf("%+v: %q, and in memory %q", *c.Command, codes[i], code)
				}
			}
			memory.Forget()
			h.now = h.now.Add(time.Duration(d.IntN(15000)) * time.Millisecond)
		}
		games, records := memory.All()
		if len(games) < 50 || len(records) < 3 {
			t.Errorf("%d games", len(games))
		}
		stored := NewReferee(h.all(), h.allRecords())
		if got, want := describe(stored), describe(memory); got != want {
			t.Errorf("stored\n%s", compareLines(got, want))
		}
	})
}

func (h *house) all() (games []*Game) {
	h.Helper()
	ok(h, queryGames(h.db.Read(h.Context()), func(g *Game) { games = append(games, g) }, "ORDER BY id"))
	return games
}

func (h *house) allRecords() (records []*Record) {
	h.Helper()
	ok(h, queryRecords(h.db.Read(h.Context()), func(r *Record) { records = append(records, r) }, "ORDER BY user_id"))
	return records
}

// What is looked for all the time is found by an index.
func TestQueriesUseIndexes(t *testing.T) {
	t.Parallel()
	db := stores.SQLite(t)
	for _, query := range []string{
		"SELECT id FROM games WHERE status = 'playing' AND deadline_us <= 5 ORDER BY deadline_us, id LIMIT 3",
		"SELECT id FROM games WHERE status = 'invited'",
		"SELECT id FROM games WHERE room_id = x'00' AND black_id = x'00' AND status = 'invited' OR room_id = x'01' AND black_id = x'00' AND status = 'invited'",
	} {
		ok(t, db.Read(t.Context()).Query(func(rows *sql.Rows) error {
			for rows.Next() {
				var id, parent, unused int
				var detail string
				if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
					return err
				}
				if len(detail) > 4 && detail[:4] == "SCAN" {
					t.Errorf("%s: %s", query, detail)
				}
			}
			return rows.Err()
		}, "EXPLAIN QUERY PLAN "+query))
	}
}
