package operation

import (
	"context"
	"database/sql"
	"slices"
	"sort"
	"strings"
	"time"

	"guichet/models/database"
	"guichet/models/id"
)

// maxLongWaiting bounds how many operations LongWaiting looks at: several lines at their longest.
const maxLongWaiting = 50_000

// LongWaiting finds the operations of users that were submitted by a time and wait, oldest first, with their places in line as Get has them. It is one query while
// nothing has waited for so long, and three otherwise, however many lanes and users there are. Where more than maxLongWaiting of the users' operations
// are younger than the oldest that waits, some are left out.
func (j *Journal) LongWaiting(ctx context.Context, users []id.ID, by time.Time) ([]Operation, error) {
	tx := j.db.Read(ctx)
	lanes, err := lanesWaitingSince(tx, by)
	if err != nil || len(lanes) == 0 || len(users) == 0 {
		return nil, err
	}
	lines, err := readLines(tx, lanes)
	if err != nil || len(lines) == 0 {
		return nil, err
	}
	first, last := lines.span()
	where, args := "id BETWEEN ? AND ? AND submitted_at_us <= ? ORDER BY id", []any{first[:], last[:], Micro(by)}
	if len(users) <= askAtOnce { // of more, it is as well to read everybody's
		where = "user_id IN " + database.Placeholders(len(users)) + " AND " + strings.Replace(where, "ORDER BY id", "ORDER BY user_id, id", 1)
		args = append(id.Args(users), args...)
	}
	asked := make(map[id.ID]bool, len(users))
	for i := range users {
		asked[users[i]] = true
	}
	var found []Operation
	err = tx.Query(func(rows *sql.Rows) error {
		for rows.Next() {
			var o Operation
			var submitted int64
			if err := rows.Scan(&o.ID, &o.UserID, &o.Lane, &o.Kind, &o.Lamport, &submitted); err != nil {
				return err
			}
			position, waits := lines[o.Lane].place(o.ID)
			if waits && asked[o.UserID] {
				o.SubmittedAt, o.Position = FromMicro(submitted), position
				found = append(found, o)
			}
		}
		return rows.Err()
	}, "SELECT id, user_id, lane, kind, lamport, submitted_at_us FROM operations WHERE "+where+" LIMIT ?", append(args, maxLongWaiting)...)
	slices.SortFunc(found, func(a, b Operation) int { return strings.Compare(string(a.ID[:]), string(b.ID[:])) })
	return found, err
}

// lanesWaitingSince names the lanes in which something waits that was journaled by a time.
func lanesWaitingSince(tx database.Tx, by time.Time) (lanes []any, err error) {
	err = tx.Query(func(rows *sql.Rows) error {
		for rows.Next() {
			var lane string
			var oldest id.ID
			if err := rows.Scan(&lane, &oldest); err != nil {
				return err
			}
			if !oldest.Time().After(by) {
				lanes = append(lanes, lane)
			}
		}
		return rows.Err()
	}, "SELECT lane, MIN(id) FROM journal_batches GROUP BY lane")
	return lanes, err
}

// lines are what waits in some lanes.
type lines map[string]*line

// line is what waits in one lane, in order.
type line struct {
	batches []Batch
	before  []int64 // how many operations wait before each of the batches
	length  int64
}

func readLines(tx database.Tx, lanes []any) (lines, error) {
	read := lines{}
	return read, tx.Query(func(rows *sql.Rows) error {
		for rows.Next() {
			var lane string
			var b Batch
			if err := rows.Scan(&lane, &b.ID, &b.Operations); err != nil {
				return err
			}
			if read[lane] == nil {
				read[lane] = &line{}
			}
			read[lane].add(b)
		}
		return rows.Err()
	}, "SELECT lane, id, operations FROM journal_batches WHERE lane IN "+database.Placeholders(len(lanes))+" ORDER BY lane, id LIMIT ?", append(lanes, maxLine)...)
}

// span is from the first operation that waits in any of the lines to the last.
func (l lines) span() (first, last id.ID) {
	for _, one := range l {
		if head := one.batches[0].ID; first.IsZero() || head.Less(first) {
			first = head
		}
		tail := one.batches[len(one.batches)-1]
		if end := tail.ID.WithIndex(tail.ID.Index() + tail.Operations - 1); last.Less(end) {
			last = end
		}
	}
	return first, last
}

func (l *line) add(b Batch) {
	l.batches, l.before = append(l.batches, b), append(l.before, l.length)
	l.length += int64(b.Operations)
}

// place is how many wait before an operation, and whether it waits itself. A nil line is empty.
func (l *line) place(operation id.ID) (position int64, waits bool) {
	if l == nil {
		return 0, false
	}
	next := sort.Search(len(l.batches), func(i int) bool { return operation.Less(l.batches[i].ID) })
	if next == 0 {
		return 0, false
	}
	b := l.batches[next-1]
	past := operation.Index() - b.ID.Index()
	return l.before[next-1] + int64(past), b.ID.Base() == operation.Base() && past < b.Operations
}
