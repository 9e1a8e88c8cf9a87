// Package id makes and reads the identifiers of everything in guichet: UUIDs of version 7 (RFC 9562, section 5.7), ordered by time.
//
// The 62 free bits of the second half are a node (54 bits, random, one per process) and an index (8 bits). An intake batch takes one
// base id, whose index is 0, and its operations are base+0 … base+255: a batch is then one range of keys, and the node tells
// which process accepted an operation, so that an audit can check that it was executed in the order of its acceptance.
package id

import (
	"bytes"
	"crypto/rand"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
)

// MaxBatch is how many ids share a base: what fits into the index.
const MaxBatch = 256

// ErrMalformed is returned by Parse for anything that is not the text of an ID.
var ErrMalformed = errors.New("id: malformed")

// ID is a UUID of version 7. The zero ID means none.
type ID [16]byte

// Parse reads the canonical text form, in either case.
func Parse(s string) (ID, error) {
	if len(s) != 36 {
		return ID{}, ErrMalformed
	}
	u, err := uuid.Parse(s)
	if err != nil {
		return ID{}, ErrMalformed
	}
	return ID(u), nil
}

func (i ID) String() string { return uuid.UUID(i).String() }

// IsZero says whether i is none.
func (i ID) IsZero() bool { return i == ID{} }

// WithIndex is the id of the n-th member of the batch whose base is i; 0 ≤ n < MaxBatch.
func (i ID) WithIndex(n int) ID {
	i[15] = byte(n)
	return i
}

// Index is the place of i in its batch.
func (i ID) Index() int { return int(i[15]) }

// Base is the id of the batch that i belongs to.
func (i ID) Base() ID { return i.WithIndex(0) }

// Node identifies the process that made i: the low 54 bits.
func (i ID) Node() uint64 { return binary.BigEndian.Uint64(i[8:]) << 2 >> 10 }

// Time is when i was made, to the millisecond.
func (i ID) Time() time.Time {
	return time.UnixMilli(int64(binary.BigEndian.Uint64(i[:8]) >> 16)).UTC()
}

// Less orders ids as the database does: by their bytes.
func (i ID) Less(j ID) bool { return string(i[:]) < string(j[:]) }

// Compare is -1, 0 or 1 as a is before, the same as, or after b, in the order of the stores' keys.
func Compare(a, b ID) int { return bytes.Compare(a[:], b[:]) }

// Keys returns the keys of a map in that order.
func Keys[V any](of map[ID]V) []ID { return slices.SortedFunc(maps.Keys(of), Compare) }

// Args returns ids as arguments of a statement.
func Args(ids []ID) []any {
	args := make([]any, len(ids))
	for n := range ids {
		args[n] = ids[n][:]
	}
	return args
}

// AppendJSON appends the canonical text form in quotes.
func (i ID) AppendJSON(b []byte) []byte {
	const digits = "0123456789abcdef"
	b = append(b, '"')
	for n, octet := range i {
		if n == 4 || n == 6 || n == 8 || n == 10 {
			b = append(b, '-')
		}
		b = append(b, digits[octet>>4], digits[octet&0xf])
	}
	return append(b, '"')
}

// MarshalText writes the canonical form.
func (i ID) MarshalText() ([]byte, error) { return []byte(i.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (i *ID) UnmarshalText(text []byte) error {
	parsed, err := Parse(string(text))
	*i = parsed
	return err
}

// Value binds i as 16 bytes; the zero ID is NULL.
func (i ID) Value() (driver.Value, error) {
	if i.IsZero() {
		return nil, nil
	}
	return i[:], nil
}

// Scan reads 16 bytes or NULL.
func (i *ID) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*i = ID{}
	case []byte:
		if len(v) != len(i) {
			return fmt.Errorf("id: %d bytes in a column of ids", len(v))
		}
		copy(i[:], v)
	case string:
		return i.Scan([]byte(v))
	default:
		return fmt.Errorf("id: cannot scan a %T", src)
	}
	return nil
}

// Generator makes ids that ascend strictly within the process. It is safe for concurrent use.
type Generator struct {
	mu   sync.Mutex
	node uint64
	tick uint64 // milliseconds since 1970 in the high bits, a counter in the low 12
	now  func() time.Time
}

// NewGenerator returns a generator with a random node.
func NewGenerator() *Generator {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails: documented in crypto/rand
	return &Generator{node: binary.BigEndian.Uint64(b[:]) >> 10, now: time.Now}
}

// Next makes an id with index 0. When more than 4,096 are asked for in one millisecond, or the clock is set back, ids run ahead of the
// clock rather than repeat (RFC 9562, section 6.2, method 1).
func (g *Generator) Next() ID {
	g.mu.Lock()
	g.tick = max(g.tick+1, uint64(g.now().UnixMilli())<<12)
	tick := g.tick
	g.mu.Unlock()
	var i ID
	binary.BigEndian.PutUint64(i[:8], tick>>12<<16|7<<12|tick&0xfff)
	binary.BigEndian.PutUint64(i[8:], 2<<62|g.node<<8)
	return i
}
