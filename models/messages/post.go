package messages

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/operation"
	"guichet/models/problem"
)

const (
	// mostTogether is how many messages one script appends, and mostBytes about how many bytes: no script may take long.
	mostTogether = 512
	mostBytes    = 1 << 20
	// appendPatience is how long Redis may take to append a batch.
	appendPatience = 3 * time.Second
	// fullFor is when to try again if the database is so far behind that nothing more is taken.
	fullFor = time.Second
)

// Draft is what is to be said.
type Draft struct {
	Room     id.ID
	UserID   id.ID
	Username string
	Text     string
	Key      *operation.Key // nil: the request bears none
}

// Posted is a message that the log has taken.
type Posted struct {
	Message
	Replayed bool  // by an earlier request with the same key
	base     int64 // of the log
}

var (
	errReused = problem.New(problem.IdempotencyKeyReused, "The Idempotency-Key was used for another request.")
	errFull   = problem.New(problem.LaneFull, "Too many messages wait for the database.").After(fullFor)
)

// Post appends a message to the log. Those that are posted while the last were being appended go together, in one script: whoever comes first leads, for all who
// have come by then, and hands over to one who has come since. So there is neither a timer nor a goroutine between who posts and Redis.
//
// What is given up before its batch is taken is not appended.
//
// Refused, by a *problem.Problem: idempotency_key_reused, lane_full. After any other error the message may have been taken all the same.
func (l *Log) Post(ctx context.Context, draft *Draft) (Posted, error) {
	w := &wish{ctx: ctx, draft: draft, turn: make(chan bool, 1)}
	lead := l.combiner.join(w)
	if !lead {
		lead = <-w.turn // soon: each round has a deadline
	}
	if lead {
		l.combiner.round(context.WithoutCancel(ctx), l)
	}
	return w.posted, w.err
}

// wish is a draft that waits.
type wish struct {
	ctx    context.Context
	draft  *Draft
	room   int     // its place among the batch's rooms
	place  int     // its place in the batch
	inRoom int     // its place among the room's messages in the batch
	same   []*wish // others in the batch with the same key

	turn   chan bool // true: lead; false: it is answered
	posted Posted
	err    error
}

type combiner struct {
	mu      sync.Mutex
	waiting []*wish
	led     bool

	// The rest is the leader's.
	name   string // of this process, to the scripts
	number int64  // of its last batch
	packer packer
	counts []int // of messages, by room
	batch  []*wish
	args   []any
}

func newCombiner() combiner { return combiner{name: rand.Text()} }

// join puts a wish in line, and says whether it has to lead.
func (c *combiner) join(w *wish) (lead bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = append(c.waiting, w)
	lead, c.led = !c.led, true
	return lead
}

// round appends what waits, the leader's own first unless it is given up, hands over, and answers.
func (c *combiner) round(ctx context.Context, l *Log) {
	c.take()
	if len(c.batch) == 0 { // all is given up
		c.handOver()
		return
	}
	ctx, cancel := context.WithTimeout(ctx, l.patience)
	defer cancel()
	batch := append([]*wish(nil), c.batch...)
	err := l.loaded(ctx, func() error { return l.appendBatch(ctx) })
	c.handOver()
	for _, w := range batch {
		if err != nil && w.err == nil && w.posted.Offset == 0 {
			w.fail(err)
		}
		w.turn <- false // which the leader does not look at any more
		for _, other := range w.same {
			other.turn <- false
		}
	}
}

// take takes as much of what waits as one script may append, and answers what is given up. Those that bear the same key go along with the first of them.
func (c *combiner) take() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.batch = c.batch[:0]
	var keyed map[operation.Key]*wish
	n, bytes := 0, 0
	for ; n < len(c.waiting) && len(c.batch) < mostTogether && bytes < mostBytes; n++ {
		w := c.waiting[n]
		if w.err = w.ctx.Err(); w.err != nil {
			w.turn <- false
			continue
		}
		if key := w.draft.Key; key != nil {
			if first := keyed[key.Bare()]; first != nil {
				first.same = append(first.same, w)
				continue
			}
			if keyed == nil {
				keyed = map[operation.Key]*wish{}
			}
			keyed[key.Bare()] = w
		}
		c.batch = append(c.batch, w)
		bytes += len(w.draft.Text)
	}
	rest := copy(c.waiting, c.waiting[n:])
	clear(c.waiting[rest:])
	c.waiting = c.waiting[:rest]
}

// handOver has the first of those who wait lead.
func (c *combiner) handOver() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.led = len(c.waiting) > 0; c.led {
		c.waiting[0].turn <- true
	}
}

// appendBatch appends the batch. Wishes whose keys were used before are answered, and the others tried again without them.
func (l *Log) appendBatch(ctx context.Context) error {
	c := &l.combiner
	for len(c.batch) > 0 {
		at := time.Now().UTC().Truncate(time.Microsecond)
		reply, err := appendScript.Run(ctx, l.client, c.keys(at), c.arguments(at, l.clock.Tick())...).StringSlice()
		if err != nil {
			return err
		}
		if len(reply) == 0 {
			return fmt.Errorf("%w: the answer of a script is empty", ErrMalformed)
		}
		switch reply[0] {
		case "appended":
			return l.appended(at, reply[1:])
		case "used":
			if err := c.drop(reply[1:]); err != nil {
				return err
			}
		case "not_loaded":
			return errNotLoaded
		case "full":
			return errFull
		default: // late: an answer to a batch after this one was given, which this process has not waited for
			return fmt.Errorf("messages: a batch was not appended: %s", reply[0])
		}
	}
	return nil
}

const day = 24 * time.Hour

func (c *combiner) keys(at time.Time) []string {
	today := at.UnixMilli() / day.Milliseconds()
	return []string{stateKey, roomsKey, logKey, posterKey + c.name, keysOf(today), keysOf(today - 1)}
}

// keysOf is where the idempotency keys of a day are.
func keysOf(day int64) string { return keysKey + strconv.FormatInt(day, 10) }

// arguments packs the batch.
func (c *combiner) arguments(at time.Time, clock lamport.Stamp) []any {
	c.number++
	c.packer.reset(at)
	c.counts = c.counts[:0]
	for i, w := range c.batch {
		w.place, w.room = i, c.packer.add(w.draft)
		if w.room == len(c.counts) {
			c.counts = append(c.counts, 0)
		}
		w.inRoom = c.counts[w.room]
		c.counts[w.room]++
	}
	c.args = append(c.args[:0], c.number, int64(clock), mostUnstored, at.UnixMicro(), c.packer.payload(), len(c.batch), len(c.counts))
	for room, n := range c.counts {
		c.args = append(c.args, c.packer.rooms[room][:], n)
	}
	for _, w := range c.batch {
		if key := w.draft.Key; key != nil {
			c.args = append(c.args, append(key.User[:], key.Hash[:]...), key.Request[:], w.place, w.room, w.inRoom)
		}
	}
	return c.args
}

// appended answers all of the batch.
func (l *Log) appended(at time.Time, reply []string) error {
	c := &l.combiner
	if len(reply) != 1 {
		return fmt.Errorf("%w: an appended batch has %d heads", ErrMalformed, len(reply))
	}
	h, err := parseHead(reply[0])
	if err == nil && len(h.sequences) != len(c.counts) {
		err = fmt.Errorf("%w: a batch of %d rooms has %d sequences", ErrMalformed, len(c.counts), len(h.sequences))
	}
	if err != nil {
		return err
	}
	for i, w := range c.batch {
		w.posted = Posted{Message: w.draft.message(h.first+int64(i), h.sequences[w.room]+int64(w.inRoom), at, h.stamp+lamport.Stamp(i)), base: h.base}
		w.settleOthers(w.draft.Key)
	}
	l.clock.Witness(h.stamp + lamport.Stamp(len(c.batch)-1))
	return nil
}

func (d *Draft) message(offset, sequence int64, at time.Time, stamp lamport.Stamp) Message {
	return Message{Offset: offset, Room: d.Room, Sequence: sequence, UserID: d.UserID, Username: d.Username, Text: d.Text, At: at, Lamport: stamp}
}

// drop answers the wishes whose keys were used before, and takes them out of the batch. The reply has, for each, its place, and what is known of the key.
func (c *combiner) drop(reply []string) error {
	for ; len(reply) > 1; reply = reply[2:] {
		place, err := strconv.Atoi(reply[0])
		if err != nil || place < 0 || place >= len(c.batch) {
			return fmt.Errorf("%w: place %q of a batch of %d", ErrMalformed, reply[0], len(c.batch))
		}
		if err := c.batch[place].known(reply[1]); err != nil {
			return err
		}
	}
	rest := c.batch[:0]
	for _, w := range c.batch {
		if w.posted.Offset == 0 && w.err == nil {
			rest = append(rest, w)
		}
	}
	if len(rest) == len(c.batch) {
		return errors.New("messages: a script has found keys used, and named none")
	}
	c.batch = rest
	return nil
}

// known answers a wish by what is known of its key: the hash of the request, and base, offset, stamp, sequence and time of the message.
func (w *wish) known(record string) error {
	key := *w.draft.Key
	if len(record) < len(key.Request) {
		return fmt.Errorf("%w: what is known of a key has %d bytes", ErrMalformed, len(record))
	}
	first := key
	copy(first.Request[:], record)
	fields, numbers := strings.Split(record[len(key.Request):], " "), [5]int64{}
	for i := range numbers {
		if len(fields) != len(numbers) {
			return fmt.Errorf("%w: what is known of a key is %q", ErrMalformed, fields)
		}
		var err error
		if numbers[i], err = strconv.ParseInt(fields[i], 10, 64); err != nil {
			return fmt.Errorf("%w: what is known of a key is %q", ErrMalformed, fields)
		}
	}
	made := Posted{w.draft.message(numbers[1], numbers[3], time.UnixMicro(numbers[4]).UTC(), lamport.Stamp(numbers[2])), true, numbers[0]}
	if key.Request == first.Request {
		w.posted = made
	} else {
		w.posted.Offset, w.err = 0, errReused
	}
	w.settleWith(&first, made)
	return nil
}

// settleOthers answers those that bear the same key as a wish that made a message.
func (w *wish) settleOthers(key *operation.Key) {
	if len(w.same) > 0 {
		made := w.posted
		made.Replayed = true
		w.settleWith(key, made)
	}
}

func (w *wish) settleWith(key *operation.Key, made Posted) {
	for _, other := range w.same {
		if other.draft.Key.Request == key.Request {
			other.posted = made
			other.posted.Text = other.draft.Text // of the same request; that of another may be in made
		} else {
			other.err = errReused
		}
	}
}

// fail answers with an error.
func (w *wish) fail(err error) {
	w.err = err
	for _, other := range w.same {
		other.err = err
	}
}
