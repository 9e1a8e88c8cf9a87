package messages

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"guichet/models/database"
	"guichet/models/id"
	"guichet/models/lamport"
)

const (
	loadTurn = 15 * time.Second      // how long one that is loading is waited for: if it has died, another takes its turn
	loadPoll = 20 * time.Millisecond // who waits looks this often
	loadPart = 1000                  // how many rooms go in one command
	// leap is how far the offsets of a log that is made anew are from what the database has. Readers may have seen messages that were lost with Redis, up to
	// mostUnstored of them; they must not take new ones for those.
	leap = 1_000_000
)

// loaded does something with the log, and has it made from the database if do says errNotLoaded.
func (l *Log) loaded(ctx context.Context, do func() error) error {
	err := do()
	if !errors.Is(err, errNotLoaded) {
		return err
	}
	if err := l.load(ctx); err != nil {
		return err
	}
	return do()
}

// load makes the log from the database, if it is not there. Of any number of processes that do so at once one does it, and the others wait for it.
func (l *Log) load(ctx context.Context) error {
	tick := time.NewTicker(loadPoll)
	defer tick.Stop()
	for {
		done, err := l.tryLoad(ctx)
		if done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// tryLoad returns false if another is making the log, or was in the meantime.
func (l *Log) tryLoad(ctx context.Context) (bool, error) {
	if n, err := l.client.Exists(ctx, stateKey).Result(); n > 0 || err != nil {
		return n > 0, err
	}
	name := rand.Text()
	err := l.client.SetArgs(ctx, loadingKey, name, redis.SetArgs{Mode: "NX", TTL: loadTurn}).Err()
	if err == redis.Nil { //nolint:errorlint // as go-redis documents it
		return false, nil
	}
	if err != nil {
		return false, err
	}
	done, err := l.loadAs(ctx, name)
	if err != nil || done { // those who wait need not do so for as long as for one that has died
		err = errors.Join(err, yieldScript.Run(context.WithoutCancel(ctx), l.client, []string{loadingKey}, name).Err())
	}
	return done, err
}

// foundation is what a log is made on.
type foundation struct {
	base   int64 // its offsets begin after this
	before int64 // the offset of the newest message in the database; 0 for none
	stamp  lamport.Stamp
	rooms  []any // room ids and sequences
}

var errNotMyTurn = errors.New("messages: another is making the log, or has made it")

// loadAs makes the log in the turn of the given name. It advances what the database calls stored, by which two things are sure: whoever has still something in hand
// of a log that was lost will not store it beside what comes now; and of two that make the log at once, the one that advanced last is the one that puts it in
// place, as each looks whether it has its turn while the row is locked.
func (l *Log) loadAs(ctx context.Context, name string) (bool, error) {
	var f foundation
	err := l.db.Write(ctx, func(tx database.Tx) error {
		stored, err := lockStored(tx)
		if err != nil {
			return err
		}
		if err := l.checkTurn(ctx, name); err != nil {
			return err
		}
		if f, err = readFoundation(tx); err != nil {
			return err
		}
		f.base = stored + leap
		f.stamp = max(f.stamp, l.clock.Tick())
		return moveStored(tx, stored, f.base)
	})
	if errors.Is(err, errNotMyTurn) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	done, err := l.put(ctx, name, &f)
	if done {
		slog.InfoContext(ctx, "the log of messages was made in Redis", "after", f.base, "rooms", len(f.rooms)/2)
	}
	return done, err
}

func (l *Log) checkTurn(ctx context.Context, name string) error {
	var there *redis.IntCmd
	var turn *redis.StringCmd
	_, err := l.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
		there, turn = p.Exists(ctx, stateKey), p.Get(ctx, loadingKey)
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return err
	}
	if there.Val() > 0 || turn.Val() != name {
		return errNotMyTurn
	}
	return nil
}

// put puts the rooms under another key, which goes away by itself if this process does not come to the end of it, and then all in place.
func (l *Log) put(ctx context.Context, name string, f *foundation) (bool, error) {
	prepared := roomsKey + ":" + name
	_, err := l.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for from := 0; from < len(f.rooms); from += 2 * loadPart {
			p.HSet(ctx, prepared, f.rooms[from:min(from+2*loadPart, len(f.rooms))]...)
			p.PExpire(ctx, prepared, loadTurn)
		}
		return nil
	})
	if err != nil {
		return false, err
	}
	now := time.Now().UnixMilli()
	today := now / day.Milliseconds()
	keys := []string{stateKey, roomsKey, logKey, loadingKey, prepared, keysOf(today), keysOf(today - 1)}
	outcome, err := loadScript.Run(ctx, l.client, keys, name, len(f.rooms)/2, f.base, f.before, strconv.FormatInt(int64(f.stamp), 10), now).Text()
	return outcome == "loaded" || outcome == "there", err
}

func (f *foundation) addRoom(room id.ID, sequence int64) {
	f.rooms = append(f.rooms, string(room[:]), sequence)
}
