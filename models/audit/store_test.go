package audit

import (
	"runtime"
	"strings"
	"testing"

	"guichet/models/database"
	"guichet/models/id"
	"guichet/models/problem"
	"guichet/models/testbed/stores"
)

// What is kept of refusals is their codes, however long the texts are that they are told with.
func TestRefusedKeepsCodesAlone(t *testing.T) { //nolint:paralleltest // it measures what is kept
	const refusals, length = 400, 60_000
	db, ids := stores.SQLite(t), id.NewGenerator()
	rows := database.Rows{Table: "outcomes", Columns: []string{"operation_id", "lane", "sequence", "status", "lamport", "started_at_us", "finished_at_us", "problem"}}
	detail := string(problem.SeatTaken) + "\n" + strings.Repeat("x", length)
	var first id.ID
	for n := range refusals {
		operation := ids.Next()
		if n == 0 {
			first = operation
		}
		rows.Add(operation[:], "events", n, "rejected", n, 1, 1, detail)
	}
	must(t, db.Write(t.Context(), rows.Insert))
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	refused, err := readRefused(db.Read(t.Context()), "events")
	must(t, err)
	if kept := heap() - before; kept > refusals*length/8 {
		t.Errorf("%d bytes are kept of %d refusals", kept, refusals)
	}
	if len(refused) != refusals || refused[first] != problem.SeatTaken {
		t.Errorf("%d were refused, the first with %q", len(refused), refused[first])
	}
}
