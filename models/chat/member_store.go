package chat

import (
	"database/sql"
	"errors"
	"time"

	"guichet/models/database"
	"guichet/models/events"
	"guichet/models/feed"
	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/operation"
)

// Person is somebody, as rooms know them.
type Person struct {
	ID    id.ID
	Name  string // as it is shown
	Admin bool
}

// Member is somebody in a room.
type Member struct {
	Room      id.ID
	User      id.ID
	Username  string
	EnteredAt time.Time
	Lamport   lamport.Stamp // of when they entered
	Again     lamport.Stamp // of when they said again that they do; 0: they did not
}

// Enter makes somebody a member of a room, and returns what to tell of it: nothing if they are one already. The error is a *problem.Problem if they may not be. The
// user's row is locked first, as Moderate locks it, so that nobody enters beside being banned.
func Enter(tx database.Tx, clock *lamport.Clock, room *Room, who Person, at time.Time) (Member, []feed.Entry, error) {
	if err := lockUser(tx, who.ID); err != nil {
		return Member{}, nil, err
	}
	barred, stamp, err := getRestriction(tx, room.ID, who.ID)
	if err != nil {
		return Member{}, nil, err
	}
	standing := Standing{Restriction: barred}
	if standing.NoTicket, err = lacksTicket(tx, room, who); err != nil {
		return Member{}, nil, err
	}
	if refusal := standing.Refusal(ToRead, at); refusal != nil {
		return Member{}, nil, refusal
	}
	m, err := getMember(tx, room.ID, who.ID, tx.ForUpdate())
	if err == nil { // whoever is about to take them for gone knows by the later stamp that they are not
		m.Again = clock.Receive(max(m.Lamport, m.Again))
		_, err = tx.Exec("UPDATE room_members SET again_lamport = ? WHERE room_id = ? AND user_id = ?", int64(m.Again), m.Room, m.User)
		return m, nil, err
	}
	if !errors.Is(err, ErrUnknownMember) {
		return m, nil, err
	}
	m = Member{Room: room.ID, User: who.ID, Username: who.Name, EnteredAt: at.UTC().Truncate(time.Microsecond), Lamport: clock.Receive(max(stamp, room.Lamport))}
	rows := database.Rows{Table: "room_members", Columns: []string{"room_id", "user_id", "username", "entered_at_us", "lamport"}}
	rows.Add(m.Room, m.User, m.Username, operation.Micro(m.EnteredAt), int64(m.Lamport))
	return m, []feed.Entry{m.entered()}, rows.Insert(tx)
}

// lockUser has what is decided about one user in rooms be decided one after the other.
func lockUser(tx database.Tx, user id.ID) error {
	return tx.Query(func(rows *sql.Rows) error {
		for rows.Next() {
		}
		return rows.Err()
	}, "SELECT id FROM users WHERE id = ?"+tx.ForUpdate(), user)
}

// lacksTicket says whether somebody would need a ticket to be in the room, and has none.
func lacksTicket(tx database.Tx, room *Room, who Person) (bool, error) {
	if room.Event.IsZero() || who.Admin {
		return false, nil
	}
	holds, err := events.HoldsTicket(tx, room.Event, who.ID)
	return !holds, err
}

// Remove takes somebody out of a room, and returns what to tell of it. ErrUnknownMember: they are not in it.
func Remove(tx database.Tx, clock *lamport.Clock, room, user id.ID, reason Reason, at time.Time) ([]feed.Entry, error) {
	m, err := getMember(tx, room, user, tx.ForUpdate())
	if err != nil {
		return nil, err
	}
	_, err = tx.Exec("DELETE FROM room_members WHERE room_id = ? AND user_id = ?", room, user)
	return []feed.Entry{m.left(reason, at, clock.Receive(max(m.Lamport, m.Again)))}, err
}

// RemoveGone takes members out of their rooms who were not seen for too long, and returns what to tell of it. Who has left meanwhile, or has said again that they enter,
// is passed over, so that it is told once, whoever does it. Members are to be in the order of AllMembers, in which everybody locks them.
func RemoveGone(tx database.Tx, clock *lamport.Clock, members []Member, at time.Time) ([]feed.Entry, error) {
	var entries []feed.Entry
	for i := range members {
		m := &members[i]
		n, err := tx.Exec("DELETE FROM room_members WHERE room_id = ? AND user_id = ? AND entered_at_us = ? AND lamport = ? AND again_lamport = ?",
			m.Room, m.User, operation.Micro(m.EnteredAt), int64(m.Lamport), int64(m.Again))
		if err != nil {
			return nil, err
		}
		if n == 1 {
			entries = append(entries, m.left(Gone, at, clock.Receive(max(m.Lamport, m.Again))))
		}
	}
	return entries, nil
}

// Moderate changes what somebody may not do in a room, and returns what holds then and what to tell of it: nothing if nothing has changed. Who is banned is removed.
func Moderate(tx database.Tx, clock *lamport.Clock, room id.ID, who Person, change Change, at time.Time) (Restriction, []feed.Entry, error) {
	if err := lockUser(tx, who.ID); err != nil {
		return Restriction{}, nil, err
	}
	before, last, err := getRestriction(tx, room, who.ID)
	if err != nil {
		return before, nil, err
	}
	before = Change{}.Apply(before, at)
	after := change.Apply(before, at)
	if after == before {
		return after, nil, nil
	}
	stamp := clock.Receive(last)
	rows := database.Rows{Table: "room_restrictions", Columns: []string{"room_id", "user_id", "muted_until_us", "banned", "lamport"}}
	rows.Add(room, who.ID, operation.Micro(after.MutedUntil), after.Banned, int64(stamp))
	if err := rows.Upsert(tx, []string{"room_id", "user_id"}, []string{"muted_until_us", "banned", "lamport"}); err != nil {
		return after, nil, err
	}
	entries := []feed.Entry{restricted(room, who, after, at, stamp)}
	if !after.Banned {
		return after, entries, nil
	}
	out, err := Remove(tx, clock, room, who.ID, Banned, at)
	if errors.Is(err, ErrUnknownMember) {
		err = nil
	}
	return after, append(entries, out...), err
}

// getRestriction reads what somebody may not do in a room, and the stamp of that: zero for no row.
func getRestriction(tx database.Tx, room, user id.ID) (r Restriction, stamp lamport.Stamp, err error) {
	err = tx.Query(func(rows *sql.Rows) error {
		for rows.Next() {
			var mutedUntil int64
			if err := rows.Scan(&mutedUntil, &r.Banned, &stamp); err != nil {
				return err
			}
			r.MutedUntil = operation.FromMicro(mutedUntil)
		}
		return rows.Err()
	}, "SELECT muted_until_us, banned, lamport FROM room_restrictions WHERE room_id = ? AND user_id = ?", room, user)
	return r, stamp, err
}

const selectMember = "SELECT room_id, user_id, username, entered_at_us, lamport, again_lamport FROM room_members "

func getMember(tx database.Tx, room, user id.ID, lock string) (Member, error) {
	members, err := queryMembers(tx, "WHERE room_id = ? AND user_id = ?"+lock, room, user)
	if err == nil && len(members) == 0 {
		err = ErrUnknownMember
	}
	if err != nil {
		return Member{}, err
	}
	return members[0], nil
}

// Members reads the members of a room whose names follow after, by name.
func Members(tx database.Tx, room id.ID, after string, limit int) ([]Member, error) {
	return queryMembers(tx, "WHERE room_id = ? AND username > ? ORDER BY username LIMIT ?", room, after, limit)
}

// AllMembers reads the members of all rooms, room by room, in the order of their keys.
func AllMembers(tx database.Tx) ([]Member, error) {
	return queryMembers(tx, "ORDER BY room_id, user_id")
}

func queryMembers(tx database.Tx, where string, args ...any) (members []Member, err error) {
	err = tx.Query(func(rows *sql.Rows) error {
		for rows.Next() {
			var m Member
			var entered int64
			if err := rows.Scan(&m.Room, &m.User, &m.Username, &entered, &m.Lamport, &m.Again); err != nil {
				return err
			}
			m.EnteredAt = operation.FromMicro(entered)
			members = append(members, m)
		}
		return rows.Err()
	}, selectMember+where, args...)
	return members, err
}

// getStanding reads how somebody stands with a room.
func getStanding(tx database.Tx, room *Room, who Person) (s Standing, err error) {
	if s.Restriction, _, err = getRestriction(tx, room.ID, who.ID); err != nil {
		return s, err
	}
	_, err = getMember(tx, room.ID, who.ID, "")
	s.Member = err == nil
	if err != nil && !errors.Is(err, ErrUnknownMember) {
		return s, err
	}
	s.NoTicket, err = lacksTicket(tx, room, who)
	return s, err
}

// roll is how everybody stands with a room who is in it or may not do something there.
type roll struct {
	asOf   int64 // the position of the last entry that it is after
	people map[id.ID]*standingOf
}

// readRoll reads a room's roll. tx is a snapshot: what it sees is what all entries up to one position tell.
func readRoll(tx database.Tx, room id.ID) (r roll, err error) {
	if r.asOf, err = feed.HeadIn(tx); err != nil {
		return r, err
	}
	r.people = map[id.ID]*standingOf{}
	err = tx.Query(func(rows *sql.Rows) error {
		for rows.Next() {
			var user id.ID
			if err := rows.Scan(&user); err != nil {
				return err
			}
			r.people[user] = &standingOf{member: true}
		}
		return rows.Err()
	}, "SELECT user_id FROM room_members WHERE room_id = ?", room)
	if err != nil {
		return r, err
	}
	return r, tx.Query(func(rows *sql.Rows) error {
		for rows.Next() {
			var user id.ID
			var mutedUntil int64
			var banned bool
			if err := rows.Scan(&user, &mutedUntil, &banned); err != nil {
				return err
			}
			s := r.people[user]
			if s == nil {
				s = &standingOf{}
				r.people[user] = s
			}
			s.restriction = Restriction{operation.FromMicro(mutedUntil), banned}
		}
		return rows.Err()
	}, "SELECT user_id, muted_until_us, banned FROM room_restrictions WHERE room_id = ? AND (banned OR muted_until_us > 0)", room)
}
