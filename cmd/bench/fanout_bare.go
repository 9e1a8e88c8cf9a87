package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// bareFanoutRun names the rows of the baseline of the fan-out, which figures look up.
const bareFanoutRun = "bare net/http broadcast, a channel and a Flusher a reader"

// bareFanout measures the broadcast that one would write first, with nothing behind it: no sessions, no store, no resuming. It sends the frames that guichet
// sends, to the same readers, of the same posters.
type bareFanout struct{}

func (bareFanout) name() string { return "fanout-bare" }

func (b bareFanout) run(ctx context.Context, l *lab) error {
	for _, n := range fanoutReaders {
		if err := b.once(ctx, l, n, saturated); err != nil {
			return err
		}
	}
	return b.once(ctx, l, latencyReaders, paced)
}

// once measures the baseline unless this run has done so.
func (bareFanout) once(ctx context.Context, l *lab, n int, p pattern) (err error) {
	if _, known := l.report.find(bareFanoutRun, n, p); known {
		return nil
	}
	server, err := startBaseline(ctx, l, "bare", "-fanout")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.process.stop()) }()
	r := &room{
		run: bareFanoutRun, address: server.address, server: server.process, watch: []*process{server.process, l.generator()},
		reader: func(int) string { return "GET /v1/feed HTTP/1.1\r\nHost: " + server.address + "\r\n\r\n" },
		pen:    func(int) *pen { return newPen(server.address) },
	}
	return r.measure(ctx, l, n, p)
}

// bareRoom is the baseline's room.
type bareRoom struct {
	mu       sync.Mutex
	sequence int64
	readers  map[chan []byte]struct{}
}

func serveBareRoom(mux *http.ServeMux) {
	r := &bareRoom{readers: map[chan []byte]struct{}{}}
	mux.HandleFunc("GET /readyz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /v1/feed", r.follow)
	mux.HandleFunc("POST /v1/rooms/lobby/messages", r.post)
}

func (r *bareRoom) follow(w http.ResponseWriter, request *http.Request) {
	frames := make(chan []byte, 2*roomWindow)
	r.mu.Lock()
	r.readers[frames] = struct{}{}
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		delete(r.readers, frames)
		r.mu.Unlock()
	}()
	w.Header().Set("Content-Type", "text/event-stream")
	flusher := w.(http.Flusher)
	frame := []byte("retry: 1000\nid: 0\n\n")
	for {
		if _, err := w.Write(frame); err != nil {
			return
		}
		flusher.Flush()
		select {
		case frame = <-frames:
		case <-request.Context().Done():
			return
		}
	}
}

// bareMessage is a message as the contract has it.
type bareMessage struct {
	ID        string     `json:"id"`
	Room      string     `json:"room"`
	Sequence  int64      `json:"sequence"`
	User      string     `json:"user"`
	Text      string     `json:"text"`
	At        time.Time  `json:"at"`
	EditedAt  *time.Time `json:"edited_at"`
	DeletedAt *time.Time `json:"deleted_at"`
}

func (r *bareRoom) post(w http.ResponseWriter, request *http.Request) {
	m := bareMessage{Room: "lobby", User: newPerson(0).username, ID: "0199b2c4-8a10-7000-8000-3f2a9c51d600"}
	if err := json.NewDecoder(request.Body).Decode(&m); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	text := r.tell(&m)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	_, _ = w.Write(text) // the poster may have gone
}

// tell gives the message its sequence and sends it to everybody.
func (r *bareRoom) tell(m *bareMessage) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sequence++
	m.Sequence, m.At = r.sequence, time.Now().UTC().Truncate(time.Microsecond)
	text, _ := json.Marshal(m) // of strings, numbers and times, which cannot fail
	var frame strings.Builder
	fmt.Fprintf(&frame, "id: 1-%d\nevent: message\ndata: {\"at\":%q,\"lamport\":%d,%s\n\n", r.sequence, m.At.Format(time.RFC3339Nano), r.sequence, text[1:])
	sent := []byte(frame.String())
	for frames := range r.readers {
		frames <- sent
	}
	return text
}
