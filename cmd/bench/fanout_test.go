package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// However a stream arrives, chunked or not, its messages are counted, each with its sequence and its time.
func TestTapesTakeStreamsApart(t *testing.T) {
	t.Parallel()
	head := "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
	at := time.Unix(1_900_000_000, 123)
	frame := func(n int) string {
		return fmt.Sprintf("id: 1-%d\nevent: message\ndata: {\"lamport\":5,\"sequence\":%d,%s\n\n", n, n, messageBody(at)[1:])
	}
	plain, inChunks := head+"retry: 1000\nid: 0\n\n", head
	chunk := func(text string) { inChunks += fmt.Sprintf("%x\r\n%s\r\n", len(text), text) }
	chunk("retry: 1000\nid: 0\n\n")
	for n := 7; n < 40; n++ {
		plain += frame(n)
		chunk(frame(n))
		if n%5 == 0 {
			plain += ": still here\n\n"
			chunk(": still here\n\n")
		}
	}
	rng := rand.New(rand.NewPCG(5, 6))
	for round := range 200 {
		for _, text := range []string{plain, inChunks} {
			var got tape
			var sequences []int64
			begun := 0
			for rest := []byte(text); len(rest) > 0; {
				n := min(1+rng.IntN(1+10*round), len(rest))
				_, began, err := got.read(slices.Clone(rest[:n]), func(sequence int64, frame []byte) {
					sequences = append(sequences, sequence)
					if posted, ok := postedAt(frame); !ok || posted != at.UnixNano() {
						t.Errorf("posted at %d", posted)
					}
				})
				if err != nil {
					t.Fatal(err)
				}
				if began {
					begun++
				}
				rest = rest[n:]
			}
			if begun != 1 || len(sequences) != 33 || sequences[0] != 7 || sequences[32] != 39 {
				t.Fatalf("%v; begun %d times", sequences, begun)
			}
		}
	}
}

func TestTapesNoticeWhatIsWrong(t *testing.T) {
	t.Parallel()
	none := func(int64, []byte) {}
	hole := &tape{}
	_, _, err := hole.read([]byte("data: {\"sequence\":1}\n\ndata: {\"sequence\":3}\n\n"), none)
	if err == nil || !strings.Contains(err.Error(), "message 3 came after 1") {
		t.Errorf("a hole: %v", err)
	}
	refused := &tape{}
	if _, _, err := refused.read([]byte("HTTP/1.1 429 Too Many Requests\r\n\r\nretry: 1000\nid: 0\n\n"), none); err == nil {
		t.Error("a refusal is taken for a stream")
	}
}

func TestTapesDoNotAllocate(t *testing.T) {
	none := func(int64, []byte) {}
	again := &tape{begun: true}
	body := []byte("id: 1\nevent: message\ndata: {\"sequence\":1," + messageBody(time.Now())[1:] + "\n\n")
	if allocations := testing.AllocsPerRun(100, func() {
		again.last = 0
		_, _, _ = again.read(body, none)
	}); allocations > 0 {
		t.Errorf("%v allocations a read", allocations)
	}
}

// The whole of a measurement, on the baseline's room.
func TestBareRoom(t *testing.T) {
	mux := http.NewServeMux()
	serveBareRoom(mux)
	server := httptest.NewServer(mux)
	defer server.Close()
	address := server.Listener.Addr().String()
	for _, p := range []pattern{saturated, paced} {
		self := &process{name: "bare", pid: os.Getpid()}
		r := &room{
			run: bareFanoutRun, address: address, server: self, watch: []*process{self},
			reader: func(int) string { return "GET /v1/feed HTTP/1.1\r\nHost: x\r\n\r\n" },
			pen:    func(int) *pen { return newPen(address) },
		}
		var line row
		var known bool
		inTime(func() bool {
			l := &lab{options: options{duration: 300 * time.Millisecond}, report: new(report)}
			if err := r.measure(context.Background(), l, 20, p); err != nil {
				t.Fatal(err)
			}
			line, known = l.report.find(bareFanoutRun, 20, p)
			return line.latency.count > 0
		})
		if !known || line.applied < 1 || line.accepted < 1 || line.latency.count == 0 || line.latency.p50 <= 0 {
			t.Errorf("%+v", line)
		}
	}
}

func TestFanoutFigures(t *testing.T) {
	t.Parallel()
	r := new(report)
	r.rows = []row{
		{run: bareFanoutRun, clients: 100, pattern: saturated, applied: 400_000},
		{run: fanoutRun, clients: 100, pattern: saturated, applied: 200_000},
		{run: bareFanoutRun, clients: 5000, pattern: saturated, applied: 400_000},
		{run: fanoutRun, clients: 5000, pattern: saturated, applied: 800_000},
		{run: bareFanoutRun, clients: 1000, pattern: paced, latency: quantiles{count: 1, p50: 4 * time.Millisecond, p99: 8 * time.Millisecond}},
		{run: fanoutRun, clients: 1000, pattern: paced, latency: quantiles{count: 1, p50: 3 * time.Millisecond, p99: 16 * time.Millisecond}},
		{run: naiveChatRun, clients: 32, pattern: oneRoom, applied: 3_000},
		{run: numberedChatRun, clients: 32, pattern: oneRoom, applied: 5_000},
		{run: messageRun, clients: crowd, pattern: oneRoom, applied: 30_000},
	}
	r.set(valueFanoutMemory, 90)
	var b strings.Builder
	r.printFigures(&b)
	for _, want := range []string{
		"by 100 readers, over a bare net/http broadcast | ≥ 0.75 × | 0.5 × | short |",
		"by 1,000 readers | ≥ 1 × | not measured |  |",
		"by 5,000 readers | ≥ 1.2 × | 2 × | ok |",
		"p50, over the bare broadcast's | ≤ 1 × | 0.75 × | ok |",
		"the same, p99 | ≤ 1 × | 2 × | short |",
		"with 5,000 readers (worst of the loads) | ≤ 120 MB | 90 MB | ok |",
		"with one INSERT a request | ≥ 8 × | 10 × | ok |",
		"the room's next sequence, too | ≥ 8 × | 6 × | short |",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}
