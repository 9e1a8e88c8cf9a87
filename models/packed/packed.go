// Package packed is how processes write to each other what passes through Redis: fields one after the other, texts with their lengths before them. JSON goes
// through as it is, where JSON in JSON would be scanned twice more.
package packed

import (
	"encoding/binary"
	"errors"

	"guichet/models/id"
)

// ErrTruncated says that what was read is not what was written.
var ErrTruncated = errors.New("packed: truncated")

// AppendBytes appends a text with its length.
func AppendBytes[T ~string | ~[]byte](b []byte, text T) []byte {
	b = binary.AppendUvarint(b, uint64(len(text)))
	return append(b, text...)
}

// AppendIDs appends ids with their number.
func AppendIDs(b []byte, ids []id.ID) []byte {
	b = binary.AppendUvarint(b, uint64(len(ids)))
	for i := range ids {
		b = append(b, ids[i][:]...)
	}
	return b
}

// Reader reads what was appended, in the same order. After a failure it reads nothing but zeros.
type Reader struct {
	Rest   []byte
	failed bool
}

// Err is ErrTruncated if anything could not be read.
func (r *Reader) Err() error {
	if r.failed {
		return ErrTruncated
	}
	return nil
}

// Take reads n bytes; they are not copied.
func (r *Reader) Take(n uint64) []byte {
	if n > uint64(len(r.Rest)) {
		r.failed, r.Rest = true, nil
		return nil
	}
	taken := r.Rest[:n:n]
	r.Rest = r.Rest[n:]
	return taken
}

// Uvarint reads an unsigned number.
func (r *Reader) Uvarint() uint64 {
	v, n := binary.Uvarint(r.Rest)
	r.Take(uint64(max(n, 0)))
	r.failed = r.failed || n <= 0
	return v
}

// Varint reads a signed number.
func (r *Reader) Varint() int64 {
	v, n := binary.Varint(r.Rest)
	r.Take(uint64(max(n, 0)))
	r.failed = r.failed || n <= 0
	return v
}

// Bytes reads a text; it is not copied.
func (r *Reader) Bytes() []byte { return r.Take(r.Uvarint()) }

// Count reads the number of things that follow, each of at least a byte: more than there are bytes is a failure, and 0.
func (r *Reader) Count() int {
	n := r.Uvarint()
	if n > uint64(len(r.Rest)) {
		r.failed = true
		return 0
	}
	return int(n)
}

// ID reads an id.
func (r *Reader) ID() (read id.ID) {
	copy(read[:], r.Take(16))
	return read
}

// IDs reads ids.
func (r *Reader) IDs() []id.ID {
	ids := make([]id.ID, r.Count())
	for i := range ids {
		ids[i] = r.ID()
	}
	return ids
}
