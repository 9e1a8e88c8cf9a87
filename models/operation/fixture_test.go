package operation

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"guichet/models/database"
	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/problem"
	"guichet/models/testbed"
	"guichet/models/testbed/stores"
)

func TestMain(m *testing.M) { testbed.Main(m) }

const lane = "bank"

// fixture is a store with two lanes, and a process that accepts and executes nothing in particular.
type fixture struct {
	*testing.T
	db      *database.DB
	journal *Journal
	ids     *id.Generator
	clock   lamport.Clock
	user    id.ID
}

// onBothStores runs a test on SQLite and on MariaDB.
func onBothStores(t *testing.T, test func(f *fixture)) {
	t.Helper()
	stores.Each(t, func(t *testing.T, db *database.DB) {
		must(t, EnsureLanes(t.Context(), db, []string{lane, "other"}))
		f := &fixture{T: t, db: db, journal: NewJournal(db), ids: id.NewGenerator()}
		f.user = f.ids.Next()
		test(f)
	})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// write runs fn in a transaction.
func (f *fixture) write(fn func(tx database.Tx) error) {
	f.Helper()
	must(f, f.db.Write(f.Context(), fn))
}

// accept journals a batch of n commands.
func (f *fixture) accept(lane string, n int) []Command {
	f.Helper()
	base := f.ids.Next()
	commands := make([]Command, n)
	for i := range commands {
		commands[i] = Command{ID: base.WithIndex(i), UserID: f.user, Lane: lane, Kind: "deposit", Payload: json.RawMessage(fmt.Sprintf(`{"n":%d}`, i)),
			Lamport: f.clock.Tick(), SubmittedAt: time.Now().UTC().Truncate(time.Microsecond), Traceparent: "00-trace"}
	}
	f.write(func(tx database.Tx) error { return Append(tx, lane, commands) })
	return commands
}

func batchOf(commands []Command) Batch { return Batch{commands[0].ID, len(commands)} }

// end gives the commands of one batch, which waits, their outcomes: those of the given statuses, in their order.
func (f *fixture) end(commands []Command, statuses ...Status) []Outcome {
	f.Helper()
	now := time.Now().UTC().Truncate(time.Microsecond)
	var outcomes []Outcome
	f.write(func(tx database.Tx) error {
		state, err := LockLane(tx, commands[0].Lane)
		must(f, err)
		n, err := Take(tx, commands[0].Lane, []Batch{batchOf(commands)})
		must(f, err)
		if n != 1 {
			f.Fatalf("took %d batches", n)
		}
		outcomes = outcomes[:0]
		for i, c := range commands {
			o := Outcome{OperationID: c.ID, Sequence: state.Sequence + int64(i) + 1, Status: statuses[i], Lamport: f.clock.Tick(), StartedAt: now, FinishedAt: now.Add(time.Microsecond)}
			switch statuses[i] {
			case Succeeded:
				o.Result = json.RawMessage(`{"done":true}`)
			case Failed:
				o.Problem = problem.New(problem.OperationFailed, "a fault")
				must(f, Park(tx, c.ID, "division by zero", now))
			default:
				o.Problem = problem.New(problem.InsufficientFunds, "no\nmoney")
			}
			outcomes = append(outcomes, o)
		}
		must(f, Conclude(tx, commands[0].Lane, outcomes))
		return AdvanceLane(tx, commands[0].Lane, state.Sequence+int64(len(commands)), f.clock.Now())
	})
	return outcomes
}

func (f *fixture) get(operation id.ID) *Operation {
	f.Helper()
	o, err := f.journal.Get(f.Context(), operation, id.ID{})
	must(f, err)
	return o
}

// waiting is the batches that wait in a lane.
func (f *fixture) waiting(lane string) []Batch {
	f.Helper()
	batches, err := Waiting(f.db.Read(f.Context()), lane, id.ID{}, 100)
	must(f, err)
	return batches
}
