package messages

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"guichet/models/database"
	"guichet/models/lamport"
)

//go:embed scripts/*.lua
var sources embed.FS

var (
	appendScript = newScript("append")
	storedScript = newScript("stored")
	loadScript   = newScript("load")
	yieldScript  = newScript("yield")
	resetScript  = newScript("reset")
)

func newScript(name string) *redis.Script {
	text, err := sources.ReadFile("scripts/" + name + ".lua")
	if err != nil {
		panic(err) // the program was built without it
	}
	return redis.NewScript(string(text))
}

// The keys, which share a hash tag, so that they are on one node of a cluster:
//
//	state      hash: base, the offset that the log began with when it was made; offset, of the newest message; stored, up to which the database has all; before,
//	           the offset of the newest message of the database when the log was made; made, when that was, in milliseconds since 1970; stamp, of the newest message.
//	           Without it, the log has to be made
//	rooms      hash: room → sequence of its newest message
//	log        stream: a batch an entry, whose id is the offset of its last message. It has what the database has not, and some of what is older
//	poster:P   the number of the last batch of a process, and its head; gone some minutes after it
//	keys:DAY   hash: user and idempotency key → hash of the request, and the message made with it; kept for two days
//	loading    who is making the log
const (
	stateKey   = "chat:{chat}:state"
	roomsKey   = "chat:{chat}:rooms"
	logKey     = "chat:{chat}:log"
	posterKey  = "chat:{chat}:poster:"
	keysKey    = "chat:{chat}:keys:"
	loadingKey = "chat:{chat}:loading"
	// storedChannel is the pub/sub channel on which it is told how far the database has followed.
	storedChannel = "guichet:messages"
)

const (
	// kept is how many of the messages that the database has are kept in the log, for readers who are a little behind.
	kept = 10_000
	// mostUnstored is how many messages may wait for the database.
	mostUnstored = 200_000
)

// errNotLoaded says that Redis does not have the log: it is new there, or Redis has lost its data.
var errNotLoaded = errors.New("messages: the log is not in Redis")

// Log is the log of messages in Redis, and behind it their table. All that changes the log is done in one step, by a script. It is safe for concurrent use, by any
// number of processes.
type Log struct {
	client   redis.UniversalClient
	db       *database.DB
	clock    *lamport.Clock
	combiner combiner
	watch    watch
	patience time.Duration // with which a batch is appended
}

// NewLog returns the log in a Redis, with its table in a database.
func NewLog(client redis.UniversalClient, db *database.DB, clock *lamport.Clock) *Log {
	return &Log{client: client, db: db, clock: clock, combiner: newCombiner(), watch: newWatch(), patience: appendPatience}
}

// state is where the log is.
type state struct {
	base, offset, stored, before int64
}

func (l *Log) readState(ctx context.Context) (state, error) {
	return stateOf(l.client.HMGet(ctx, stateKey, "base", "offset", "stored", "before"))
}

func stateOf(cmd *redis.SliceCmd) (s state, err error) {
	values, err := cmd.Result()
	if err != nil {
		return s, err
	}
	for i, into := range []*int64{&s.base, &s.offset, &s.stored, &s.before} {
		text, there := values[i].(string)
		if !there {
			return s, errNotLoaded
		}
		if *into, err = strconv.ParseInt(text, 10, 64); err != nil {
			return s, fmt.Errorf("%w: the state of the log has %q", ErrMalformed, text)
		}
	}
	return s, nil
}

// RemembersKeys says whether Redis knows every key with which a message was posted in the last 24 hours, for which keys are promised to be known: its log was made
// longer ago, or when there were no messages.
func (l *Log) RemembersKeys(ctx context.Context, now time.Time) (bool, error) {
	values, err := l.client.HMGet(ctx, stateKey, "before", "made").Result()
	if err != nil || values[0] == nil {
		return false, err
	}
	made, _ := values[1].(string)
	madeAt, _ := strconv.ParseInt(made, 10, 64) // that of a log without it is from before it was noted
	return values[0] == "0" || now.Sub(time.UnixMilli(madeAt)) >= day, nil
}

// loadedState is the state of the log, which is made if need be.
func (l *Log) loadedState(ctx context.Context) (s state, err error) {
	err = l.loaded(ctx, func() (err error) {
		s, err = l.readState(ctx)
		return err
	})
	return s, err
}

// Head is the offset of the newest message; 0 if there was none.
func (l *Log) Head(ctx context.Context) (int64, error) {
	s, err := l.loadedState(ctx)
	if s.offset == s.base {
		return s.before, err
	}
	return s.offset, err
}

// Start is the offset after which every message can still be read: messages are kept.
func (l *Log) Start(context.Context) (int64, error) { return 0, nil }

// Waiting says how many messages the database does not have yet, and since when the oldest of them waits; the zero time if none does.
func (l *Log) Waiting(ctx context.Context) (n int64, oldest time.Time, err error) {
	s, err := l.readState(ctx)
	if errors.Is(err, errNotLoaded) {
		return 0, time.Time{}, nil // nothing waits in a log that is not there
	}
	if err != nil || s.offset == s.stored {
		return 0, time.Time{}, err
	}
	batches, err := l.read(ctx, s.stored, 1)
	if err == nil && len(batches) > 0 {
		oldest = batches[0].At()
	}
	return s.offset - s.stored, oldest, err
}

// read reads the beginning of what the log has after an offset, in up to count batches, of which the first may begin before.
func (l *Log) read(ctx context.Context, after int64, count int64) ([]Batch, error) {
	return decodeAll(l.client.XRangeN(ctx, logKey, entryID(after+1), "+", count).Result())
}

// entryID is the id of the entry whose last message has an offset.
func entryID(offset int64) string { return strconv.FormatInt(offset, 10) + "-0" }

func decodeAll(entries []redis.XMessage, err error) ([]Batch, error) {
	if err != nil {
		return nil, err
	}
	batches := make([]Batch, len(entries))
	for i := range entries {
		record, _ := entries[i].Values["b"].(string)
		if batches[i], err = decodeBatch(record); err != nil {
			return nil, fmt.Errorf("entry %s of the log: %w", entries[i].ID, err)
		}
	}
	return batches, nil
}
