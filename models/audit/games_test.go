package audit

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"guichet/models/database"
	"guichet/models/games"
	"guichet/models/id"
)

func TestGamesHold(t *testing.T) {
	onBothStores(t, func(t *testing.T, h *house) {
		h.playGames()
		report, err := Run(t.Context(), h.db)
		must(t, err)
		if !report.Holds() {
			t.Errorf("findings against a true history:%s", findings(report.Checks))
		}
		checked := map[string]int64{}
		for _, c := range report.Checks {
			checked[c.Name] = c.Checked
		}
		if checked["games_legal"] != 11 || checked["one_invitation_each"] != 1 || checked["game_records_equal_games"] != 2 || checked["replay"] < 270 {
			t.Errorf("checked %v", checked)
		}
	})
}

// TestGamesFindings falsifies the tables of games, one lie at a time, and expects just those checks to report it that can see it.
func TestGamesFindings(t *testing.T) {
	onBothStores(t, func(t *testing.T, h *house) {
		past := h.playGames()
		expectFindings(t, h, slices.Concat(liesOfGames(past), liesOfRecords(h.process(1)), liesOfTheirJournal(past)))
	})
}

func liesOfGames(past tournament) []lie {
	change := func(name, seenBy, set string, game id.ID, args ...any) lie {
		return lie{name, seenBy, []statementOf{tell("UPDATE games SET "+set+" WHERE id = ?", append(args, game)...)}}
	}
	return []lie{
		change("a stone is elsewhere", "games_legal replay", "moves = 'aaoaabobacocadodaf'", past.won),
		change("a stone is elsewhere, and it matters to nobody", "replay", "moves = 'hhhj'", past.playing),
		change("two stones are on one cell", "games_legal replay", "moves = 'hhhh'", past.playing),
		change("a stone is off the board", "games_legal replay", "moves = 'hhhz'", past.playing),
		change("half a move", "games_legal replay", "moves = 'hhh'", past.playing),
		change("a game goes on after its end", "games_legal replay", "moves = 'aaoaabobacocadodaehh'", past.won),
		change("somebody has won, and plays", "games_legal replay", "moves = 'aaoaabobacocadodae'", past.playing),
		change("the wrong one has won", "games_legal game_records_equal_games replay", "winner_id = white_id", past.won),
		change("the wrong one has won, of two who might", "game_records_equal_games replay", "winner_id = white_id", past.resigned),
		change("who was late has won", "games_legal game_records_equal_games replay", "winner_id = black_id", past.late),
		change("a draw was won", "games_legal game_records_equal_games replay", "winner_id = black_id", past.drawn),
		change("somebody has won because of a full board", "games_legal replay", "reason = 'board_full'", past.won),
		change("a resignation was a timeout", "games_legal replay", "reason = 'timeout'", past.resigned),
		change("a timeout was a resignation", "games_legal replay", "reason = 'resignation'", past.late),
		change("no reason is known", "games_legal replay", "reason = 'boredom'", past.late),
		change("a game has ended that is played", "games_legal game_records_equal_games replay", "status = 'ended'", past.playing),
		change("a game is played that has ended", "games_legal game_records_equal_games replay", "status = 'playing'", past.won),
		change("a game is in no known state", "games_legal replay", "status = 'adjourned'", past.playing),
		change("a game that nobody accepted is played", "games_legal replay", "status = 'playing'", past.waiting),
		change("a game that was accepted waits", "games_legal replay", "status = 'invited'", past.playing),
		change("an invitation was withdrawn that waits", "games_legal replay", "status = 'withdrawn'", past.waiting),
		change("an invitation waits that was withdrawn", "games_legal replay", "status = 'invited'", past.withdrawn),
		change("nobody had left", "replay", "status = 'invited', ended_at_us = 0", past.left),
		change("an invitation was withdrawn in time, and the stamp says so", "replay", "lamport = lamport - 1", past.left),
		change("a game is another's", "replay", "black = 'Ada'", past.playing),
		change("a player plays alone", "games_legal replay", "white_id = black_id, white = black", past.playing),
		change("another plays", "game_records_equal_games replay", "white_id = ?", past.resigned, past.playing),
		change("a game is in another room", "replay", "room_id = ?", past.playing, past.won),
		change("a player has no time", "games_legal replay", "move_seconds = 0", past.playing),
		change("a player has more time", "replay", "move_seconds = move_seconds + 1", past.playing),
		change("a clock runs longer", "replay", "deadline_us = deadline_us + 1", past.playing),
		change("there is no clock", "games_legal replay", "deadline_us = 0", past.playing),
		change("a game was lost in time", "games_legal replay", "deadline_us = ended_at_us + 1", past.late),
		change("a game was won too late", "games_legal replay", "deadline_us = ended_at_us", past.won),
		change("an invitation is older", "replay", "invited_at_us = invited_at_us - 1", past.waiting),
		change("a game ended later", "replay", "ended_at_us = ended_at_us + 1", past.resigned),
		change("a game's stamp is behind", "replay", "lamport = lamport - 1", past.playing),
		{"a game is gone", "game_records_equal_games replay", []statementOf{tell("DELETE FROM games WHERE id = ?", past.won)}},
		{"a game that nobody began", "games_legal one_invitation_each replay", []statementOf{
			tell(`INSERT INTO games (id, room_id, status, black_id, black, moves, move_seconds, invited_at_us, lamport)
				SELECT ?, room_id, status, black_id, black, moves, 86401, invited_at_us, lamport FROM games WHERE id = ?`, id.NewGenerator().Next(), past.waiting)}},
	}
}

func liesOfRecords(p *process) []lie {
	ada := p.userOf("ADA1")
	return []lie{
		{"somebody has won more", "game_records_equal_games replay", []statementOf{tell("UPDATE game_records SET won = won + 1 WHERE user_id = ?", ada)}},
		{"somebody has lost less", "game_records_equal_games replay", []statementOf{tell("UPDATE game_records SET lost = lost - 1 WHERE user_id = ?", ada)}},
		{"somebody has drawn more", "game_records_equal_games replay", []statementOf{tell("UPDATE game_records SET drawn = drawn + 1 WHERE user_id = ?", ada)}},
		{"a record's stamp is behind", "replay", []statementOf{tell("UPDATE game_records SET lamport = lamport - 1 WHERE user_id = ?", ada)}},
		{"a record is gone", "game_records_equal_games replay", []statementOf{tell("DELETE FROM game_records WHERE user_id = ?", ada)}},
		{"a record of who has not played", "game_records_equal_games replay", []statementOf{tell("INSERT INTO game_records (user_id, won, lost, drawn, lamport) VALUES (?, 1, 0, 0, 1)", p.userOf("EVE1"))}},
	}
}

func liesOfTheirJournal(past tournament) []lie {
	return []lie{
		{"a move was to elsewhere", "replay", []statementOf{tell(`UPDATE operations SET payload = REPLACE(payload, '"column":4', '"column":5') WHERE id = ?`, past.winning)}},
		{"a move cannot be read", "replay", []statementOf{tell("UPDATE operations SET payload = '{}' WHERE id = ?", past.refused)}},
		{"a move was made", "replay", []statementOf{tell("UPDATE outcomes SET status = 'succeeded', problem = NULL WHERE operation_id = ?", past.refused)}},
		{"a move was made by another", "replay", []statementOf{tell("UPDATE operations SET user_id = ? WHERE id = ?", past.won, past.winning)}},
		{"an acceptance came too late for another reason", "replay", []statementOf{tell("UPDATE outcomes SET problem = 'game_taken\nno' WHERE operation_id = ?", past.accepting)}},
		{"an acceptor was there", "replay", []statementOf{tell("UPDATE outcomes SET problem = 'game_taken\nno' WHERE operation_id = ?", past.absent)}},
		{"a move was made in time", "replay", []statementOf{tell("UPDATE outcomes SET finished_at_us = finished_at_us - 7200000000 WHERE operation_id = ?", past.winning)}},
	}
}

// TestGamesLive audits a store while games are played, and their inviters come and go.
func TestGamesLive(t *testing.T) {
	onBothStores(t, func(t *testing.T, h *house) {
		c := newCrowd(h)
		c.names = 20
		c.doors[0].enter(traders...)
		c.workers[1].slow = time.Second
		missing := func() string {
			for _, status := range []games.Status{games.Playing, games.Ended, games.Withdrawn} {
				if few := c.fewer(1, "games that are "+string(status), "SELECT COUNT(*) FROM games WHERE status = ?", string(status)); few != "" {
					return few
				}
			}
			return ""
		}
		c.audit(800, missing, c.player(), func(r *rand.Rand) {
			who := traders[r.IntN(len(traders))]
			user, stamp := c.doors[0].userOf(who), c.doors[r.IntN(2)].clock.Tick()
			c.again(func(tx database.Tx) error {
				if r.IntN(10) == 0 { // who has left cannot accept, and games are to be played
					return c.doors[0].leaveLobby(tx, who)
				}
				rows := database.Rows{Table: "room_members", Columns: []string{"room_id", "user_id", "username", "entered_at_us", "lamport"}}
				rows.Add([]byte("lobby\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), user[:], who, 1, int64(stamp))
				return rows.Upsert(tx, []string{"room_id", "user_id"}, []string{"username"})
			})
		})
		expectHolds(t, h)
	})
}

// player sends envelopes to the lane, passed on between two processes. They are about the latest games, and now and then one that nobody knows.
func (c *crowd) player() func(*rand.Rand) {
	return func(r *rand.Rand) {
		recent := c.latestGames()
		var commands []command
		for range 1 + r.IntN(20) {
			who := traders[r.IntN(len(traders))]
			if len(recent) == 0 || r.IntN(12) == 0 {
				commands = append(commands, invite(who, 2+r.IntN(5)))
				continue
			}
			game := recent[r.IntN(len(recent))]
			if r.IntN(30) == 0 {
				game = c.doors[0].ids.Next()
			}
			switch n := r.IntN(20); {
			case n < 4:
				commands = append(commands, acceptGame(who, game))
			case n == 4:
				commands = append(commands, leaveGame(who, game))
			case n == 5:
				commands = append(commands, endGames([]string{games.KindTimeout, games.KindWithdrawal}[r.IntN(2)], recent...))
			default:
				commands = append(commands, place(who, game, 6+r.IntN(4), 6+r.IntN(4)))
			}
		}
		e := c.doors[r.IntN(2)].accept(games.Lane, commands...)
		worker := c.workers[r.IntN(2)]
		c.again(func(tx database.Tx) error { return worker.executeIn(tx, e, nil) })
	}
}

func (c *crowd) latestGames() []id.ID {
	var latest []id.ID
	if err := c.db.Read(context.WithoutCancel(c.Context())).Gorm().Raw("SELECT id FROM games ORDER BY id DESC LIMIT 4").Scan(&latest).Error; err != nil {
		c.Errorf("%v", err)
	}
	return latest
}
