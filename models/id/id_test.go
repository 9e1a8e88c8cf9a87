package id

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"
)

// steppedGenerator makes ids by a clock that the test sets.
func steppedGenerator(now *time.Time) *Generator {
	g := NewGenerator()
	g.now = func() time.Time { return *now }
	return g
}

func TestIsUUIDv7(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 10, 30, 0, 123_000_000, time.UTC)
	g := steppedGenerator(&now)
	i := g.Next()
	u := uuid.UUID(i)
	if u.Version() != 7 || u.Variant() != uuid.RFC4122 {
		t.Errorf("%s is of version %s, variant %s", i, u.Version(), u.Variant())
	}
	if !i.Time().Equal(now) || i.Time().Location() != time.UTC {
		t.Errorf("made at %s, says %s", now, i.Time())
	}
	if i.Node() != g.node || g.node >= 1<<54 || i.Index() != 0 {
		t.Errorf("node %x and index %d; the generator has node %x", i.Node(), i.Index(), g.node)
	}
}

func TestBatch(t *testing.T) {
	t.Parallel()
	g := NewGenerator()
	base, next := g.Next(), g.Next()
	last := base
	for n := range MaxBatch {
		member := base.WithIndex(n)
		if member.Index() != n || member.Base() != base || member.Node() != base.Node() || !member.Time().Equal(base.Time()) {
			t.Fatalf("member %d of %s is %s", n, base, member)
		}
		if n > 0 && !last.Less(member) || !member.Less(next) {
			t.Fatalf("member %d, %s, is not between %s and %s", n, member, last, next)
		}
		last = member
	}
	if base.Index() != 0 {
		t.Error("WithIndex changed the base")
	}
}

// TestAscends: ids ascend whatever the clock does, and are never later than need be.
func TestAscends(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	rapid.Check(t, func(t *rapid.T) {
		now := start
		g := steppedGenerator(&now)
		latest, last := now, ID{}
		for _, step := range rapid.SliceOfN(rapid.IntRange(-5000, 5000), 1, 50).Draw(t, "steps of the clock, ms") {
			now = now.Add(time.Duration(step) * time.Millisecond)
			if now.After(latest) {
				latest = now
			}
			i := g.Next()
			if !last.Less(i) || i.Less(last) || i.Less(i) {
				t.Fatalf("%s after %s", i, last)
			}
			if i.Time().After(latest) {
				t.Fatalf("%s is of %s, and it never was later than %s", i, i.Time(), latest)
			}
			last = i
		}
	})
}

func TestManyInOneMillisecond(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	g := steppedGenerator(&now)
	var last ID
	for n := range 3 * 4096 {
		i := g.Next()
		if !last.Less(i) {
			t.Fatalf("number %d, %s, after %s", n, i, last)
		}
		if ahead := i.Time().Sub(now); ahead != time.Duration(n/4096)*time.Millisecond {
			t.Fatalf("number %d runs ahead by %s", n, ahead)
		}
		if uuid.UUID(i).Version() != 7 || i.Node() != g.node {
			t.Fatalf("number %d is %s", n, i)
		}
		last = i
	}
}

func TestConcurrently(t *testing.T) {
	t.Parallel()
	const makers, each = 8, 5000
	g := NewGenerator()
	var made [makers][]ID
	var running sync.WaitGroup
	for m := range made {
		running.Go(func() {
			for range each {
				made[m] = append(made[m], g.Next())
			}
		})
	}
	running.Wait()
	var all []ID
	for _, ids := range made {
		if !slices.IsSortedFunc(ids, Compare) {
			t.Error("ids of one maker do not ascend")
		}
		all = append(all, ids...)
	}
	slices.SortFunc(all, Compare)
	if len(slices.Compact(all)) != makers*each {
		t.Error("an id was made twice")
	}
	if NewGenerator().node == g.node {
		t.Error("two processes have the same node")
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	i := NewGenerator().Next().WithIndex(255)
	for _, text := range []string{i.String(), strings.ToUpper(i.String())} {
		if got, err := Parse(text); got != i || err != nil {
			t.Errorf("Parse(%q) = %s, %v", text, got, err)
		}
	}
	good := i.String()
	for _, text := range []string{
		"", " ", good[:35], good + "0", " " + good[1:], "{" + good + "}", "urn:uuid:" + good, strings.ReplaceAll(good, "-", ""), strings.Repeat("g", 36),
		good[:8] + "0" + good[9:], strings.ReplaceAll(good, "-", "_"), strings.Repeat("-", 36), "\x00" + good[1:], good[:35] + "é",
	} {
		if got, err := Parse(text); !got.IsZero() || !errors.Is(err, ErrMalformed) {
			t.Errorf("Parse(%q) = %s, %v; want ErrMalformed", text, got, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("01a1fdc2-3954-7000-8d82-529ec78d4000")
	f.Add("01A1FDC2-3954-7000-8D82-529EC78D4000")
	f.Add("{01a1fdc2-3954-7000-8d82-529ec78d400}")
	f.Fuzz(func(t *testing.T, text string) {
		i, err := Parse(text)
		if err == nil && i.String() != strings.ToLower(text) {
			t.Errorf("Parse(%q) = %s", text, i)
		}
		var unmarshalled ID
		if unmarshalErr := unmarshalled.UnmarshalText([]byte(text)); unmarshalled != i || !errors.Is(unmarshalErr, err) {
			t.Errorf("UnmarshalText(%q) = %s, %v", text, unmarshalled, unmarshalErr)
		}
	})
}

func TestSQL(t *testing.T) {
	t.Parallel()
	i := NewGenerator().Next()
	if v, err := i.Value(); err != nil || !bytes.Equal(v.([]byte), i[:]) {
		t.Errorf("Value() = %v, %v", v, err)
	}
	if v, err := (ID{}).Value(); v != nil || err != nil {
		t.Errorf("the zero id's Value() = %v, %v", v, err)
	}
	for name, src := range map[string]any{"bytes": i[:], "text": string(i[:])} {
		var got ID
		if err := got.Scan(src); got != i || err != nil {
			t.Errorf("%s: Scan = %s, %v", name, got, err)
		}
	}
	null := i
	if err := null.Scan(nil); !null.IsZero() || err != nil {
		t.Errorf("Scan(nil) = %s, %v", null, err)
	}
	for name, src := range map[string]any{"too short": i[:15], "too long": i.String(), "empty": []byte{}, "another type": int64(7)} {
		var got ID
		if err := got.Scan(src); err == nil {
			t.Errorf("%s: Scan took it for %s", name, got)
		}
	}
}

func TestScanKeepsNothing(t *testing.T) {
	t.Parallel()
	i := NewGenerator().Next()
	buffer := bytes.Clone(i[:])
	var got ID
	if err := got.Scan(buffer); err != nil {
		t.Fatal(err)
	}
	clear(buffer)
	if got != i {
		t.Error("Scan keeps the driver's buffer")
	}
}
