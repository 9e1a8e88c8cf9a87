package feed

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"guichet/models/id"
	"guichet/models/lamport"
)

func drawID(rt *rapid.T) id.ID {
	return id.ID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(rt, "id"))
}

func drawIDs(rt *rapid.T) []id.ID {
	ids := make([]id.ID, rapid.IntRange(0, 5).Draw(rt, "ids"))
	for i := range ids {
		ids[i] = drawID(rt)
	}
	return ids
}

func drawPublication(rt *rapid.T) Publication {
	p := Publication{
		Origin: drawID(rt), Lane: rapid.String().Draw(rt, "lane"), Batches: drawIDs(rt), Running: drawIDs(rt), Ended: rapid.IntRange(0, 1<<30).Draw(rt, "ended"),
		Entries: make([]Entry, rapid.IntRange(0, 5).Draw(rt, "entries")),
	}
	for i := range p.Entries {
		p.Entries[i] = Entry{
			Position: rapid.Int64Range(0, 1<<62).Draw(rt, "position"), Topic: rapid.String().Draw(rt, "topic"), Event: rapid.String().Draw(rt, "event"),
			At: time.UnixMicro(rapid.Int64Range(-1<<50, 1<<55).Draw(rt, "at")).UTC(), Lamport: lamport.Stamp(rapid.Int64Range(0, 1<<53).Draw(rt, "lamport")),
			OperationID: drawID(rt), Data: json.RawMessage(rapid.String().Draw(rt, "data")),
		}
	}
	return p
}

func TestPublicationsSurviveEncoding(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		p := drawPublication(rt)
		text := p.encode()
		got, err := decodePublication(text)
		if err != nil {
			rt.Fatal(err)
		}
		for i := range got.Entries {
			got.Entries[i].Data = append(json.RawMessage{}, got.Entries[i].Data...)
		}
		if !reflect.DeepEqual(got, p) {
			rt.Fatalf("%+v came back as %+v", p, got)
		}
		cut := rapid.IntRange(0, len(text)-1).Draw(rt, "cut")
		if _, err := decodePublication(text[:cut]); err == nil {
			rt.Fatalf("the first %d of %d bytes were taken for a publication", cut, len(text))
		}
	})
}

// Whatever arrives on the channel must be refused, not end the process.
func FuzzDecodePublication(f *testing.F) {
	p := Publication{Lane: "bank", Batches: []id.ID{{1}}, Entries: []Entry{{Position: 2, Topic: "t", Event: OperationFinished, Data: json.RawMessage(`{"a":1}`)}}}
	f.Add(p.encode())
	f.Add([]byte{})
	f.Add(append(make([]byte, 16), 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := decodePublication(text)
		if err != nil {
			return
		}
		for i := range p.Entries {
			_, _ = p.Entries[i].Frames(nil, Place{})
		}
		if again, err := decodePublication(p.encode()); err != nil || len(again.Entries) != len(p.Entries) {
			t.Errorf("%+v cannot be read when it is written again: %v", p, err)
		}
	})
}
