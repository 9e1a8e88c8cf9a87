package handlers

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"guichet/models/id"
)

func TestPreferredWait(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		headers []string
		want    time.Duration
	}{
		{nil, 0},
		{[]string{""}, 0},
		{[]string{"wait=0"}, 0},
		{[]string{"wait=1"}, time.Second},
		{[]string{"wait=30"}, 30 * time.Second},
		{[]string{"wait=31"}, 30 * time.Second},
		{[]string{"wait=99999999999"}, 30 * time.Second},
		{[]string{"wait=99999999999999999999999999"}, 30 * time.Second},
		{[]string{"wait=-1"}, 0},
		{[]string{"wait=+5"}, 0},
		{[]string{"wait=1.5"}, 0},
		{[]string{"wait=abc"}, 0},
		{[]string{"wait="}, 0},
		{[]string{"wait"}, 0},
		{[]string{"waiting=5"}, 0},
		{[]string{"WAIT=5"}, 5 * time.Second},
		{[]string{`wait="5"`}, 5 * time.Second},
		{[]string{" wait = 5 "}, 5 * time.Second},
		{[]string{"wait=5; strict"}, 5 * time.Second},
		{[]string{"wait=5, respond-async"}, 5 * time.Second},
		{[]string{"respond-async,wait=5"}, 5 * time.Second},
		{[]string{"respond-async", "wait=5"}, 5 * time.Second},
		{[]string{"wait=5", "wait=7"}, 5 * time.Second}, // RFC 7240: the first one counts
		{[]string{"wait=5,wait=7"}, 5 * time.Second},
	} {
		if got := preferredWait(c.headers); got != c.want {
			t.Errorf("%q: %v, want %v", c.headers, got, c.want)
		}
	}
}

func FuzzPreferredWait(f *testing.F) {
	for _, seed := range []string{"wait=5", `a="b,c";d, wait="6"`, "wait=99999999999999999999", ",=;,"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		if wait := preferredWait([]string{header}); wait < 0 || wait > longestWait || wait%time.Second != 0 {
			t.Errorf("%q: %v", header, wait)
		}
		if before, _, _ := strings.Cut(header, "wait"); before == header && preferredWait([]string{header, "wait=7"}) != 7*time.Second && !strings.Contains(strings.ToLower(header), "wait") {
			t.Errorf("%q hides the second header", header)
		}
	})
}

func TestCursorsComeBack(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"a", "1.2", "\x00é", strings.Repeat("x", 100)} {
		if got, err := decodeCursor(encodeCursor(key)); err != nil || got != key {
			t.Errorf("%q came back as %q, %v", key, got, err)
		}
	}
	if got, err := decodeCursor(nil); err != nil || got != "" {
		t.Errorf("no cursor is %q, %v", got, err)
	}
	if encodeCursor("") != nil {
		t.Error("no key makes a cursor")
	}
	operation := id.NewGenerator().Next()
	if got, err := idCursor(encodeCursor(operation.String())); err != nil || got != operation {
		t.Errorf("%v came back as %v, %v", operation, got, err)
	}
	if a, b, err := numbersCursor(encodeCursor("17.4")); err != nil || a != 17 || b != 4 {
		t.Errorf("%d, %d, %v", a, b, err)
	}
	for _, key := range []string{"0.1", "1.0", "-1.1", "1", "1.", ".1", "1.2.3", "9223372036854775808.1", "a.b"} {
		if _, _, err := numbersCursor(encodeCursor(key)); err == nil {
			t.Errorf("%q is taken for a cursor", key)
		}
	}
}

func FuzzCursors(f *testing.F) {
	f.Add("abc")
	f.Add(*encodeCursor("12.3"))
	f.Add(base64.RawURLEncoding.EncodeToString([]byte("\xff\xfe")))
	f.Fuzz(func(t *testing.T, cursor string) {
		key, err := decodeCursor(&cursor)
		if err == nil && key == "" {
			t.Errorf("%q is a cursor without a key", cursor)
		}
		if a, b, err := numbersCursor(&cursor); err == nil && (a <= 0 || b <= 0) {
			t.Errorf("%q: %d, %d", cursor, a, b)
		}
		_, _ = idCursor(&cursor)
	})
}

func TestPage(t *testing.T) {
	t.Parallel()
	items := []int{1, 2, 3}
	key := func(n *int) string { return fmt.Sprint(*n) }
	for limit, want := range map[int]string{1: "[1] 1", 2: "[1 2] 2", 3: "[1 2 3] ", 4: "[1 2 3] "} {
		kept, next := page(items, limit, key)
		if got := fmt.Sprint(kept, " ", next); got != want {
			t.Errorf("limit %d: %s, want %s", limit, got, want)
		}
	}
}

func TestLaneRates(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rates := newLaneRates()
		expect := func(want float64) {
			t.Helper()
			if got := rates.rate("bank"); got != want {
				t.Errorf("%v: rate %v, want %v", time.Now().Unix(), got, want)
			}
		}
		pass := func(d time.Duration) { time.Sleep(d) } //nolint:forbidigo // the clock of this bubble is not that of the machine
		expect(0)
		rates.add("bank", 30)
		rates.add("trips", 7)
		expect(0) // the present second is not over
		pass(time.Second)
		expect(3)
		rates.add("bank", 20)
		pass(time.Second)
		expect(5)
		pass(8 * time.Second)
		expect(5)
		pass(time.Second)
		expect(2) // the first is out of sight
		pass(time.Second)
		expect(0)
		pass(time.Hour)
		rates.add("bank", 10)
		pass(time.Second)
		expect(1)
	})
}
