package messages

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"guichet/models/chat"
	"guichet/models/database"
	"guichet/models/feed"
	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/operation"
	"guichet/models/problem"
	"guichet/models/testbed"
	"guichet/models/testbed/stores"
)

func TestMain(m *testing.M) { testbed.Main(m) }

var ids = id.NewGenerator()

// patience of clients and of logs, for slow machines.
const patience = time.Minute

// pair is a Redis and a database, with a log of one process.
type pair struct {
	*testing.T
	client redis.UniversalClient
	db     *database.DB
	log    *Log
}

// onAllPairs runs a test on miniredis with SQLite, on Redis with MariaDB, and on a cluster, where a script fails that touches a key of another slot.
func onAllPairs(t *testing.T, test func(p *pair)) {
	t.Helper()
	t.Parallel()
	run := func(name string, client func(t *testing.T) redis.UniversalClient, open func(tb testing.TB) *database.DB) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := &pair{T: t, db: open(t), client: client(t)}
			t.Cleanup(func() { _ = p.client.Close() })
			p.log = p.process()
			test(p)
		})
	}
	run("embedded", func(t *testing.T) redis.UniversalClient {
		return redis.NewClient(&redis.Options{Addr: miniredis.RunT(t).Addr(), ContextTimeoutEnabled: true, ReadTimeout: patience})
	}, stores.SQLite)
	run("mariadb", func(t *testing.T) redis.UniversalClient {
		options, err := redis.ParseURL(testbed.Redis(t))
		must(t, err)
		options.ContextTimeoutEnabled, options.ReadTimeout = true, patience
		return redis.NewClient(options)
	}, func(tb testing.TB) *database.DB { return stores.MySQL(tb, testbed.MySQL(tb)) })
	run("cluster", startCluster, stores.SQLite)
}

// startCluster starts a cluster of one.
func startCluster(t *testing.T) redis.UniversalClient {
	bus := testbed.PrivateRedis(t, testbed.Options{Relaxed: true}) // its port is given to nobody else
	must(t, bus.Kill())
	server := testbed.PrivateRedis(t, testbed.Options{Args: []string{"--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(bus.Port()), "--cluster-announce-ip", "127.0.0.1"}})
	options, err := redis.ParseURL(server.URL())
	must(t, err)
	node := redis.NewClient(options)
	defer node.Close() //nolint:errcheck // only sets the cluster up
	must(t, node.ClusterAddSlotsRange(t.Context(), 0, 16383).Err())
	eventually(t, func() bool { return strings.Contains(node.ClusterInfo(t.Context()).Val(), "cluster_state:ok") })
	return redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{options.Addr}, ContextTimeoutEnabled: true, ReadTimeout: patience})
}

// process is the log as another process has it.
func (p *pair) process() *Log {
	log := NewLog(p.client, p.db, &lamport.Clock{})
	log.patience = patience
	return log
}

// room opens a room.
func (p *pair) room() id.ID {
	p.Helper()
	room := ids.Next()
	must(p, p.db.Write(p.Context(), func(tx database.Tx) error {
		_, err := tx.Exec("INSERT INTO rooms (id, name, name_key, topic, opened_at_us, lamport) VALUES (?, ?, ?, '', 0, 0)", room[:], room.String(), room.String())
		return err
	}))
	return room
}

func draftIn(room id.ID, text string) *Draft {
	return &Draft{Room: room, UserID: ids.Next(), Username: "ada", Text: text}
}

// post says something in a room.
func (p *pair) post(room id.ID, text string) Message {
	p.Helper()
	posted, err := p.log.Post(p.Context(), draftIn(room, text))
	must(p, err)
	return posted.Message
}

// posts says so many things in a room.
func (p *pair) posts(room id.ID, n int) (said []Message) {
	p.Helper()
	for i := range n {
		said = append(said, p.post(room, fmt.Sprint("number ", i)))
	}
	return said
}

func (p *pair) follower() *Follower {
	p.Helper()
	f, err := p.log.NewFollower(p.Context(), p.db)
	must(p, err)
	return f
}

// storeSome writes what one transaction may.
func (p *pair) storeSome(f *Follower) (int, error) {
	p.Helper()
	batches, err := f.Next(p.Context())
	if err != nil || len(batches) == 0 {
		return 0, err
	}
	if err := p.db.Write(p.Context(), func(tx database.Tx) error { return f.Store(tx, batches) }); err != nil {
		return 0, err
	}
	n := 0
	for i := range batches {
		n += len(batches[i].Messages)
	}
	_, err = f.Stored(p.Context(), batches)
	return n, err
}

// storeAll has the table follow up to the end.
func (p *pair) storeAll() {
	p.Helper()
	for f := p.follower(); ; {
		n, err := p.storeSome(f)
		must(p, err)
		if n == 0 {
			return
		}
	}
}

// table is all that the table has.
func (p *pair) table() []Message {
	p.Helper()
	rows, err := tableBetween(p.db.Read(p.Context()), 0, 1<<53, nil, 1_000_000)
	must(p, err)
	return rows
}

// wipe has Redis lose all it has.
func (p *pair) wipe() {
	p.Helper()
	must(p, p.client.FlushDB(p.Context()).Err())
}

func (p *pair) state() state {
	p.Helper()
	s, err := p.log.loadedState(p.Context())
	must(p, err)
	return s
}

// wantSame compares what was said with what is found.
func (p *pair) wantSame(what string, got, want []Message) {
	p.Helper()
	if len(got) != len(want) {
		p.Fatalf("%s: %d messages; want %d", what, len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			p.Fatalf("%s: message %d is %+v; want %+v", what, i, got[i], want[i])
		}
	}
}

func (p *pair) wantEntries(what string, got []feed.Entry, want []Message) {
	p.Helper()
	if len(got) != len(want) {
		p.Fatalf("%s: %d entries; want %d", what, len(got), len(want))
	}
	for i := range got {
		e := &want[i]
		if got[i].Offset != e.Offset || got[i].Event != feed.MessagePosted || got[i].Topic != chat.Topic(e.Room) || got[i].Lamport != e.Lamport || string(got[i].Data) != string(e.AppendJSON(nil)) {
			p.Fatalf("%s: entry %d is %+v; want that of %+v", what, i, got[i], *e)
		}
	}
}

// ear follows a log.
type ear struct {
	mu    sync.Mutex
	heard []feed.Entry
	stop  func()
}

// listen follows the log of another process from an offset on.
func (p *pair) listen(after int64) *ear {
	ctx, cancel := context.WithCancel(context.WithoutCancel(p.Context()))
	e := &ear{}
	var done sync.WaitGroup
	log := p.process()
	done.Go(func() {
		for ctx.Err() == nil {
			err := log.Follow(ctx, after, func(entries []feed.Entry) {
				e.mu.Lock()
				defer e.mu.Unlock()
				e.heard = append(e.heard, entries...)
				after = entries[len(entries)-1].Offset
			})
			if err != nil && !errors.Is(err, context.Canceled) {
				p.Log(err)
			}
		}
	})
	e.stop = func() { cancel(); done.Wait() }
	p.Cleanup(e.stop)
	return e
}

// hears waits until so many entries were told, and returns them.
func (e *ear) hears(t testing.TB, n int) []feed.Entry {
	t.Helper()
	eventually(t, func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		return len(e.heard) >= n
	})
	e.stop()
	return e.heard
}

// keyOf is an idempotency key of a user's.
func keyOf(user id.ID, key, request string) *operation.Key {
	return &operation.Key{User: user, Hash: operation.HashKey(key), Request: operation.HashKey(request)}
}

func refused(err error, code problem.Code) bool {
	p, is := err.(*problem.Problem) //nolint:errorlint // refusals are not wrapped
	return is && p.Code == code
}

// together runs n calls at once.
func together(n int, call func(k int)) {
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	for k := range n {
		ready.Add(1)
		done.Go(func() {
			ready.Done()
			<-start
			call(k)
		})
	}
	ready.Wait()
	close(start)
	done.Wait()
}

// eventually waits for a condition.
func eventually(t testing.TB, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("not in 30 s")
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
