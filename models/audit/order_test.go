package audit

import (
	"testing"

	"guichet/models/bank"
	"guichet/models/problem"
)

// TestUnknownThenOpened: a lane whose clock is far ahead refuses an account as unknown, and then it is opened by a process whose clock is behind. The refusal
// has left no stamp on the account, which was not there; the opening must come after it all the same, whichever lane it was.
func TestUnknownThenOpened(t *testing.T) {
	onBothStores(t, func(t *testing.T, h *house) {
		behind, ahead := h.process(3), h.process(900_000)
		behind.open("ADA1")
		for _, e := range []struct {
			lane    string
			command command
		}{{bank.Lane, transfer("ADA1", "LATE1", 1, "")}, {holdsLane, authorise("LATE2", 1)}} {
			ahead.execute(ahead.accept(e.lane, e.command))
		}
		behind.open("LATE1")
		behind.open("LATE2")
		behind.execute(behind.accept(bank.Lane, deposit("LATE1", 5), deposit("LATE2", 5)))
		behind.execute(behind.accept(holdsLane, authorise("LATE2", 5)))
		expectHolds(t, h)
	})
}

// TestAcrossLanes: what one lane's refusal and another's success depended on is ordered by the stamps of the account, though no clock knows of the other.
func TestAcrossLanes(t *testing.T) {
	onBothStores(t, func(t *testing.T, h *house) {
		ahead, behind := h.process(900_000), h.process(3)
		behind.open("ADA1")
		ahead.execute(ahead.accept(bank.Lane, deposit("ADA1", 10)))
		for range 3 { // refused while all is held, accepted when it is not, in turn
			e := behind.accept(holdsLane, authorise("ADA1", 10))
			behind.execute(e)
			ahead.execute(ahead.accept(bank.Lane, withdrawal("ADA1", 1)))
			behind.execute(behind.accept(holdsLane, authorise("ADA1", 1), release(e.Commands[0].ID, "ADA1", 10)))
			ahead.execute(ahead.accept(bank.Lane, withdrawal("ADA1", 10), deposit("ADA1", 10)))
		}
		var refused int
		must(t, h.db.Read(t.Context()).Gorm().Raw("SELECT COUNT(*) FROM outcomes WHERE status = 'rejected' AND problem LIKE ?", string(problem.InsufficientFunds)+"%").Row().Scan(&refused))
		if refused != 6 {
			t.Errorf("%d operations were refused", refused)
		}
		expectHolds(t, h)
	})
}

func expectHolds(t *testing.T, h *house) {
	t.Helper()
	report, err := Run(t.Context(), h.db)
	must(t, err)
	if !report.Holds() {
		t.Errorf("findings:%s", findings(report.Checks))
	}
}
