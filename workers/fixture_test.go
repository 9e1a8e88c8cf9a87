package workers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"guichet/models/database"
	"guichet/models/feed"
	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/operation"
	"guichet/models/problem"
	"guichet/models/testbed"
	"guichet/models/testbed/stores"
)

func TestMain(m *testing.M) {
	redis.SetLogger(&logging.VoidLogger{}) // servers are killed here
	testbed.Main(m)
}

const fakeLane = "fake"

// order is the payload of the commands of the tests.
type order struct {
	Text string `json:"text"` // more than 8 characters cannot be stored, ever
	Bug  string `json:"bug"`  // load, decide, decide at length, store: where the command panics; refuse: a rule says no
}

// fakeCounter executes orders: each leaves one row in the table effects.
type fakeCounter struct {
	mu      sync.Mutex
	loads   []int                                              // commands of each envelope loaded
	onLoad  func(tx database.Tx, commands []operation.Command) // called outside mu
	onStore func(tx database.Tx)
	loadErr func() error // what loading fails with; nil for nothing
}

type fakeRound struct {
	*fakeCounter
	effects []operation.Command
	broken  bool
}

func (f *fakeCounter) load(tx database.Tx, commands []operation.Command) (round, error) {
	f.mu.Lock()
	f.loads = append(f.loads, len(commands))
	f.mu.Unlock()
	if f.onLoad != nil {
		f.onLoad(tx, commands)
	}
	if f.loadErr != nil {
		if err := f.loadErr(); err != nil {
			return nil, err
		}
	}
	for i := range commands {
		if orderOf(&commands[i]).Bug == "load" {
			panic("a bug in load")
		}
	}
	return &fakeRound{fakeCounter: f}, nil
}

func (f *fakeCounter) loaded() []int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.loads)
}

func (r *fakeRound) lastStamp() lamport.Stamp { return 0 }

func (r *fakeRound) decide(c *operation.Command, _ lamport.Stamp, _ time.Time) decision {
	switch o := orderOf(c); o.Bug {
	case "decide":
		panic(o.Text)
	case "decide at length":
		panic(strings.Repeat("\xff\x00é", 50_000)) // more than a column takes, and not text
	case "refuse":
		return decision{refusal: problem.New(problem.InsufficientFunds, "no")}
	case "store":
		r.broken = true
	}
	r.effects = append(r.effects, *c)
	return decision{result: []byte(`{}`)}
}

func (f *fakeCounter) forget() {}

func (r *fakeRound) prepare(database.Tx) error { return nil }

func (r *fakeRound) store(tx database.Tx) ([]feed.Entry, error) {
	if r.onStore != nil {
		r.onStore(tx)
	}
	rows := database.Rows{Table: "effects", Columns: []string{"operation_id", "text"}}
	for i := range r.effects {
		c := &r.effects[i]
		rows.Add(c.ID[:], orderOf(c).Text)
	}
	if err := rows.Insert(tx); err != nil {
		return nil, err
	}
	if r.broken {
		panic("a bug in store")
	}
	return nil, nil
}

func orderOf(c *operation.Command) order {
	var o order
	if err := json.Unmarshal(c.Payload, &o); err != nil {
		panic(err)
	}
	return o
}

// rig is a store with a lane of orders.
type rig struct {
	testing.TB
	db      *database.DB
	ids     *id.Generator
	counter *fakeCounter
	clock   lamport.Clock
	feed    *feed.Publisher
	metrics metrics
}

// onBothStores runs a test on SQLite and on MariaDB.
func onBothStores(t *testing.T, test func(t *testing.T, r *rig)) {
	t.Helper()
	stores.Each(t, func(t *testing.T, db *database.DB) { test(t, newRig(t, db)) })
}

func newRig(t testing.TB, db *database.DB) *rig {
	t.Helper()
	r := &rig{TB: t, db: db, ids: id.NewGenerator(), counter: &fakeCounter{}, feed: feed.NewPublisher(nil, nil), metrics: newMetrics(prometheus.NewRegistry())}
	r.exec("CREATE TABLE effects (operation_id BINARY(16) NOT NULL, text VARCHAR(8) NOT NULL CHECK (LENGTH(text) <= 8))")
	if err := operation.EnsureLanes(t.Context(), db, []string{fakeLane}); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) exec(sql string, args ...any) {
	r.Helper()
	err := r.db.Write(r.Context(), func(tx database.Tx) error {
		_, err := tx.Exec(sql, args...)
		return err
	})
	if err != nil {
		r.Fatal(err)
	}
}

// query is one number from the store.
func (r *rig) query(sql string, args ...any) (n int64) {
	r.Helper()
	if err := r.db.Read(r.Context()).Gorm().Raw(sql, args...).Row().Scan(&n); err != nil {
		r.Fatal(err)
	}
	return n
}

// executor seizes the lane as a new holder.
func (r *rig) executor() *executor {
	r.Helper()
	lane, err := r.db.Lane()
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { _ = r.db.CloseLane(lane) })
	state, err := operation.SeizeLane(r.Context(), lane, fakeLane, "test")
	if err != nil {
		r.Fatal(err)
	}
	return &executor{
		lane: fakeLane, fence: state.Fence, db: lane, counter: r.counter, clock: &r.clock, publisher: r.feed, metrics: r.metrics.lane(fakeLane),
		stopping: r.Context().Done(),
	}
}

// journal writes a batch of orders, as an intake does, and returns the envelope that it would enqueue.
func (r *rig) journal(orders ...order) *operation.Envelope {
	r.Helper()
	return r.journalAs(r.ids.Next(), orders...)
}

func (r *rig) journalAs(base id.ID, orders ...order) *operation.Envelope {
	r.Helper()
	commands := make([]operation.Command, len(orders))
	for i, o := range orders {
		payload, err := json.Marshal(o)
		if err != nil {
			r.Fatal(err)
		}
		commands[i] = operation.Command{
			ID: base.WithIndex(i), UserID: r.ids.Next(), Lane: fakeLane, Kind: "order", Payload: payload,
			Lamport: r.clock.Tick(), SubmittedAt: time.Now().UTC().Truncate(time.Microsecond),
		}
	}
	if err := r.db.Write(r.Context(), func(tx database.Tx) error { return operation.Append(tx, fakeLane, commands) }); err != nil {
		r.Fatal(err)
	}
	e := &operation.Envelope{}
	e.Add(operation.Batch{ID: base, Operations: len(commands)}, commands)
	return e
}

// merge is one envelope of several.
func merge(envelopes ...*operation.Envelope) *operation.Envelope {
	all := &operation.Envelope{}
	for _, e := range envelopes {
		all.Batches = append(all.Batches, e.Batches...)
		all.Commands = append(all.Commands, e.Commands...)
	}
	return all
}

// mustExecute executes an envelope.
func (r *rig) mustExecute(x *executor, e *operation.Envelope) {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	if err := x.execute(ctx, e); err != nil {
		r.Fatalf("execute: %v", err)
	}
}

// ended is an outcome, as the table has it.
type ended struct {
	OperationID id.ID
	Sequence    int64
	Status      string
	Lamport     int64
}

// outcomes reads all outcomes in the order of their sequence.
func (r *rig) outcomes() []ended {
	r.Helper()
	var rows []ended
	err := r.db.Read(r.Context()).Gorm().Raw("SELECT operation_id, sequence, status, lamport FROM outcomes WHERE lane = ? ORDER BY sequence", fakeLane).Scan(&rows).Error
	if err != nil {
		r.Fatal(err)
	}
	return rows
}

// expectStatuses expects outcomes with these statuses, in the order of execution, and checks everything that holds of any lane at rest.
func (r *rig) expectStatuses(want ...string) {
	r.Helper()
	outcomes := r.outcomes()
	var got []string
	for _, o := range outcomes {
		got = append(got, o.Status)
	}
	if !slices.Equal(got, want) {
		r.Errorf("outcomes %v, want %v", got, want)
	}
	if err := r.check(outcomes); err != nil {
		r.Error(err)
	}
}

// check: nothing waits, sequences and feed positions are dense, stamps ascend, what succeeded has had its effect once, and nothing else any.
func (r *rig) check(outcomes []ended) error {
	r.Helper()
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if n := r.query("SELECT COUNT(*) FROM journal_batches"); n != 0 {
		fail("%d batches still wait", n)
	}
	replays := r.query("SELECT COALESCE(SUM(replays), 0) FROM parked_operations")
	var before ended
	succeeded := map[id.ID]int{}
	for _, o := range outcomes {
		if o.Sequence != before.Sequence+1 && replays == 0 || o.Lamport <= before.Lamport {
			fail("outcome %d at %d follows %d at %d", o.Sequence, o.Lamport, before.Sequence, before.Lamport)
		}
		before = o
		if o.Status == string(operation.Succeeded) {
			succeeded[o.OperationID] = 1
		}
	}
	if last := r.query("SELECT sequence FROM lanes WHERE name = ?", fakeLane); last != before.Sequence || int64(len(outcomes))+replays != last {
		fail("%d outcomes and %d replays; the lane is at %d and its last outcome at %d", len(outcomes), replays, last, before.Sequence)
	}
	if told, head := r.query("SELECT COUNT(*) FROM feed_entries"), r.query("SELECT position FROM feed_head"); told != before.Sequence || head != 2*told {
		fail("%d entries, the head is at %d, and %d outcomes were made", told, head, before.Sequence)
	}
	if parked, failed := r.query("SELECT COUNT(*) FROM parked_operations WHERE parked"), r.query("SELECT COUNT(*) FROM outcomes WHERE status = 'failed'"); parked != failed {
		fail("%d are parked and %d have failed", parked, failed)
	}
	effects := map[id.ID]int{}
	var ids []id.ID
	if err := r.db.Read(r.Context()).Gorm().Raw("SELECT operation_id FROM effects").Scan(&ids).Error; err != nil {
		fail("%w", err)
	}
	for _, i := range ids {
		effects[i]++
	}
	for i, n := range effects {
		if n != succeeded[i] {
			fail("operation %s has had its effect %d times, want %d", i, n, succeeded[i])
		}
	}
	if len(effects) != len(succeeded) {
		fail("%d have succeeded and %d have had an effect", len(succeeded), len(effects))
	}
	return errors.Join(errs...)
}

// inOrder: the outcomes are those of the envelopes' commands, in that order.
func (r *rig) inOrder(envelopes ...*operation.Envelope) {
	r.Helper()
	var want, got []id.ID
	for i := range envelopes {
		for _, c := range envelopes[i].Commands {
			want = append(want, c.ID)
		}
	}
	for _, o := range r.outcomes() {
		got = append(got, o.OperationID)
	}
	if !slices.Equal(got, want) {
		r.Errorf("executed\n%v, want\n%v", got, want)
	}
}
