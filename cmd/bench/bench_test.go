package main

import (
	"bytes"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestOptions(t *testing.T) {
	t.Parallel()
	o, err := parseOptions([]string{"-only", "noop,naive", "-clients", "32,1,32", "-duration", "2s"})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(names(o.scenarios), " "); got != "naive noop" {
		t.Errorf("scenarios %s", got)
	}
	if !slices.Equal(o.clients, []int{1, 32}) || o.duration != 2*time.Second || o.overload != time.Minute {
		t.Errorf("options %+v", o)
	}
	for _, args := range [][]string{
		{"-only", "coffee"}, {"-clients", "0"}, {"-clients", "a"}, {"-clients", ""}, {"-duration", "1ms"}, {"extra"}, {"-overload-clients", "0"}, {"-race-rounds", "0"}, {"-race-clients", "0"},
	} {
		if o, err := parseOptions(args); err == nil {
			t.Errorf("%q is taken for %+v", args, o)
		}
	}
}

func TestUniformAsksNeverOneself(t *testing.T) {
	t.Parallel()
	numbers := []string{accountNumber(0), accountNumber(1), accountNumber(2), accountNumber(3)}
	rng := rand.New(rand.NewPCG(1, 2))
	for own := 1; own < len(numbers); own++ {
		next := uniform.transfers(newAsk("host", "/path", numbers[own], nil), numbers, own)
		seen := map[string]bool{}
		for range 100 {
			seen[recipient(t, next(rng))] = true
		}
		if len(seen) != 2 || seen[numbers[own]] || seen[numbers[0]] {
			t.Errorf("account %d pays %v", own, seen)
		}
	}
}

func TestHotAsksAreOne(t *testing.T) {
	t.Parallel()
	numbers := []string{accountNumber(0), accountNumber(1), accountNumber(2)}
	request := hot.transfers(newAsk("host", "/v1/transfers", numbers[1], []string{"Prefer: wait=30"}), numbers, 1)(nil)
	want := "POST /v1/transfers HTTP/1.1\r\nHost: host\r\nContent-Type: application/json\r\nPrefer: wait=30\r\n" +
		"Content-Length: 50\r\n\r\n" + `{"from":"7000000001","to":"7000000000","amount":1}`
	if string(request) != want {
		t.Errorf("request %q, want %q", request, want)
	}
}

func recipient(t *testing.T, request []byte) string {
	t.Helper()
	_, rest, found := bytes.Cut(request, []byte(`"to":"`))
	if !found || len(rest) < accountDigits {
		t.Fatalf("request %q", request)
	}
	return string(rest[:accountDigits])
}

func TestRecorder(t *testing.T) {
	t.Parallel()
	r := newRecorder()
	for i := range 1000 {
		r.record(i, time.Duration(i+1)*time.Millisecond)
	}
	r.record(0, time.Hour)
	q := r.quantiles()
	near := func(d, want time.Duration) bool { return d > want*99/100 && d < want*101/100 }
	if q.count != 1001 || !near(q.p50, 501*time.Millisecond) || !near(q.p99, 991*time.Millisecond) || !near(q.max, slowest) {
		t.Errorf("quantiles %+v", q)
	}
}

func TestProcessStatistics(t *testing.T) {
	t.Parallel()
	got, err := parseStat("42 (a ) b) S 1 42 42 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 8 0 100 0 0")
	if err != nil || got != 2*time.Second {
		t.Errorf("%s, %v", got, err)
	}
	if _, err := parseStat("42 (x) S 1"); err == nil {
		t.Error("a short line is taken")
	}
	got, err = parseMachine("cpu  100 20 30 9999 8888 4 5 41 0 0\ncpu0 1 2 3\n")
	if err != nil || got != 2*time.Second {
		t.Errorf("%s, %v", got, err)
	}
	if _, err := parseMachine("intr 1 2 3"); err == nil {
		t.Error("another line is taken")
	}
	if _, err := cpuTime(os.Getpid()); err != nil {
		t.Error(err)
	}
	if rss, err := residentMemory(os.Getpid()); err != nil || rss < 1<<20 {
		t.Errorf("resident %d, %v", rss, err)
	}
}

func TestFigures(t *testing.T) {
	t.Parallel()
	r := new(report)
	r.rows = []row{
		{run: naiveRun, clients: 32, pattern: uniform, applied: 3000},
		{run: naiveRun, clients: 256, pattern: uniform, applied: 2000},
		{run: splitShape.label, clients: 32, pattern: uniform, applied: 90_000},
		{run: splitShape.label, clients: crowd, pattern: uniform, applied: 12_000, accepted: 12_100},
		{run: embeddedShape.label, clients: crowd, pattern: uniform, applied: 6_000},
		{run: naiveTripRun, clients: 32, pattern: hotTrip, applied: 1_500},
		{run: tripRun, clients: crowd, pattern: hotTrip, applied: 9_000},
		{run: noopRun, clients: crowd, pattern: uniform, accepted: 60_000},
		{run: reservationRun, clients: crowd, pattern: freeSeats, accepted: 24_000, applied: 23_900},
		{run: reservationRun, clients: crowd, pattern: soldOut, accepted: 24_000},
	}
	r.set(valueStart, 0.5)
	r.set(valueStart, 3)
	r.set(valueStart, 1)
	var b strings.Builder
	r.print(&b, []string{"some machine"}, nil)
	for _, want := range []string{
		"- some machine\n",
		"| guichet, MariaDB + Redis, api and worker apart | 256 | uniform | 12.1k | 12.0k | – | – |  |\n",
		"over the naive handler's best | ≥ 3.5 × (aim 5 ×) | 4 × | ok |",
		"over the same naive figure | ≥ 2.5 × | 2 × | short |",
		"hot account, over uniform | ≥ 0.75 × | not measured |  |",
		"with FOR UPDATE on the class | ≥ 4 × (aim 6 ×) | 6 × | ok |",
		"free seats, over the no-op HTTP ceiling | ≥ 0.35 × (aim 0.5 ×) | 0.4 × | ok |",
		"everything sold out | ≥ 0.45 × (aim 0.6 ×) | 0.4 × | short |",
		"start to ready, embedded (worst) | ≤ 2 s | 3 s | short |",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}
