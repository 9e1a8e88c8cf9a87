package feed

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"guichet/models/database"
	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/operation"
	"guichet/models/testbed"
)

func TestMain(m *testing.M) { testbed.Main(m) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var generator = id.NewGenerator()

// plain is an entry that is not the end of an operation.
func plain(topic string, n int) Entry {
	return Entry{Topic: topic, Event: NoticeGiven, At: time.UnixMicro(int64(n)).UTC(), Lamport: lamport.Stamp(n), Data: json.RawMessage(fmt.Sprintf(`{"n":%d}`, n))}
}

// ended journals an operation with its outcome and returns the entry of its end.
func ended(t testing.TB, db *database.DB, user id.ID, n int) Entry {
	t.Helper()
	at := time.UnixMicro(int64(n)).UTC()
	c := operation.Command{ID: generator.Next(), UserID: user, Lane: "bank", Kind: "deposit", Payload: json.RawMessage(`{}`), Lamport: lamport.Stamp(n), SubmittedAt: at}
	outcome := operation.Outcome{OperationID: c.ID, Sequence: int64(n), Status: operation.Succeeded, Lamport: lamport.Stamp(n), StartedAt: at, FinishedAt: at, Result: json.RawMessage(fmt.Sprintf(`{"n":%d}`, n))}
	must(t, db.Write(t.Context(), func(tx database.Tx) error {
		if err := operation.Append(tx, "bank", []operation.Command{c}); err != nil {
			return err
		}
		return operation.Conclude(tx, "bank", []operation.Outcome{outcome})
	}))
	o := operation.Operation{Command: c, Outcome: &outcome}
	return Entry{Topic: UserTopic(user), Event: OperationFinished, At: at, Lamport: outcome.Lamport, OperationID: c.ID, Data: o.AppendJSON(nil)}
}

// commit appends entries in a transaction of their own and returns them with their positions.
func commit(t testing.TB, db *database.DB, entries ...Entry) []Entry {
	t.Helper()
	must(t, db.Write(t.Context(), func(tx database.Tx) error { return Append(tx, entries) }))
	return entries
}
