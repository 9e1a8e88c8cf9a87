package feed

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"guichet/models/database"
	"guichet/models/testbed/stores"
)

// Transactions that add entries at the same time, of which some are undone, leave neither holes nor doubles.
func TestAppendIsDense(t *testing.T) {
	stores.Each(t, func(t *testing.T, db *database.DB) {
		const writers, each = 8, 10
		var all sync.WaitGroup
		for w := range writers {
			all.Go(func() {
				for n := range each {
					entries := make([]Entry, 1+n%3)
					for i := range entries {
						entries[i] = plain(fmt.Sprint("topic", w), n)
					}
					err := db.Write(t.Context(), func(tx database.Tx) error {
						if err := Append(tx, entries); err != nil {
							return err
						}
						if n%4 == 3 {
							return errUndone
						}
						return nil
					})
					if err != nil && err != errUndone { //nolint:errorlint // it is this very value
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		log := NewLog(db)
		head, err := log.Head(t.Context())
		must(t, err)
		entries, err := log.Between(t.Context(), 0, head, nil, 10_000)
		must(t, err)
		if int64(len(entries)) != head {
			t.Errorf("%d entries, and the head is at %d", len(entries), head)
		}
		for i := range entries {
			if entries[i].Position != int64(i+1) {
				t.Fatalf("entry %d has position %d", i, entries[i].Position)
			}
		}
	})
}

var errUndone = fmt.Errorf("undone")

func TestBetweenReadsWhatWasAppended(t *testing.T) {
	stores.Each(t, func(t *testing.T, db *database.DB) {
		user, other := generator.Next(), generator.Next()
		log := NewLog(db)
		written := commit(t, db, plain("a", 1), ended(t, db, user, 2), plain("b", 3), ended(t, db, other, 4))
		if got := fmt.Sprint(positions(written)); got != "[1 3 4 6]" {
			t.Fatalf("positions %s: an operation's end has two", got)
		}
		all, err := log.Between(t.Context(), 0, 6, nil, 10)
		must(t, err)
		for i := range all {
			if got, want := framesOf(&all[i], Place{}), framesOf(&written[i], Place{}); got != want {
				t.Errorf("entry %d is read as\n%swant\n%s", i, got, want)
			}
		}
		for _, c := range []struct {
			after, until int64
			topics       []string
			limit        int
			want         string
		}{
			{0, 6, []string{"a", "b"}, 10, "[1 4]"},
			{0, 6, []string{UserTopic(user)}, 10, "[3]"},
			{2, 6, nil, 10, "[3 4 6]"}, // in between a start and its end
			{3, 5, nil, 10, "[4]"},
			{0, 6, nil, 2, "[1 3]"},
			{6, 6, nil, 10, "[]"},
			{0, 6, []string{"nobody's"}, 10, "[]"},
		} {
			found, err := log.Between(t.Context(), c.after, c.until, c.topics, c.limit)
			must(t, err)
			if got := fmt.Sprint(positions(found)); got != c.want {
				t.Errorf("%+v: %s", c, got)
			}
		}
	})
}

func TestLogStart(t *testing.T) {
	stores.Each(t, func(t *testing.T, db *database.DB) {
		log := NewLog(db)
		expect := func(want int64) {
			t.Helper()
			if got, err := log.Start(t.Context()); err != nil || got != want {
				t.Errorf("the log starts after %d, %v; want %d", got, err, want)
			}
		}
		expect(0)
		// Positions 1, 3 (its start: 2), 4, 5; written at 1, 2, 3 and 4 µs.
		commit(t, db, plain("a", 1), ended(t, db, generator.Next(), 2), plain("a", 3), plain("a", 4))
		expect(0)
		for _, c := range []struct {
			before int64 // µs
			start  int64
		}{{1, 0}, {2, 1}, {3, 3}, {4, 4}, {5, 5}} {
			_, err := log.Trim(t.Context(), time.UnixMicro(c.before), 1)
			must(t, err)
			expect(c.start)
		}
		commit(t, db, ended(t, db, generator.Next(), 6))
		expect(5)
	})
}

func TestTrimIsBounded(t *testing.T) {
	stores.Each(t, func(t *testing.T, db *database.DB) {
		log := NewLog(db)
		if n, err := log.Trim(t.Context(), time.Now(), 2); err != nil || n != 0 {
			t.Fatal(n, err)
		}
		commit(t, db, plain("a", 1), plain("a", 2), plain("a", 3), plain("a", 4), plain("a", 5))
		var deleted []int64
		for {
			n, err := log.Trim(t.Context(), time.UnixMicro(5), 2)
			must(t, err)
			if n == 0 {
				break
			}
			deleted = append(deleted, n)
		}
		if got := fmt.Sprint(deleted); got != "[2 2]" {
			t.Errorf("deleted %s", got)
		}
	})
}

// An operation's end stands for its start, too: a reader that has seen only the start gets the end.
// What is not kept has no position, so that a reader's stays what it was.
func TestPassing(t *testing.T) {
	t.Parallel()
	e := Entry{Event: OperationQueued, At: time.UnixMicro(1_000_001), Lamport: 5, Data: json.RawMessage(`{"id":"x","lamport":3}`)}
	if got, want := string(e.Passing([]byte("a"))), "aevent: operation.queued\ndata: {\"at\":\"1970-01-01T00:00:01.000001Z\",\"id\":\"x\",\"lamport\":3}\n\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestFrames(t *testing.T) {
	t.Parallel()
	db := stores.SQLite(t)
	e := commit(t, db, plain("a", 1), ended(t, db, generator.Next(), 2))[1]
	for _, c := range []struct {
		after int64
		want  []string
	}{
		{0, []string{"id: 2\nevent: operation.started", "id: 3\nevent: operation.finished"}},
		{1, []string{"id: 2\nevent: operation.started", "id: 3\nevent: operation.finished"}},
		{2, []string{"id: 3\nevent: operation.finished"}},
		{3, nil},
	} {
		text := framesOf(&e, Place{Position: c.after})
		frames := strings.Split(strings.TrimSuffix(text, "\n\n"), "\n\n")
		if text == "" {
			frames = nil
		}
		if len(frames) != len(c.want) {
			t.Fatalf("after %d: %q", c.after, frames)
		}
		for i, frame := range frames {
			if !strings.HasPrefix(frame, c.want[i]+"\ndata: ") {
				t.Errorf("after %d: %q", c.after, frame)
			}
			checkData(t, frame)
		}
	}
	for _, data := range []string{`{}`, `{"a":1}`} {
		plain := Entry{Position: 9, Event: Gap, At: time.UnixMicro(1), Lamport: 5, Data: json.RawMessage(data)}
		checkData(t, strings.TrimSuffix(string(plain.FrameAt(nil, Place{9, 0})), "\n\n"))
	}
}

// checkData wants the data in one line, JSON, with its time and its stamp, each once.
func checkData(t *testing.T, frame string) {
	t.Helper()
	_, data, _ := strings.Cut(frame, "data: ")
	var fields struct {
		At      time.Time
		Lamport *int64
	}
	if err := json.Unmarshal([]byte(data), &fields); err != nil || fields.Lamport == nil || fields.At.IsZero() {
		t.Errorf("data: %s (%v)", data, err)
	}
	if strings.Contains(data, "\n") || strings.Count(data, `"lamport"`) != 1 || strings.Count(data, `"at":`) != 1 {
		t.Errorf("data: %s", data)
	}
}

func framesOf(e *Entry, at Place) string {
	text, _ := e.Frames(nil, at)
	return string(text)
}
