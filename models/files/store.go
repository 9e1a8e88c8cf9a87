package files

import (
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"

	"guichet/models/database"
	"guichet/models/id"
	"guichet/models/operation"
)

const fileColumns = "id, room_id, name, name_key, content, size, content_type, sha256, user_id, username, at_us, lamport"

// placesAtOnce is how many places one statement names: each is two values, of which SQLite's driver takes few gladly.
const placesAtOnce = 200

// Load reads what the commands touch, all in one breath: the files that have the names, and, locked, how much the users have. Files need no locks of their own: who
// changes them has the lane's row locked.
func Load(tx database.Tx, commands []*Command, users []id.ID) (*Cabinet, error) {
	places, owners := map[place]bool{}, map[id.ID]bool{}
	for i, c := range commands {
		places[c.place()] = true
		if owners[users[i]] = true; c.Kind == KindDeletion {
			owners[c.Deletion.Uploader] = true
		}
	}
	var files []File
	var usage []Usage
	err := tx.Deferred(func(tx database.Tx) error {
		for chunk := range slices.Chunk(slices.SortedFunc(maps.Keys(places), byPlace), placesAtOnce) {
			where, args := wherePlaces(chunk)
			if err := queryFiles(tx, &files, where, args...); err != nil {
				return err
			}
		}
		for chunk := range slices.Chunk(id.Keys(owners), placesAtOnce) {
			args := id.Args(chunk)
			if err := queryUsage(tx, &usage, "WHERE user_id IN "+database.Placeholders(len(args))+" ORDER BY user_id"+tx.ForUpdate(), args...); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		err = tx.Flush()
	}
	return NewCabinet(files, usage), err
}

func byPlace(a, b place) int {
	if a.room != b.room {
		return id.Compare(a.room, b.room)
	}
	return strings.Compare(a.key, b.key)
}

// wherePlaces finds the rows of places: key by key, and not by a list of pairs, which not every store finds by the key.
func wherePlaces(places []place) (where string, args []any) {
	for _, p := range places {
		args = append(args, p.room[:], p.key)
	}
	return "WHERE room_id = ? AND name_key = ?" + strings.Repeat(" OR room_id = ? AND name_key = ?", len(places)-1), args
}

func queryFiles(tx database.Tx, into *[]File, where string, args ...any) error {
	return tx.Query(func(rows *sql.Rows) error {
		for rows.Next() {
			var f File
			var digest []byte
			var at int64
			if err := rows.Scan(&f.ID, &f.Room, &f.Name, &f.Key, &f.Content, &f.Size, &f.ContentType, &digest, &f.UserID, &f.Username, &at, &f.Lamport); err != nil {
				return err
			}
			if len(digest) != len(f.SHA256) {
				return fmt.Errorf("files: file %s has a digest of %d bytes", f.ID, len(digest))
			}
			f.SHA256, f.At = Digest(digest), operation.FromMicro(at)
			*into = append(*into, f)
		}
		return rows.Err()
	}, "SELECT "+fileColumns+" FROM files "+where, args...)
}

func queryUsage(tx database.Tx, into *[]Usage, where string, args ...any) error {
	return tx.Query(func(rows *sql.Rows) error {
		for rows.Next() {
			var u Usage
			if err := rows.Scan(&u.UserID, &u.Bytes, &u.Lamport); err != nil {
				return err
			}
			*into = append(*into, u)
		}
		return rows.Err()
	}, "SELECT user_id, bytes, lamport FROM file_usage "+where, args...)
}

// Save stores what the round has made. A name that was free again within it is taken out before it is put in.
func (c *Cabinet) Save(tx database.Tx) error {
	// One after the other: after an error that ended the transaction, the next statement would be one of its own, and stay.
	for _, write := range []func(database.Tx) error{c.saveRemoved, c.saveMade, c.saveUsage} {
		if err := write(tx); err != nil {
			return fmt.Errorf("files: storing what changed: %w", err)
		}
	}
	return nil
}

func (c *Cabinet) saveRemoved(tx database.Tx) error {
	for chunk := range slices.Chunk(slices.SortedFunc(maps.Keys(c.removed), byPlace), placesAtOnce) {
		where, args := wherePlaces(chunk)
		if _, err := tx.Exec("DELETE FROM files "+where, args...); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cabinet) saveMade(tx database.Tx) error {
	rows := database.Rows{Table: "files", Columns: strings.Split(fileColumns, ", ")}
	for _, where := range slices.SortedFunc(maps.Keys(c.made), byPlace) {
		f := c.made[where]
		rows.Add(f.ID[:], f.Room[:], f.Name, f.Key, f.Content[:], f.Size, f.ContentType, f.SHA256[:], f.UserID[:], f.Username, operation.Micro(f.At), int64(f.Lamport))
	}
	return rows.Insert(tx)
}

func (c *Cabinet) saveUsage(tx database.Tx) error {
	rows := database.Rows{Table: "file_usage", Columns: []string{"user_id", "bytes", "lamport"}}
	for _, user := range id.Keys(c.used) {
		rows.Add(user[:], c.used[user].Bytes, int64(c.used[user].Lamport))
	}
	return rows.Upsert(tx, []string{"user_id"}, []string{"bytes", "lamport"})
}

// Get reads the file of a room that has a key, or ErrUnknownFile.
func Get(tx database.Tx, room id.ID, key string) (*File, error) {
	var found []File
	if err := queryFiles(tx, &found, "WHERE room_id = ? AND name_key = ?", room[:], key); err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, ErrUnknownFile
	}
	return &found[0], nil
}

// List reads up to limit files of a room, newest first: those older than before, unless that is zero.
func List(tx database.Tx, room, before id.ID, limit int) ([]File, error) {
	where, args := "WHERE room_id = ?", []any{room[:]}
	if !before.IsZero() {
		where, args = where+" AND id < ?", append(args, before[:])
	}
	var found []File
	err := queryFiles(tx, &found, where+" ORDER BY id DESC LIMIT ?", append(args, limit)...)
	return found, err
}

// Used reads how many bytes a user has.
func Used(tx database.Tx, user id.ID) (int64, error) {
	var found []Usage
	if err := queryUsage(tx, &found, "WHERE user_id = ?", user[:]); err != nil || len(found) == 0 {
		return 0, err
	}
	return found[0].Bytes, nil
}
