// Package files has the files of rooms: what they may be called, who may have how much, where their contents are, and the rows that say so.
//
// A content is stored first, under an id of its own that no user has given, and is nobody's. The lane then decides whether it becomes a file: in the order of the
// journal, so of two that come with the same name, one is first.
package files

import (
	"encoding/hex"
	"errors"
	"time"

	"guichet/models/id"
	"guichet/models/lamport"
)

// Lane is the lane of it.
const Lane = "chat-files"

// ErrUnknownFile says that the room has no file with that name.
var ErrUnknownFile = errors.New("files: no such file")

// File is a file of a room.
type File struct {
	ID          id.ID // of the operation that uploaded it
	Room        id.ID
	Name        string // as it is shown
	Key         string // as it is compared; see Name
	Content     id.ID  // what the storage has it under
	Size        int64  // bytes
	ContentType string
	SHA256      Digest
	UserID      id.ID // who uploaded it
	Username    string
	At          time.Time // to the microsecond
	Lamport     lamport.Stamp
}

// Usage is how many bytes the files of a user have.
type Usage struct {
	UserID  id.ID
	Bytes   int64
	Lamport lamport.Stamp
}

// Digest is a SHA-256. Its text is hexadecimal.
type Digest [32]byte

func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// MarshalText writes the hexadecimal form.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (d *Digest) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(d)) {
		return errDigest
	}
	if _, err := hex.Decode(d[:], text); err != nil {
		return errDigest
	}
	return nil
}

var errDigest = errors.New("files: not a SHA-256")
