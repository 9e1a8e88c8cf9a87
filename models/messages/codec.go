package messages

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"time"

	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/operation"
	"guichet/models/packed"
)

// Batch is one entry of the log: messages that one script appended. Their offsets and stamps are dense.
type Batch struct {
	Messages []Message       // at least one
	Keys     []operation.Key // of the messages that were posted with one; Hash is zero for the others. Nil if none was
}

// first and last are the batch's offsets.
func (b *Batch) first() int64 { return b.Messages[0].Offset }
func (b *Batch) last() int64  { return b.Messages[len(b.Messages)-1].Offset }

// At is when the batch was posted.
func (b *Batch) At() time.Time { return b.Messages[0].At }

// head is what the script alone knows of a batch. It is the first line of its record.
type head struct {
	base      int64 // the offset that the log began with when it was made: it tells one making from another
	first     int64 // offset
	stamp     lamport.Stamp
	sequences []int64 // the first in each of the batch's rooms
}

func parseHead(line string) (head, error) {
	var numbers []int64
	for field := range strings.SplitSeq(line, " ") {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil || n < 0 {
			return head{}, fmt.Errorf("%w: the head of a batch is %q", ErrMalformed, line)
		}
		numbers = append(numbers, n)
	}
	if len(numbers) < 4 {
		return head{}, fmt.Errorf("%w: the head of a batch is %q", ErrMalformed, line)
	}
	return head{numbers[0], numbers[1], lamport.Stamp(numbers[2]), numbers[3:]}, nil
}

// packer writes what processes know of a batch before it has its places:
//
//	time, rooms, number of messages, and for each: room, user, name, text, key
//
// A room is an index in rooms. A key is empty, or both its hashes.
type packer struct {
	at    time.Time
	rooms []id.ID
	count int
	body  []byte // of the messages
}

func (p *packer) reset(at time.Time) {
	p.at, p.rooms, p.count, p.body = at, p.rooms[:0], 0, p.body[:0]
}

// room is the index of a room in rooms.
func (p *packer) room(room id.ID) int {
	for i := range p.rooms {
		if p.rooms[i] == room {
			return i
		}
	}
	p.rooms = append(p.rooms, room)
	return len(p.rooms) - 1
}

func (p *packer) add(d *Draft) (room int) {
	room = p.room(d.Room)
	b := appendNumber(p.body, room)
	b = append(b, d.UserID[:]...)
	b = packed.AppendBytes(b, d.Username)
	b = packed.AppendBytes(b, d.Text)
	if d.Key == nil {
		b = append(b, 0)
	} else {
		b = appendNumber(b, 2*len(d.Key.Hash))
		b = append(append(b, d.Key.Hash[:]...), d.Key.Request[:]...)
	}
	p.body = b
	p.count++
	return room
}

func appendNumber(b []byte, n int) []byte { return binary.AppendUvarint(b, uint64(n)) }

// payload is the whole.
func (p *packer) payload() []byte {
	b := make([]byte, 0, 32+16*len(p.rooms)+len(p.body))
	b = binary.AppendUvarint(b, uint64(p.at.UnixMicro()))
	b = packed.AppendIDs(b, p.rooms)
	b = appendNumber(b, p.count)
	return append(b, p.body...)
}

// decodeBatch reads a record: the head, a line feed, and the payload.
func decodeBatch(record string) (Batch, error) {
	line, payload, found := strings.Cut(record, "\n")
	if !found {
		return Batch{}, fmt.Errorf("%w: a batch has no payload", ErrMalformed)
	}
	h, err := parseHead(line)
	if err != nil {
		return Batch{}, err
	}
	return h.decode([]byte(payload))
}

func (h *head) decode(payload []byte) (Batch, error) {
	r := packed.Reader{Rest: payload}
	at := time.UnixMicro(int64(r.Uvarint())).UTC()
	rooms := r.IDs()
	if len(rooms) != len(h.sequences) {
		return Batch{}, fmt.Errorf("%w: a batch of %d rooms has %d sequences", ErrMalformed, len(rooms), len(h.sequences))
	}
	next := append([]int64(nil), h.sequences...)
	b := Batch{Messages: make([]Message, r.Count())}
	for i := range b.Messages {
		m := &b.Messages[i]
		room := r.Uvarint()
		if room >= uint64(len(rooms)) {
			return Batch{}, fmt.Errorf("%w: a message is in room %d of %d", ErrMalformed, room, len(rooms))
		}
		*m = Message{Offset: h.first + int64(i), Room: rooms[room], Sequence: next[room], At: at, Lamport: h.stamp + lamport.Stamp(i)}
		next[room]++
		m.UserID, m.Username, m.Text = r.ID(), string(r.Bytes()), string(r.Bytes())
		if err := b.readKey(i, r.Bytes()); err != nil {
			return Batch{}, err
		}
	}
	if r.Err() != nil || len(r.Rest) > 0 || len(b.Messages) == 0 {
		return Batch{}, fmt.Errorf("%w: a batch is not as long as it says", ErrMalformed)
	}
	return b, nil
}

func (b *Batch) readKey(i int, hashes []byte) error {
	if len(hashes) == 0 {
		return nil
	}
	key := operation.Key{User: b.Messages[i].UserID}
	if len(hashes) != len(key.Hash)+len(key.Request) {
		return fmt.Errorf("%w: a key has %d bytes", ErrMalformed, len(hashes))
	}
	if b.Keys == nil {
		b.Keys = make([]operation.Key, len(b.Messages))
	}
	copy(key.Hash[:], hashes)
	copy(key.Request[:], hashes[len(key.Hash):])
	b.Keys[i] = key
	return nil
}

// after is the batch without what has an offset up to the given one; it may have no messages left.
func (b Batch) after(offset int64) Batch {
	skip := int(min(max(offset-b.first()+1, 0), int64(len(b.Messages))))
	b.Messages = b.Messages[skip:]
	if b.Keys != nil {
		b.Keys = b.Keys[skip:]
	}
	return b
}

// bytesOf is about how many bytes the texts of a batch are.
func (b *Batch) bytesOf() (n int) {
	for i := range b.Messages {
		n += 64 + len(b.Messages[i].Text)
	}
	return n
}
