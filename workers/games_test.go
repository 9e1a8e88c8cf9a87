package workers

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"guichet/models/chat"
	"guichet/models/database"
	"guichet/models/feed"
	"guichet/models/games"
	"guichet/models/id"
	"guichet/models/operation"
)

// parlour is a rig with a lane of games, and people who play.
type parlour struct {
	*rig
	x          *executor
	ada, grace person
}

type person struct {
	id   id.ID
	name string
}

// gameCommand is a command and whose it is.
type gameCommand struct {
	by      person
	kind    string
	payload any
}

func (r *rig) parlour() *parlour {
	r.Helper()
	if err := operation.EnsureLanes(r.Context(), r.db, []string{games.Lane}); err != nil {
		r.Fatal(err)
	}
	p := &parlour{rig: r, ada: person{r.ids.Next(), "ada"}, grace: person{r.ids.Next(), "grace"}}
	p.x = p.seize()
	p.enter(p.ada)
	p.enter(p.grace)
	return p
}

// seize is a new holder of the lane.
func (p *parlour) seize() *executor {
	p.Helper()
	lane, err := p.db.Lane()
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() { _ = p.db.CloseLane(lane) })
	state, err := operation.SeizeLane(p.Context(), lane, games.Lane, "test")
	if err != nil {
		p.Fatal(err)
	}
	return &executor{lane: games.Lane, fence: state.Fence, db: lane, counter: gamesCounter{}, clock: &p.clock, publisher: p.feed, metrics: p.metrics.lane(games.Lane), stopping: p.Context().Done()}
}

func (p *parlour) enter(who person) {
	p.Helper()
	p.exec("INSERT INTO room_members (room_id, user_id, username, entered_at_us, lamport) VALUES (?, ?, ?, 1, ?)", chat.Lobby[:], who.id[:], who.name, int64(p.clock.Tick()))
}

func (p *parlour) invitation(by person, room id.ID, seconds int) gameCommand {
	return gameCommand{by, games.KindInvitation, games.InvitationCommand{Room: room, User: by.name, MoveSeconds: seconds}}
}

func acceptance(by person, game id.ID) gameCommand {
	return gameCommand{by, games.KindAcceptance, games.AcceptanceCommand{Game: game, User: by.name}}
}

func moveTo(by person, game id.ID, row, column int) gameCommand {
	return gameCommand{by, games.KindMove, games.MoveCommand{Game: game, Row: row, Column: column}}
}

// envelope journals a batch, as an intake does.
func (p *parlour) envelope(submitted ...gameCommand) *operation.Envelope {
	p.Helper()
	base := p.ids.Next()
	commands := make([]operation.Command, len(submitted))
	for i, c := range submitted {
		payload, err := json.Marshal(c.payload)
		if err != nil {
			p.Fatal(err)
		}
		commands[i] = operation.Command{ID: base.WithIndex(i), UserID: c.by.id, Lane: games.Lane, Kind: c.kind, Payload: payload,
			Lamport: p.clock.Tick(), SubmittedAt: time.Now().UTC().Truncate(time.Microsecond)}
	}
	if err := p.db.Write(p.Context(), func(tx database.Tx) error { return operation.Append(tx, games.Lane, commands) }); err != nil {
		p.Fatal(err)
	}
	e := &operation.Envelope{}
	e.Add(operation.Batch{ID: base, Operations: len(commands)}, commands)
	return e
}

// does executes commands as one envelope, and returns the id of the first.
func (p *parlour) does(submitted ...gameCommand) id.ID {
	p.Helper()
	e := p.envelope(submitted...)
	p.mustExecute(p.x, e)
	return e.Commands[0].ID
}

func (p *parlour) game(game id.ID) *games.Game {
	p.Helper()
	g, err := games.Get(p.db.Read(p.Context()), game)
	if err != nil {
		p.Fatal(err)
	}
	return g
}

// told is the news of the lobby, oldest first.
func (p *parlour) told() (news []string) {
	p.Helper()
	if err := p.db.Read(p.Context()).Gorm().Raw("SELECT event FROM feed_entries WHERE topic = 'room:lobby' ORDER BY position").Scan(&news).Error; err != nil {
		p.Fatal(err)
	}
	return news
}

func TestGameIsTold(t *testing.T) {
	onBothStores(t, func(t *testing.T, r *rig) {
		p := r.parlour()
		game := p.does(p.invitation(p.ada, chat.Lobby, 60))
		p.does(acceptance(p.grace, game), acceptance(p.ada, game))
		for n := range 4 {
			p.does(moveTo(p.ada, game, n, 0), moveTo(p.grace, game, n, 14), moveTo(p.grace, game, n, 13))
		}
		p.does(moveTo(p.ada, game, 4, 0))
		p.does(p.invitation(p.ada, chat.Lobby, 60))
		want := slices.Concat([]string{feed.GameInvited, feed.GameStarted}, slices.Repeat([]string{feed.GameMoved}, 8), []string{feed.GameEnded, feed.GameInvited})
		if told := p.told(); !slices.Equal(told, want) {
			t.Errorf("the room was told %v, want %v", told, want)
		}
		var data string
		if err := p.db.Read(t.Context()).Gorm().Raw("SELECT data FROM feed_entries WHERE event = 'game.ended'").Row().Scan(&data); err != nil || data != string(p.game(game).AppendJSON(nil)) {
			t.Errorf("told %s, %v", data, err)
		}
		result := ""
		if err := p.db.Read(t.Context()).Gorm().Raw("SELECT result FROM outcomes ORDER BY sequence DESC LIMIT 1 OFFSET 1").Row().Scan(&result); err != nil || result != data {
			t.Errorf("the result is %s, %v", result, err)
		}
	})
}

// Two users accept in the same instant, ten thousand times: in one batch, in two batches of one envelope, in envelopes that come together. One of them plays.
func TestTwoAcceptAtOnce(t *testing.T) {
	onBothStores(t, func(t *testing.T, r *rig) {
		p := r.parlour()
		const all, together = 10_000, 100 // games, and those of a round
		alan := person{r.ids.Next(), "alan"}
		for round := range all / together {
			var hers, his []gameCommand
			for _, game := range p.inviteMany(together, p.grace, alan) {
				hers, his = append(hers, acceptance(p.grace, game)), append(his, acceptance(alan, game))
			}
			if round%2 == 1 {
				hers, his = his, hers
			}
			switch round % 3 {
			case 0:
				p.does(slices.Concat(hers, his)...)
			case 1:
				p.mustExecute(p.x, merge(p.envelope(hers...), p.envelope(his...)))
			default:
				var both sync.WaitGroup
				for _, one := range []*operation.Envelope{p.envelope(hers...), p.envelope(his...)} {
					both.Go(func() {
						if err := p.x.execute(t.Context(), one); err != nil {
							t.Error(err)
						}
					})
				}
				both.Wait()
			}
		}
		type accepted struct{ game, by id.ID }
		var rows []struct {
			UserID          id.ID
			Payload         string
			Status, Problem string
		}
		if err := p.db.Read(t.Context()).Gorm().Raw(`SELECT o.user_id, o.payload, x.status, COALESCE(x.problem, '') AS problem FROM operations o JOIN outcomes x ON x.operation_id = o.id
			WHERE o.kind = ?`, games.KindAcceptance).Scan(&rows).Error; err != nil {
			t.Fatal(err)
		}
		won, refused := map[accepted]bool{}, map[id.ID]int{}
		for _, row := range rows {
			var c games.AcceptanceCommand
			if err := json.Unmarshal([]byte(row.Payload), &c); err != nil {
				t.Fatal(err)
			}
			switch {
			case row.Status == "succeeded":
				won[accepted{c.Game, row.UserID}] = true
			case strings.HasPrefix(row.Problem, "game_taken\n"):
				refused[c.Game]++
			default:
				t.Fatalf("%+v", row)
			}
		}
		var played []struct{ ID, WhiteID id.ID }
		if err := p.db.Read(t.Context()).Gorm().Raw("SELECT id, white_id FROM games WHERE status = 'playing'").Scan(&played).Error; err != nil {
			t.Fatal(err)
		}
		for _, g := range played {
			if !won[accepted{g.ID, g.WhiteID}] || refused[g.ID] != 1 {
				t.Fatalf("game %s is played by %s; %d were refused", g.ID, g.WhiteID, refused[g.ID])
			}
		}
		if len(played) != all || len(won) != all || len(refused) != all {
			t.Errorf("%d are played, %d have accepted and %d were refused", len(played), len(won), len(refused))
		}
		if n := p.query("SELECT COUNT(*) FROM feed_entries WHERE event = 'game.started'"); n != all {
			t.Errorf("the rooms were told of %d games", n)
		}
	})
}

// inviteMany has as many people invite, each in a room of their own.
func (p *parlour) inviteMany(n int, others ...person) (made []id.ID) {
	p.Helper()
	var invitations []gameCommand
	members := database.Rows{Table: "room_members", Columns: []string{"room_id", "user_id", "username", "entered_at_us", "lamport"}}
	for range n {
		room, inviter := p.ids.Next(), person{p.ids.Next(), "somebody"}
		for _, who := range append(others, inviter) {
			members.Add(room[:], who.id[:], who.name, 1, 1)
		}
		invitations = append(invitations, p.invitation(inviter, room, 3600))
	}
	if err := p.db.Write(p.Context(), members.Insert); err != nil {
		p.Fatal(err)
	}
	e := p.envelope(invitations...)
	p.mustExecute(p.x, e)
	for i := range e.Commands {
		made = append(made, e.Commands[i].ID)
	}
	return made
}

// An envelope that comes again, also to another holder, changes nothing; a holder that was fenced changes nothing either.
func TestGamesDeliveredAgain(t *testing.T) {
	onBothStores(t, func(t *testing.T, r *rig) {
		p := r.parlour()
		game := p.does(p.invitation(p.ada, chat.Lobby, 60))
		e := p.envelope(acceptance(p.grace, game), moveTo(p.ada, game, 7, 7), gameCommand{p.grace, games.KindLeaving, games.LeavingCommand{Game: game}})
		p.mustExecute(p.x, e)
		before, told := *p.game(game), p.told()
		p.mustExecute(p.x, e)
		former := p.x
		p.x = p.seize()
		p.mustExecute(p.x, e)
		late := p.envelope(p.invitation(p.ada, chat.Lobby, 60))
		if err := former.execute(t.Context(), late); err == nil {
			t.Error("a former holder executes")
		}
		if after := *p.game(game); after != before || !slices.Equal(p.told(), told) {
			t.Errorf("%+v, was %+v; told %v", after, before, p.told())
		}
		if n := p.query("SELECT SUM(won + lost) FROM game_records"); n != 2 {
			t.Errorf("the game was counted %d times", n)
		}
		p.mustExecute(p.x, late)
		if n := p.query("SELECT COUNT(*) FROM games"); n != 2 {
			t.Errorf("%d games", n)
		}
	})
}

// attend attends the lane until the function that it returns is called.
func (p *parlour) attend() (stop func()) {
	ctx, cancel := context.WithCancel(p.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		gamesCounter{}.attend(ctx, &attendance{x: p.x, ids: p.ids, fenced: func(err error) { p.Error(err) }})
	}()
	return func() {
		cancel()
		<-done
	}
}

func (p *parlour) eventually(what string, done func() bool) {
	p.Helper()
	for began := time.Now(); !done(); <-time.After(20 * time.Millisecond) {
		if time.Since(began) > patience {
			p.Fatalf("not %s", what)
		}
	}
}

// With both players gone, the clock ends their game; also while nobody holds the lane, as far as the next holder is concerned.
func TestClockRunsOut(t *testing.T) {
	onBothStores(t, func(t *testing.T, r *rig) {
		p := r.parlour()
		first := p.does(p.invitation(p.ada, chat.Lobby, 1))
		p.does(acceptance(p.grace, first), moveTo(p.ada, first, 7, 7))
		stop := p.attend()
		p.eventually("ended", func() bool { return p.game(first).Status == games.Ended })
		if g := p.game(first); g.Reason != games.Timeout || g.Winner != p.ada.id || g.EndedAt.Before(g.Deadline) || g.EndedAt.Sub(g.Deadline) > 10*time.Second {
			t.Errorf("%+v", g)
		}
		stop()
		second := p.does(p.invitation(p.ada, chat.Lobby, 1))
		p.does(acceptance(p.grace, second))
		<-time.After(time.Until(p.game(second).Deadline))
		if g := p.game(second); g.Status != games.Playing {
			t.Fatalf("%+v", g)
		}
		p.x = p.seize()
		stop = p.attend()
		defer stop()
		p.eventually("ended", func() bool { return p.game(second).Status == games.Ended })
		if g := p.game(second); g.Reason != games.Timeout || g.Winner != p.grace.id {
			t.Errorf("%+v", g)
		}
		if n := p.query("SELECT COUNT(*) FROM outcomes x JOIN operations o ON o.id = x.operation_id WHERE o.kind = ? AND x.status = 'succeeded'", games.KindTimeout); n != 2 {
			t.Errorf("%d timeouts", n)
		}
		if told := p.told(); told[len(told)-1] != feed.GameEnded || slices.Index(told, feed.GameEnded) == len(told)-1 {
			t.Errorf("%v", told)
		}
	})
}

func TestInvitersLeave(t *testing.T) {
	onBothStores(t, func(t *testing.T, r *rig) {
		p := r.parlour()
		hers, other := p.does(p.invitation(p.ada, chat.Lobby, 60)), p.does(p.invitation(p.grace, chat.Lobby, 60))
		defer p.attend()()
		p.exec("DELETE FROM room_members WHERE user_id = ?", p.ada.id[:])
		p.eventually("withdrawn", func() bool { return p.game(hers).Status == games.Withdrawn })
		if g := p.game(other); g.Status != games.Invited {
			t.Errorf("%+v", g)
		}
		if told := p.told(); !slices.Equal(told, []string{feed.GameInvited, feed.GameInvited, feed.GameEnded}) {
			t.Errorf("%v", told)
		}
		if n := p.query("SELECT COUNT(*) FROM operations WHERE kind = ?", games.KindWithdrawal); n != 1 {
			t.Errorf("%d withdrawals", n)
		}
	})
}
