package messages

import (
	"encoding/json"
	"errors"
	"reflect"
	"testing"
	"time"

	"guichet/models/feed"
	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/operation"
	"guichet/models/problem"
)

var (
	ada, bob = ids.Next(), ids.Next()
	said     = time.Date(2026, 11, 21, 10, 0, 0, 123456000, time.UTC)
)

func TestRules(t *testing.T) {
	t.Parallel()
	const edit, deletion, byAdmin = "edit", "deletion", "deletion by an admin"
	for _, c := range []struct {
		do      string
		by      id.ID
		after   time.Duration // asked
		deleted bool
		want    problem.Code
		changed bool
	}{
		{edit, ada, 0, false, "", true},
		{edit, ada, Patience, false, "", true},
		{edit, ada, Patience + 1, false, problem.MessageTooOld, false},
		{edit, ada, 0, true, problem.MessageDeleted, false},
		{edit, ada, Patience + 1, true, problem.MessageDeleted, false},
		{edit, bob, 0, false, problem.NotYourMessage, false},
		{edit, bob, 0, true, problem.NotYourMessage, false},
		{edit, bob, Patience + 1, false, problem.NotYourMessage, false},
		{deletion, ada, 0, false, "", true},
		{deletion, ada, Patience, false, "", true},
		{deletion, ada, Patience + 1, false, problem.MessageTooOld, false},
		{deletion, ada, 0, true, "", false},
		{deletion, ada, Patience + 1, true, "", false},
		{deletion, bob, 0, false, problem.NotYourMessage, false},
		{deletion, bob, 0, true, problem.NotYourMessage, false},
		{byAdmin, bob, 0, false, "", true},
		{byAdmin, bob, 1000 * time.Hour, false, "", true},
		{byAdmin, bob, 1000 * time.Hour, true, "", false},
		{byAdmin, ada, Patience + 1, false, "", true},
	} {
		m := Message{Offset: 7, UserID: ada, Text: "hello", At: said, Lamport: 5}
		if c.deleted {
			m.Text, m.DeletedAt = "", said.Add(time.Second)
		}
		before := m
		change := Change{By: c.by, Asked: said.Add(c.after), At: said.Add(c.after + time.Hour), Stamp: 9}
		var refusal *problem.Problem
		var changed bool
		if c.do == edit {
			refusal = m.Edit(change, "other")
			changed = refusal == nil
		} else {
			changed, refusal = m.Delete(change, c.do == byAdmin)
		}
		var code problem.Code
		if refusal != nil {
			code = refusal.Code
		}
		if code != c.want || changed != c.changed || !changed && m != before {
			t.Errorf("%+v: %q, changed: %t, %+v", c, code, changed, m)
		}
		want := before
		switch {
		case changed && c.do == edit:
			want.Text, want.EditedAt, want.Lamport = "other", change.At, 9
		case changed:
			want.Text, want.DeletedAt, want.Lamport = "", change.At, 9
		}
		if m != want {
			t.Errorf("%+v: %+v; want %+v", c, m, want)
		}
	}
}

func TestIDs(t *testing.T) {
	t.Parallel()
	var before id.ID
	for _, at := range []time.Time{said, said.Add(time.Microsecond), said.Add(time.Millisecond), said.Add(time.Hour)} {
		for _, offset := range []int64{1, 2, 1 << 20, 1<<53 - 1, 1<<53 + 1} {
			m := Message{Offset: offset, At: at}
			named := m.ID()
			if OffsetOf(named) != offset || !named.Time().Equal(at.Truncate(time.Millisecond)) || named[6]>>4 != 7 || named[8]>>6 != 2 || !before.Less(named) {
				t.Errorf("%s is the id of %d at %s, after %s", named, offset, at, before)
			}
			before = named
		}
	}
}

func FuzzJSON(f *testing.F) {
	for _, text := range []string{"hello", "two\nlines\t", "\"quoted\\", "Grüße, 世界 👩‍👧", "\u2028\x7f", "\xff"} {
		f.Add(text, "ada", int64(1), int64(0))
	}
	f.Fuzz(func(t *testing.T, text, user string, sequence, edited int64) {
		m := Message{Offset: 3, Room: ids.Next(), Sequence: sequence, Username: user, Text: text, At: said}
		if edited != 0 {
			m.EditedAt = said.Add(time.Duration(edited % 1e15)).Truncate(time.Microsecond)
		}
		var read struct {
			ID, Room, User, Text string
			Sequence             int64
			At                   time.Time
			EditedAt             *time.Time `json:"edited_at"`
			DeletedAt            *time.Time `json:"deleted_at"`
		}
		if err := json.Unmarshal(m.AppendJSON(nil), &read); err != nil {
			t.Fatal(err, string(m.AppendJSON(nil)))
		}
		asJSON := func(s string) (out string) {
			text, _ := json.Marshal(s)
			_ = json.Unmarshal(text, &out)
			return out
		}
		if read.Text != asJSON(text) || read.User != asJSON(user) || read.Sequence != sequence || !read.At.Equal(said) || read.ID != m.ID().String() || read.Room != m.Room.String() ||
			read.DeletedAt != nil || (read.EditedAt != nil) != !m.EditedAt.IsZero() {
			t.Errorf("%s of %+v", m.AppendJSON(nil), m)
		}
	})
}

// FuzzBatch: what is packed is read as it was, and what is not a batch is refused.
func FuzzBatch(f *testing.F) {
	f.Add("1 2 3 4", []byte("\x00"), "hello", uint8(3))
	f.Add("0 1 1 1 9", []byte("\x01\x01"), "", uint8(0))
	f.Fuzz(func(t *testing.T, line string, junk []byte, text string, n uint8) {
		if b, err := decodeBatch(line + "\n" + string(junk)); err == nil && len(b.Messages) == 0 || err != nil && !errors.Is(err, ErrMalformed) {
			t.Errorf("%+v, %v", b, err)
		}
		var p packer
		p.reset(said)
		rooms := []id.ID{ids.Next(), ids.Next()}
		want := Batch{}
		var next []int64
		for i := range int(n%50) + 1 {
			d := &Draft{Room: rooms[i*i%3%2], UserID: ids.Next(), Username: text, Text: text + string(junk)}
			if i%5 == 1 {
				d.Key = keyOf(d.UserID, text, line)
			}
			room := p.add(d)
			if room == len(next) {
				next = append(next, int64(100*room)+1)
			}
			want.Messages = append(want.Messages, d.message(1000+int64(i), next[room], said, lamport.Stamp(50+i)))
			next[room]++
			if want.Keys == nil && d.Key != nil {
				want.Keys = make([]operation.Key, i, 60)
			}
			if want.Keys != nil {
				want.Keys = append(want.Keys, operation.Key{})
				if d.Key != nil {
					want.Keys[i] = *d.Key
				}
			}
		}
		h := head{first: 1000, stamp: 50}
		for room := range next {
			h.sequences = append(h.sequences, int64(100*room)+1)
		}
		payload := p.payload()
		got, err := h.decode(payload)
		if err != nil || !reflect.DeepEqual(got.Messages, want.Messages) || len(got.Keys) != len(want.Keys) || len(got.Keys) > 0 && !reflect.DeepEqual(got.Keys, want.Keys) {
			t.Errorf("%+v, %v; want %+v", got, err, want)
		}
		if _, err := h.decode(payload[:int(n)%len(payload)]); err == nil {
			t.Error("a part of a batch is read")
		}
	})
}

func TestEntries(t *testing.T) {
	t.Parallel()
	m := Message{Offset: 7, Room: id.ID{'l', 'o', 'b', 'b', 'y'}, Sequence: 2, UserID: ada, Username: "ada", Text: "hello", At: said, Lamport: 5}
	told := m.told()
	want := `{"id":"` + m.ID().String() + `","room":"lobby","sequence":2,"user":"ada","text":"hello","at":"2026-11-21T10:00:00.123456Z","edited_at":null,"deleted_at":null}`
	if told.Offset != 7 || told.Topic != "room:lobby" || told.Event != feed.MessagePosted || string(told.Data) != want || told.Position != 0 {
		t.Errorf("%+v", told)
	}
	m.EditedAt = said.Add(time.Second)
	if e := m.Edited(); e.Offset != 0 || e.Event != feed.MessageEdited || !e.At.Equal(m.EditedAt) {
		t.Errorf("%+v", e)
	}
}
