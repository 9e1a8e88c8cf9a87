package feed

import (
	"testing"

	"pgregory.net/rapid"
)

func TestParsePlace(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Place{
		"0": {}, "42": {42, 0}, " 42 ": {42, 0}, "9223372036854775807": {1<<63 - 1, 0},
		"42-7": {42, 7}, " 0-7 ": {0, 7}, "42-0": {42, 0}, "1-9223372036854775807": {1, 1<<63 - 1},
	} {
		if got, known := ParsePlace(text); !known || got != want {
			t.Errorf("%q: %v, %t", text, got, known)
		}
	}
	for _, text := range []string{
		"", "-1", "x", "1.5", "1e3", "9223372036854775808", "0x10", "1,2", "٣", "-", "1-", "-1-1", "1--1", "1-2-3", "1-x", "x-1", "1-9223372036854775808", "1 - 2",
	} {
		if got, known := ParsePlace(text); known {
			t.Errorf("%q is read as %v", text, got)
		}
	}
}

func drawPlace(rt *rapid.T, name string) Place {
	return Place{rapid.Int64Range(0, 5).Draw(rt, name+" position"), rapid.Int64Range(0, 5).Draw(rt, name+" offset")}
}

func TestPlaces(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		p, q := drawPlace(rt, "p"), drawPlace(rt, "q")
		if got, known := ParsePlace(p.String()); !known || got != p {
			rt.Fatalf("%v is read as %v", p, got)
		}
		both := p.Max(q)
		if !p.Within(both) || !q.Within(both) || both != q.Max(p) || p.Within(q) != (both == q) {
			rt.Fatalf("%v and %v: %v", p, q, both)
		}
	})
}

// What of an entry was told is left out, and the id is where the reader is then.
func TestFramesOfTheLog(t *testing.T) {
	t.Parallel()
	e := plain("room:lobby", 1)
	e.Offset = 7
	for _, c := range []struct {
		at, want Place
		told     bool
	}{
		{Place{}, Place{0, 7}, true},
		{Place{42, 6}, Place{42, 7}, true},
		{Place{42, 7}, Place{42, 7}, false},
		{Place{42, 9}, Place{42, 9}, false},
	} {
		text, at := e.Frames(nil, c.at)
		if at != c.want || (len(text) > 0) != c.told {
			t.Errorf("at %v: %q, then at %v", c.at, text, at)
		}
	}
}
