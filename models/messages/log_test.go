package messages

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"guichet/models/database"
	"guichet/models/id"
	"guichet/models/operation"
	"guichet/models/problem"
)

// Hundreds talk at once, in several rooms and through several processes, while the table follows: sequences have no holes, offsets and stamps ascend, and everybody
// hears all of it once, in order.
func TestCrowd(t *testing.T) {
	onAllPairs(t, func(p *pair) {
		const people, each = 200, 8
		rooms := []id.ID{p.room(), p.room(), p.room()}
		logs := []*Log{p.log, p.process(), p.process()}
		start, err := p.log.Head(p.Context())
		must(p, err)
		early := p.listen(start)
		var mu sync.Mutex
		var said []Message
		stop, stored := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stored)
			for f := p.follower(); ; {
				if n, err := p.storeSome(f); err != nil {
					p.Error(err)
					return
				} else if n > 0 {
					continue
				}
				select {
				case <-stop:
					return
				case <-time.After(time.Millisecond):
				}
			}
		}()
		together(people, func(k int) {
			for n := range each {
				d := draftIn(rooms[(k+n)%len(rooms)], fmt.Sprintf("%d says %d", k, n))
				posted, err := logs[k%len(logs)].Post(p.Context(), d)
				if err != nil || posted.Text != d.Text || posted.Room != d.Room || posted.UserID != d.UserID {
					p.Errorf("%+v, %v", posted, err)
				}
				mu.Lock()
				said = append(said, posted.Message)
				mu.Unlock()
			}
		})
		close(stop)
		<-stored
		p.storeAll()
		slices.SortFunc(said, func(a, b Message) int { return int(a.Offset - b.Offset) })
		sequences, before := map[id.ID]int64{}, Message{}
		for i, m := range said {
			sequences[m.Room]++
			if m.Sequence != sequences[m.Room] || m.Offset != said[0].Offset+int64(i) || m.Lamport <= before.Lamport {
				p.Fatalf("%+v comes after %+v, and is number %d of its room", m, before, sequences[m.Room])
			}
			before = m
		}
		p.wantSame("the table", p.table(), said)
		p.wantEntries("who followed", early.hears(p, len(said)), said)
		p.wantEntries("who follows later", p.listen(start).hears(p, len(said)), said)
	})
}

// The same key from fifty at once: one message, and the others are told of it; who wants something else with it is refused.
func TestKeys(t *testing.T) {
	onAllPairs(t, func(p *pair) {
		room, user := p.room(), ids.Next()
		logs := []*Log{p.log, p.process()}
		var mu sync.Mutex
		offsets := map[int64]bool{}
		made, refusals := 0, 0
		together(50, func(k int) {
			request := fmt.Sprint("say ", k%2)
			d := &Draft{Room: room, UserID: user, Username: "ada", Text: request, Key: keyOf(user, "once", request)}
			posted, err := logs[k/2%2].Post(p.Context(), d)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case refused(err, problem.IdempotencyKeyReused):
				refusals++
			case err != nil:
				p.Error(err)
			default:
				offsets[posted.Offset] = true
				if posted.Text != request {
					p.Errorf("who asked to %s is told of %q", request, posted.Text)
				}
				if !posted.Replayed {
					made++
				}
			}
		})
		if len(offsets) != 1 || made != 1 || refusals != 25 {
			p.Errorf("%d messages, %d made and %d refused", len(offsets), made, refusals)
		}
		d := &Draft{Room: room, UserID: ids.Next(), Username: "bob", Text: "say 0", Key: keyOf(ids.Next(), "once", "say 0")}
		d.Key.User = d.UserID
		first, err := p.log.Post(p.Context(), d)
		must(p, err)
		again, err := logs[1].Post(p.Context(), d)
		must(p, err)
		if first.Replayed || !again.Replayed || first.Message != again.Message || first.Sequence != 2 {
			p.Errorf("%+v, then %+v", first, again)
		}
		p.storeAll()
		answers, err := operation.FindAnswers(p.db.Read(p.Context()), []operation.Key{*d.Key})
		must(p, err)
		if kept := answers[d.Key.Bare()]; kept.Operation != first.ID() || kept.Request != d.Key.Request {
			p.Errorf("%+v", kept)
		}
		replayed, err := p.log.Replayed(p.Context(), d, first.ID())
		must(p, err)
		if !replayed.Replayed || replayed.Message != first.Message {
			p.Errorf("%+v; want %+v", replayed, first)
		}
	})
}

// Keys among messages without: those that were used before are answered, and the others are appended.
func TestKeysInABatch(t *testing.T) {
	onAllPairs(t, func(p *pair) {
		room, user := p.room(), ids.Next()
		draft := func(n int) *Draft {
			return &Draft{Room: room, UserID: user, Username: "ada", Text: fmt.Sprint(n), Key: keyOf(user, fmt.Sprint("key ", n), fmt.Sprint(n))}
		}
		var first [10]Posted
		for n := range first {
			var err error
			first[n], err = p.log.Post(p.Context(), draft(n))
			must(p, err)
		}
		together(60, func(k int) {
			switch k % 3 {
			case 0:
				d := draft(k / 3 % 10)
				if again, err := p.log.Post(p.Context(), d); err != nil || !again.Replayed || again.Message != first[k/3%10].Message {
					p.Errorf("%+v, %v", again, err)
				}
			case 1:
				if made, err := p.log.Post(p.Context(), draft(100+k)); err != nil || made.Replayed {
					p.Errorf("%+v, %v", made, err)
				}
			default:
				if _, err := p.log.Post(p.Context(), draftIn(room, "without")); err != nil {
					p.Error(err)
				}
			}
		})
		p.storeAll()
		rows := p.table()
		for i, m := range rows {
			if m.Sequence != int64(i+1) {
				p.Errorf("%+v is number %d", m, i+1)
			}
		}
		if len(rows) != 50 {
			p.Errorf("%d messages", len(rows))
		}
	})
}

// A request to Redis is repeated when its answer is lost: it is appended once.
func TestAppendedTwice(t *testing.T) {
	onAllPairs(t, func(p *pair) {
		room := p.room()
		p.post(room, "first")
		c := &p.log.combiner
		c.batch = []*wish{{draft: draftIn(room, "a")}, {draft: draftIn(room, "b")}}
		at := time.Now()
		arguments := c.arguments(at, 5)
		run := func() []string {
			reply, err := appendScript.Run(p.Context(), p.client, c.keys(at), arguments...).StringSlice()
			must(p, err)
			return reply
		}
		once, twice := run(), run()
		if once[0] != "appended" || !slices.Equal(once, twice) {
			p.Errorf("%q, then %q", once, twice)
		}
		arguments[0] = c.number - 1
		if late := run(); late[0] != "late" {
			p.Errorf("%q", late)
		}
		if next := p.post(room, "next"); next.Sequence != 4 {
			p.Errorf("%+v", next)
		}
	})
}

// hanging has a Redis not run scripts until it is let go.
type hanging struct{ letGo chan struct{} }

func (h hanging) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h hanging) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (h hanging) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if strings.HasPrefix(cmd.Name(), "eval") {
			<-h.letGo
		}
		return next(ctx, cmd)
	}
}

// Who gives up while Redis does not answer has said nothing. That is so for who would lead next, and for who bears the key of another who waits on.
func TestGivenUp(t *testing.T) {
	onAllPairs(t, func(p *pair) {
		room, c := p.room(), &p.log.combiner
		p.post(room, "first")
		server := hanging{make(chan struct{})}
		p.client.AddHook(server)
		var posting sync.WaitGroup
		waiting := -1 // one leads
		post := func(ctx context.Context, draft *Draft) <-chan error {
			posted := make(chan error, 1)
			waiting++
			posting.Go(func() {
				_, err := p.log.Post(ctx, draft)
				posted <- err
			})
			eventually(p, func() bool {
				c.mu.Lock()
				defer c.mu.Unlock()
				return c.led && len(c.waiting) == waiting
			})
			return posted
		}
		user := ids.Next()
		keyed := func() *Draft {
			return &Draft{Room: room, UserID: user, Username: "ada", Text: "once", Key: keyOf(user, "key", "once")}
		}
		ctx, giveUp := context.WithCancel(p.Context())
		answers := []<-chan error{post(p.Context(), draftIn(room, "leads")), post(ctx, draftIn(room, "given up")), post(ctx, keyed()), post(p.Context(), keyed()), post(p.Context(), draftIn(room, "last"))}
		giveUp()
		close(server.letGo)
		posting.Wait()
		for i, answer := range answers {
			if err := <-answer; errors.Is(err, context.Canceled) != (i == 1 || i == 2) || err != nil && i != 1 && i != 2 {
				p.Errorf("%d: %v", i, err)
			}
		}
		if next := p.post(room, "next"); next.Sequence != 5 {
			p.Errorf("%+v; want that after first, leads, once and last", next)
		}
	})
}

// When too many messages wait for the database, no more are taken, until it has followed.
func TestFull(t *testing.T) {
	onAllPairs(t, func(p *pair) {
		room := p.room()
		p.post(room, "first")
		s := p.state()
		must(p, p.client.HSet(p.Context(), stateKey, "stored", s.offset-mostUnstored).Err())
		if _, err := p.log.Post(p.Context(), draftIn(room, "too much")); !refused(err, problem.LaneFull) {
			p.Error(err)
		}
		if n, _, err := p.log.Waiting(p.Context()); n != mostUnstored || err != nil {
			p.Error(n, err)
		}
		must(p, p.client.HSet(p.Context(), stateKey, "stored", s.stored).Err())
		if m := p.post(room, "again"); m.Sequence != 2 {
			p.Errorf("%+v", m)
		}
		n, oldest, err := p.log.Waiting(p.Context())
		if n != 2 || err != nil || time.Since(oldest) > time.Minute {
			p.Error(n, oldest, err)
		}
	})
}

// Redis loses all: what the table has goes on, by sequences without holes and offsets beyond all that anybody may have seen; whoever still has something of the log that
// was lost does not store it.
func TestWiped(t *testing.T) {
	onAllPairs(t, func(p *pair) {
		rooms := []id.ID{p.room(), p.room()}
		kept := slices.Concat(p.posts(rooms[0], 3), p.posts(rooms[1], 2))
		p.storeAll()
		p.posts(rooms[0], 4)
		old := p.follower()
		lost, err := old.Next(p.Context())
		must(p, err)
		head, err := p.log.Head(p.Context())
		must(p, err)
		ear := p.listen(head)
		p.wipe()
		if again, err := p.process().Head(p.Context()); err != nil || again != kept[4].Offset {
			p.Errorf("the head is %d, %v; want %d", again, err, kept[4].Offset)
		}
		if err := p.db.Write(p.Context(), func(tx database.Tx) error { return old.Store(tx, lost) }); err != ErrMoved { //nolint:errorlint // it is not wrapped
			p.Errorf("what was lost is stored: %v", err)
		}
		fresh := p.posts(rooms[0], 2)
		fresh = append(fresh, p.post(rooms[1], "too"))
		if fresh[0].Sequence != 4 || fresh[2].Sequence != 3 || fresh[0].Offset <= head || fresh[0].Lamport <= kept[4].Lamport {
			p.Errorf("%+v", fresh)
		}
		p.storeAll()
		p.wantSame("the table", p.table(), slices.Concat(kept, fresh))
		p.wantEntries("who followed", ear.hears(p, 3), fresh)
	})
}

// Any number of processes make the log at once: one of them does.
func TestMadeAtOnce(t *testing.T) {
	onAllPairs(t, func(p *pair) {
		room := p.room()
		p.posts(room, 2)
		p.storeAll()
		for range 3 {
			p.wipe()
			bases := make([]int64, 20)
			together(len(bases), func(k int) {
				s, err := p.process().loadedState(p.Context())
				if err != nil {
					p.Error(err)
				}
				bases[k] = s.base
			})
			for _, base := range bases {
				if base != bases[0] {
					p.Errorf("the log begins after %v", bases)
				}
			}
			var stored int64
			must(p, p.db.Read(p.Context()).Gorm().Raw("SELECT stored_offset FROM message_log").Row().Scan(&stored))
			if stored != bases[0] {
				p.Errorf("the table is at %d, and the log begins after %d", stored, bases[0])
			}
		}
		// One whose turn has passed changes nothing.
		before := p.state()
		done, err := p.log.loadAs(p.Context(), "somebody who was frozen")
		if done || err != nil {
			p.Error(done, err)
		}
		p.storeAll()
		if p.state() != before {
			p.Errorf("%+v, and before %+v", p.state(), before)
		}
		if m := p.post(room, "next"); m.Sequence != 3 {
			p.Errorf("%+v", m)
		}
	})
}

// The process dies between storing and telling: the next one finds out, and stores nothing twice.
func TestDiedBeforeTelling(t *testing.T) {
	onAllPairs(t, func(p *pair) {
		said := p.posts(p.room(), 5)
		f := p.follower()
		batches, err := f.Next(p.Context())
		must(p, err)
		must(p, p.db.Write(p.Context(), func(tx database.Tx) error { return f.Store(tx, batches[:3]) }))
		if s := p.state(); s.stored != s.base {
			p.Errorf("%+v", s)
		}
		p.storeAll()
		p.wantSame("the table", p.table(), said)
		if s := p.state(); s.stored != s.offset {
			p.Errorf("%+v", s)
		}
		if _, err := f.Stored(p.Context(), batches[:3]); err != ErrMoved { //nolint:errorlint // it is not wrapped
			p.Errorf("one who comes late tells: %v", err)
		}
	})
}

// Redis has lost the end of what it had written, as without appendfsync always, and gives the same offsets again: the log is made anew, and the table keeps what it has.
func TestSetBack(t *testing.T) {
	onAllPairs(t, func(p *pair) {
		room := p.room()
		p.posts(room, 2)
		p.storeAll()
		dumps := map[string]any{}
		s, err := p.client.HGetAll(p.Context(), stateKey).Result()
		must(p, err)
		for field, value := range s {
			dumps[field] = value
		}
		p.posts(room, 3)
		p.storeAll()
		kept := p.table()
		must(p, p.client.HSet(p.Context(), stateKey, dumps).Err())
		must(p, p.client.HSet(p.Context(), roomsKey, string(room[:]), 2).Err())
		must(p, p.client.Del(p.Context(), logKey).Err())
		p.posts(room, 3) // by the numbers of those that were lost
		f := p.follower()
		if s := p.state(); s.base != f.base || s.stored != s.base {
			p.Errorf("%+v", s)
		}
		m := p.post(room, "anew")
		p.storeAll()
		if m.Sequence != 6 {
			p.Errorf("%+v", m)
		}
		p.wantSame("the table", p.table(), append(kept, m))
	})
}

// The database was set back behind what it had said to have stored: what the log still has is stored again.
func TestTableSetBack(t *testing.T) {
	onAllPairs(t, func(p *pair) {
		room := p.room()
		said := p.posts(room, 3)
		s := p.state()
		p.storeAll()
		must(p, p.db.Write(p.Context(), func(tx database.Tx) error {
			_, err := tx.Exec("DELETE FROM messages WHERE log_offset > ?", said[0].Offset)
			if err == nil {
				err = moveStored(tx, said[2].Offset, said[0].Offset)
			}
			return err
		}))
		said = append(said, p.post(room, "next"))
		p.storeAll()
		p.wantSame("the table", p.table(), said)
		if now := p.state(); now.stored != said[3].Offset || now.base != s.base {
			p.Errorf("%+v", now)
		}
	})
}

// Who waits for the database is told when it has the message, or that it never will.
func TestAwaitStored(t *testing.T) {
	onAllPairs(t, func(p *pair) {
		room := p.room()
		waiting := p.process()
		go waiting.Watch(p.Context())
		var posted [10]Posted
		answers := make([]chan error, len(posted))
		for i := range posted {
			var err error
			posted[i], err = waiting.Post(p.Context(), draftIn(room, "x"))
			must(p, err)
			answers[i] = make(chan error, 1)
			go func() { answers[i] <- waiting.AwaitStored(p.Context(), &posted[i]) }()
		}
		select {
		case err := <-answers[0]:
			p.Errorf("it is not stored, and who waits is told: %v", err)
		case <-time.After(50 * time.Millisecond):
		}
		p.storeAll()
		for i := range answers {
			must(p, <-answers[i])
		}
		must(p, waiting.AwaitStored(p.Context(), &posted[3]))
		lost, err := waiting.Post(p.Context(), draftIn(room, "lost"))
		must(p, err)
		go func() { answers[0] <- waiting.AwaitStored(p.Context(), &lost) }()
		p.wipe()
		p.state()
		if err := <-answers[0]; !refused(err, problem.Unavailable) {
			p.Error(err)
		}
	})
}
