package feed

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"guichet/models/id"
	"guichet/models/lamport"
)

// Channel is the Redis pub/sub channel of publications.
const Channel = "guichet:feed"

// Publication is what a process tells the others right after a commit. It may be lost: the entries are in the table.
type Publication struct {
	Origin  id.ID // the hub of the process that published, which was told directly
	Entries []Entry
	Lane    string  // set by a lane
	Batches []id.ID // of the journal, that the lane has executed
	Running []id.ID // batches that the lane is executing, told when that takes long; then there is nothing else
	Ended   int     // operations that the lane has executed
}

// Publisher tells what was committed to the hub of this process, if it has one, and to those of the others.
type Publisher struct {
	local *Hub
	redis redis.UniversalClient
	quiet atomic.Int64 // until when Redis is left alone, in ns since 1970
}

const (
	// publishPatience is how long Redis may take: whoever publishes, a lane after each commit, is held up for so long at the most.
	publishPatience = 250 * time.Millisecond
	// publishPause is for how long Redis is left alone after a failure. What is not published meanwhile is found in the table, as what is lost always is.
	publishPause = time.Second
)

// NewPublisher returns a publisher. Either may be nil.
func NewPublisher(local *Hub, rdb redis.UniversalClient) *Publisher {
	return &Publisher{local: local, redis: rdb}
}

// Publish tells. It does not fail: whoever misses a publication finds the hole and reads the table.
func (p *Publisher) Publish(ctx context.Context, publication Publication) {
	if p.local != nil {
		publication.Origin = p.local.self
		p.local.Offer(publication)
	}
	if p.redis == nil || time.Now().UnixNano() < p.quiet.Load() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, publishPatience)
	defer cancel()
	if err := p.redis.Publish(ctx, Channel, publication.encode()).Err(); err != nil {
		p.quiet.Store(time.Now().Add(publishPause).UnixNano())
		slog.DebugContext(ctx, "a publication was lost; readers will find it in the table", "error", err)
	}
}

// The encoding is length-prefixed fields: results pass through as they are, where JSON in JSON would be scanned twice more.

func (p *Publication) encode() []byte {
	size := 64 + 16*(len(p.Batches)+len(p.Running))
	for i := range p.Entries {
		size += 128 + len(p.Entries[i].Data)
	}
	b := make([]byte, 0, size)
	b = append(b, p.Origin[:]...)
	b = appendBytes(b, p.Lane)
	b = appendIDs(b, p.Batches)
	b = appendIDs(b, p.Running)
	b = binary.AppendUvarint(b, uint64(p.Ended))
	b = binary.AppendUvarint(b, uint64(len(p.Entries)))
	for i := range p.Entries {
		e := &p.Entries[i]
		b = binary.AppendUvarint(b, uint64(e.Position))
		b = appendBytes(b, e.Topic)
		b = appendBytes(b, e.Event)
		b = binary.AppendVarint(b, e.At.UnixMicro())
		b = binary.AppendUvarint(b, uint64(e.Lamport))
		b = append(b, e.OperationID[:]...)
		b = appendBytes(b, string(e.Data))
	}
	return b
}

func appendBytes(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

func appendIDs(b []byte, ids []id.ID) []byte {
	b = binary.AppendUvarint(b, uint64(len(ids)))
	for i := range ids {
		b = append(b, ids[i][:]...)
	}
	return b
}

var errTruncated = errors.New("feed: a truncated publication")

func decodePublication(b []byte) (p Publication, err error) {
	d := decoder{rest: b}
	copy(p.Origin[:], d.take(16))
	p.Lane = string(d.bytes())
	p.Batches = d.ids()
	p.Running = d.ids()
	p.Ended = int(d.uvarint())
	count := d.uvarint()
	if count > uint64(len(b)) {
		return p, errTruncated
	}
	p.Entries = make([]Entry, count)
	for i := range p.Entries {
		e := &p.Entries[i]
		e.Position = int64(d.uvarint())
		e.Topic = string(d.bytes())
		e.Event = string(d.bytes())
		e.At = time.UnixMicro(d.varint()).UTC()
		e.Lamport = lamport.Stamp(d.uvarint())
		copy(e.OperationID[:], d.take(16))
		e.Data = d.bytes()
	}
	if d.failed {
		return p, errTruncated
	}
	return p, nil
}

type decoder struct {
	rest   []byte
	failed bool
}

func (d *decoder) take(n uint64) []byte {
	if n > uint64(len(d.rest)) {
		d.failed, d.rest = true, nil
		return nil
	}
	taken := d.rest[:n:n]
	d.rest = d.rest[n:]
	return taken
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.rest)
	d.take(uint64(max(n, 0)))
	d.failed = d.failed || n <= 0
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.rest)
	d.take(uint64(max(n, 0)))
	d.failed = d.failed || n <= 0
	return v
}

func (d *decoder) bytes() []byte { return d.take(d.uvarint()) }

func (d *decoder) ids() []id.ID {
	n := d.uvarint()
	if n > uint64(len(d.rest)) {
		d.failed = true
		return nil
	}
	ids := make([]id.ID, n)
	for i := range ids {
		copy(ids[i][:], d.take(16))
	}
	return ids
}
