package games

import (
	"bytes"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"

	"guichet/models/database"
	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/operation"
)

// Round is a referee of what a round of commands touches, as it is loaded and saved.
type Round struct {
	*Referee
	entered lamport.Stamp // the largest stamp at which somebody has entered the room where they invite or accept
}

// Submitted is a command and whose it is.
type Submitted struct {
	*Command
	UserID id.ID
}

// LastStamp is the largest stamp of what was loaded.
func (r *Round) LastStamp() lamport.Stamp { return max(r.entered, r.Referee.LastStamp()) }

// Load reads what the commands touch: first the games, then, locked in the order of their keys, the places in their rooms of those who invite and accept, and the
// records of the players. Who leaves a room waits for the round, so that nobody is told that a game has begun after one of the two has left. Games need no locks of their own: who changes them
// has the lane's row locked.
func Load(tx database.Tx, commands []Submitted) (*Round, error) {
	n := newNeeds(commands)
	var games []*Game
	err := tx.Deferred(func(tx database.Tx) error { return n.queryGames(tx, func(g *Game) { games = append(games, g) }) })
	if err == nil {
		err = tx.Flush()
	}
	if err != nil {
		return nil, err
	}
	for _, g := range games {
		n.addPlayers(g)
	}
	accepting := n.addAccepting(commands, games)
	var records []*Record
	entered := map[place]lamport.Stamp{}
	err = tx.Deferred(func(tx database.Tx) error {
		if err := n.lockMembers(tx, entered); err != nil {
			return err
		}
		return n.lockRecords(tx, func(record *Record) { records = append(records, record) })
	})
	if err == nil {
		err = tx.Flush()
	}
	r := &Round{Referee: NewReferee(games, records)}
	for at, stamp := range entered {
		r.entered = max(r.entered, stamp)
		if g := r.waiting[at]; g != nil {
			r.Left(g.ID, stamp > g.Lamport)
		}
	}
	for at, g := range r.waiting {
		if _, member := entered[at]; !member {
			r.Left(g.ID, true)
		}
	}
	for _, at := range accepting {
		_, member := entered[at]
		r.Away(at.room, at.user, !member)
	}
	return r, err
}

// needs is what a round has to have read before it can decide its commands.
type needs struct {
	games   map[id.ID]bool
	at      map[place]bool // where somebody invites, and may be waiting already, or accepts
	players map[id.ID]bool
}

func newNeeds(commands []Submitted) *needs {
	n := &needs{games: map[id.ID]bool{}, at: map[place]bool{}, players: map[id.ID]bool{}}
	for _, c := range commands {
		for _, game := range c.Games() {
			n.games[game] = true
		}
		switch c.Kind {
		case KindInvitation:
			n.at[place{c.Invitation.Room, c.UserID}] = true
			n.players[c.UserID] = true // the game may be over in the same round
		case KindAcceptance:
			n.players[c.UserID] = true
		}
	}
	return n
}

func (n *needs) addPlayers(g *Game) {
	n.players[g.Black.ID] = true
	if !g.White.ID.IsZero() {
		n.players[g.White.ID] = true
	}
	if g.Status == Invited {
		n.at[place{g.Room, g.Black.ID}] = true
	}
}

// addAccepting returns where somebody accepts.
func (n *needs) addAccepting(commands []Submitted, games []*Game) (accepting []place) {
	rooms := make(map[id.ID]id.ID, len(games))
	for _, g := range games {
		rooms[g.ID] = g.Room
	}
	for _, c := range commands {
		if room, found := rooms[c.Acceptance.Game]; found && c.Kind == KindAcceptance {
			accepting = append(accepting, place{room, c.UserID})
			n.at[place{room, c.UserID}] = true
		}
	}
	return accepting
}

// queryGames reads the games that are named, and those that wait where somebody invites.
func (n *needs) queryGames(tx database.Tx, visit func(*Game)) error {
	seen := map[id.ID]bool{}
	once := func(g *Game) {
		if !seen[g.ID] {
			seen[g.ID] = true
			visit(g)
		}
	}
	if len(n.games) > 0 {
		if err := queryGames(tx, once, "WHERE id IN "+database.Placeholders(len(n.games)), id.Args(id.Keys(n.games))...); err != nil {
			return err
		}
	}
	for chunk := range slices.Chunk(n.places(), placesAtOnce) {
		var conditions []string
		var args []any
		for _, at := range chunk {
			conditions = append(conditions, "room_id = ? AND black_id = ? AND status = ?")
			args = append(args, at.room[:], at.user[:], string(Invited))
		}
		if err := queryGames(tx, once, "WHERE "+strings.Join(conditions, " OR "), args...); err != nil {
			return err
		}
	}
	return nil
}

// placesAtOnce is how many places one statement names: each is three values, of which SQLite's driver takes few gladly.
const placesAtOnce = 150

// places are where somebody invites or accepts, in the order of the keys.
func (n *needs) places() []place {
	return slices.SortedFunc(maps.Keys(n.at), func(a, b place) int {
		if byRoom := bytes.Compare(a.room[:], b.room[:]); byRoom != 0 {
			return byRoom
		}
		return bytes.Compare(a.user[:], b.user[:])
	})
}

// lockMembers reads at which stamps those who invite or accept have entered their rooms. Who is not in the room has no row.
func (n *needs) lockMembers(tx database.Tx, into map[place]lamport.Stamp) error {
	for chunk := range slices.Chunk(n.places(), placesAtOnce) {
		var args []any
		for _, at := range chunk {
			args = append(args, at.room[:], at.user[:])
		}
		// Keys one by one, and not a list of pairs, which not every store finds by the key.
		where := "room_id = ? AND user_id = ?" + strings.Repeat(" OR room_id = ? AND user_id = ?", len(chunk)-1)
		err := tx.Query(func(rows *sql.Rows) error {
			for rows.Next() {
				var at place
				var stamp lamport.Stamp
				if err := rows.Scan(&at.room, &at.user, &stamp); err != nil {
					return err
				}
				into[at] = stamp
			}
			return rows.Err()
		}, "SELECT room_id, user_id, lamport FROM room_members WHERE "+where+" ORDER BY room_id, user_id"+tx.ForUpdate(), args...)
		if err != nil {
			return err
		}
	}
	return nil
}

func (n *needs) lockRecords(tx database.Tx, visit func(*Record)) error {
	if len(n.players) == 0 {
		return nil
	}
	return queryRecords(tx, visit, "WHERE user_id IN "+database.Placeholders(len(n.players))+" ORDER BY user_id"+tx.ForUpdate(), id.Args(id.Keys(n.players))...)
}

// Save stores what the round has made: games and records.
func (r *Referee) Save(tx database.Tx) error {
	// One after the other: after an error that ended the transaction, the next statement would be one of its own, and stay.
	for _, write := range []func(database.Tx) error{r.saveGames, r.saveRecords} {
		if err := write(tx); err != nil {
			return fmt.Errorf("games: storing what changed: %w", err)
		}
	}
	return nil
}

func (r *Referee) saveGames(tx database.Tx) error {
	columns := strings.Split(gameColumns, ", ")
	inserted, changed := database.Rows{Table: "games", Columns: columns}, database.Rows{Table: "games", Columns: columns}
	made := make(map[id.ID]bool, len(r.made))
	for _, g := range r.made {
		made[g.ID] = true
		addGame(&inserted, g)
	}
	for _, game := range id.Keys(r.changed) {
		if !made[game] {
			addGame(&changed, r.changed[game])
		}
	}
	if err := inserted.Insert(tx); err != nil {
		return err
	}
	return changed.Upsert(tx, []string{"id"}, []string{"status", "white_id", "white", "moves", "winner_id", "reason", "deadline_us", "ended_at_us", "lamport"})
}

func addGame(rows *database.Rows, g *Game) {
	rows.Add(g.ID[:], g.Room[:], string(g.Status), g.Black.ID[:], g.Black.Name, g.White.ID, nameOrNull(g.White.Name), g.Moves, g.Winner, nameOrNull(string(g.Reason)),
		g.MoveSeconds, operation.Micro(g.Deadline), operation.Micro(g.InvitedAt), operation.Micro(g.EndedAt), int64(g.Lamport))
}

func nameOrNull(name string) any {
	if name == "" {
		return nil
	}
	return name
}

func (r *Referee) saveRecords(tx database.Tx) error {
	rows := database.Rows{Table: "game_records", Columns: []string{"user_id", "won", "lost", "drawn", "lamport"}}
	for _, user := range id.Keys(r.scored) {
		record := r.scored[user]
		rows.Add(user[:], record.Won, record.Lost, record.Drawn, int64(record.Lamport))
	}
	return rows.Upsert(tx, []string{"user_id"}, []string{"won", "lost", "drawn", "lamport"})
}
