package files

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"guichet/models/chat"
	"guichet/models/database"
	"guichet/models/id"
	"guichet/models/operation"
	"guichet/models/problem"
	"guichet/models/testbed/stores"
)

// round loads, decides and stores commands of users.
func round(t testing.TB, db *database.DB, user id.ID, commands ...*Command) (files []*File, refusals []*problem.Problem) {
	t.Helper()
	users := slices.Repeat([]id.ID{user}, len(commands))
	ok(t, db.Write(t.Context(), func(tx database.Tx) error {
		files, refusals = nil, nil
		c, err := Load(tx, commands, users)
		if err != nil {
			return err
		}
		for _, command := range commands {
			do := c.Upload
			if command.Kind == KindDeletion {
				do = c.Delete
			}
			f, refusal := do(causeOf(user), command)
			files, refusals = append(files, f), append(refusals, refusal)
		}
		return c.Save(tx)
	}))
	return files, refusals
}

func TestStore(t *testing.T) {
	stores.Each(t, func(t *testing.T, db *database.DB) {
		ada := ids.Next()
		longest := strings.Repeat("\u0149", 127) // whose key is twice as long
		commands := []*Command{named(t, "Ä b.txt", 10), named(t, "ä B.TXT", 1), named(t, longest, 5), named(t, "empty", 0)}
		commands[0].Upload.SHA256 = Digest{1, 2, 3}
		made, refusals := round(t, db, ada, commands...)
		refused(t, made[1], refusals[1], problem.FileExists)
		for _, i := range []int{0, 2, 3} {
			found, err := Get(db.Read(t.Context()), chat.Lobby, made[i].Key)
			if ok(t, err); *found != *made[i] {
				t.Errorf("%+v, want %+v", *found, *made[i])
			}
		}
		if used, err := Used(db.Read(t.Context()), ada); err != nil || used != 15 {
			t.Errorf("%d %v", used, err)
		}
		if used, err := Used(db.Read(t.Context()), ids.Next()); err != nil || used != 0 {
			t.Errorf("%d %v", used, err)
		}
		if _, err := Get(db.Read(t.Context()), ids.Next(), made[0].Key); !errors.Is(err, ErrUnknownFile) {
			t.Errorf("another room: %v", err)
		}
		list, err := List(db.Read(t.Context()), chat.Lobby, id.ID{}, 2)
		if ok(t, err); len(list) != 2 || list[0] != *made[3] || list[1] != *made[2] {
			t.Errorf("%+v", list)
		}
		list, err = List(db.Read(t.Context()), chat.Lobby, made[2].ID, 9)
		if ok(t, err); len(list) != 1 || list[0] != *made[0] {
			t.Errorf("%+v", list)
		}

		// In one round: deleted and uploaded anew; uploaded, and deleted in the next; the round loads what was stored.
		again := named(t, "Ä B.txt", 7)
		changed, refusals := round(t, db, ada, deletion(t, made[0], false), again, deletion(t, made[0], false))
		refused(t, changed[2], refusals[2], problem.UnknownFile)
		found, err := Get(db.Read(t.Context()), chat.Lobby, made[0].Key)
		if ok(t, err); *found != *did(t, changed[1], refusals[1]) {
			t.Errorf("%+v", found)
		}
		read := *found
		if used, err := Used(db.Read(t.Context()), ada); err != nil || used != 12 {
			t.Errorf("%d %v", used, err)
		}
		gone, refusals := round(t, db, ids.Next(), deletion(t, &read, true))
		did(t, gone[0], refusals[0])
		if _, err := Get(db.Read(t.Context()), chat.Lobby, read.Key); !errors.Is(err, ErrUnknownFile) {
			t.Errorf("%v", err)
		}
		if used, err := Used(db.Read(t.Context()), ada); err != nil || used != 5 {
			t.Errorf("what is free is the uploader's: %d %v", used, err)
		}
	})
}

func TestJSON(t *testing.T) {
	t.Parallel()
	f := File{Room: chat.Lobby, Name: `a"b<ü`, Size: 3, ContentType: "text/plain; charset=utf-8", Username: "ada", At: noon.Add(1500 * time.Microsecond)}
	want := `{"name":"a\"b\u003cü","room":"lobby","size":3,"content_type":"text/plain; charset=utf-8","sha256":"` + strings.Repeat("00", 32) + `","uploaded_by":"ada","at":"2026-11-21T12:00:00.0015Z"}`
	if got := string(f.AppendJSON(nil)); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got := string(f.AppendDeleted(nil)); got != `{"room":"lobby","name":"a\"b\u003cü"}` {
		t.Error(got)
	}
}

// TestSweep: contents stay that are files', that are to be decided, or whose operation has failed and may be replayed; and those that have just been stored.
func TestSweep(t *testing.T) {
	stores.Each(t, func(t *testing.T, db *database.DB) {
		storage := newDirectory(t)
		ada := ids.Next()
		contents := map[string]id.ID{}
		for _, name := range []string{"file", "waiting", "failed", "replayed", "refused", "nobody's"} {
			contents[name] = keep(t, storage, name)
		}
		command := func(name string) *Command {
			c := named(t, name, 1)
			c.Upload.Content = contents[name]
			return c
		}
		round(t, db, ada, command("file"))
		ok(t, operation.EnsureLanes(t.Context(), db, []string{Lane}))
		submit := func(name string) id.ID {
			payload, err := json.Marshal(command(name).Upload)
			ok(t, err)
			commands := []operation.Command{{ID: ids.Next(), UserID: ada, Lane: Lane, Kind: KindUpload, Payload: payload, SubmittedAt: noon}}
			ok(t, db.Write(t.Context(), func(tx database.Tx) error { return operation.Append(tx, Lane, commands) }))
			return commands[0].ID
		}
		conclude := func(operationID id.ID, sequence int64, status operation.Status) {
			ok(t, db.Write(t.Context(), func(tx database.Tx) error {
				outcome := operation.Outcome{OperationID: operationID, Sequence: sequence, Status: status, Problem: problem.New(problem.OperationFailed, "a bug"), StartedAt: noon, FinishedAt: noon}
				_, err := operation.Take(tx, Lane, []operation.Batch{{ID: operationID, Operations: 1}})
				err = errors.Join(err, operation.Conclude(tx, Lane, []operation.Outcome{outcome}))
				if status == operation.Failed {
					err = errors.Join(err, operation.Park(tx, operationID, "a bug", noon))
				}
				return err
			}))
		}
		submit("waiting")
		conclude(submit("failed"), 1, operation.Failed)
		replayed := submit("replayed")
		conclude(replayed, 2, operation.Failed)
		_, err := operation.NewJournal(db).Replay(t.Context(), replayed, nil)
		ok(t, err)
		conclude(submit("refused"), 3, operation.Rejected)

		removed, err := Sweep(t.Context(), db, storage, time.Now().Add(-time.Hour))
		if ok(t, err); removed != 0 {
			t.Errorf("%d removed that had just been stored", removed)
		}
		removed, err = Sweep(t.Context(), db, storage, time.Now().Add(time.Hour))
		ok(t, err)
		for name, content := range contents {
			stays := name != "refused" && name != "nobody's"
			if reading, err := storage.Open(t.Context(), content); (err == nil) != stays {
				t.Errorf("%s: %v", name, err)
			} else if err == nil {
				ok(t, reading.Close())
			}
		}
		if removed != 2 {
			t.Errorf("%d were removed", removed)
		}
	})
}
