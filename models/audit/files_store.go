package audit

import (
	"iter"

	"guichet/models/database"
	"guichet/models/files"
	"guichet/models/operation"
)

type fileRow struct {
	files.File
	digest []byte
	atUs   int64
}

// fileRows yields all files, room by room.
func fileRows(tx database.Tx) iter.Seq2[*fileRow, error] {
	rows := query(tx, "SELECT id, room_id, name, name_key, content, size, content_type, sha256, user_id, username, at_us, lamport FROM files ORDER BY room_id, name_key",
		func(f *fileRow) []any {
			return []any{&f.ID, &f.Room, &f.Name, &f.Key, &f.Content, &f.Size, &f.ContentType, &f.digest, &f.UserID, &f.Username, &f.atUs, &f.Lamport}
		})
	return func(yield func(*fileRow, error) bool) {
		for f, err := range rows {
			if err == nil {
				f.SHA256, f.At = files.Digest{}, operation.FromMicro(f.atUs)
				copy(f.SHA256[:], f.digest)
			}
			if !yield(f, err) {
				return
			}
		}
	}
}

// usageRows yields how many bytes of files users have.
func usageRows(tx database.Tx) iter.Seq2[*files.Usage, error] {
	return query(tx, "SELECT user_id, bytes, lamport FROM file_usage", func(u *files.Usage) []any { return []any{&u.UserID, &u.Bytes, &u.Lamport} })
}
