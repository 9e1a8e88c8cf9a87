package feed

import (
	"context"
	"encoding/binary"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/packed"
)

// Channel is the Redis pub/sub channel of publications.
const Channel = "guichet:feed"

// Publication is what a process tells the others right after a commit. It may be lost: the entries are in the table. One of a lane that has neither Running nor Batches
// nor Ended says that the lane executes nothing.
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

func (p *Publication) encode() []byte {
	size := 64 + 16*(len(p.Batches)+len(p.Running))
	for i := range p.Entries {
		size += 128 + len(p.Entries[i].Data)
	}
	b := make([]byte, 0, size)
	b = append(b, p.Origin[:]...)
	b = packed.AppendBytes(b, p.Lane)
	b = packed.AppendIDs(b, p.Batches)
	b = packed.AppendIDs(b, p.Running)
	b = binary.AppendUvarint(b, uint64(p.Ended))
	b = binary.AppendUvarint(b, uint64(len(p.Entries)))
	for i := range p.Entries {
		e := &p.Entries[i]
		b = binary.AppendUvarint(b, uint64(e.Position))
		b = packed.AppendBytes(b, e.Topic)
		b = packed.AppendBytes(b, e.Event)
		b = binary.AppendVarint(b, e.At.UnixMicro())
		b = binary.AppendUvarint(b, uint64(e.Lamport))
		b = append(b, e.OperationID[:]...)
		b = packed.AppendBytes(b, string(e.Data))
	}
	return b
}

func decodePublication(b []byte) (p Publication, err error) {
	d := packed.Reader{Rest: b}
	copy(p.Origin[:], d.Take(16))
	p.Lane = string(d.Bytes())
	p.Batches = d.IDs()
	p.Running = d.IDs()
	p.Ended = int(d.Uvarint())
	p.Entries = make([]Entry, d.Count())
	for i := range p.Entries {
		e := &p.Entries[i]
		e.Position = int64(d.Uvarint())
		e.Topic = string(d.Bytes())
		e.Event = string(d.Bytes())
		e.At = time.UnixMicro(d.Varint()).UTC()
		e.Lamport = lamport.Stamp(d.Uvarint())
		copy(e.OperationID[:], d.Take(16))
		e.Data = d.Bytes()
	}
	return p, d.Err()
}
