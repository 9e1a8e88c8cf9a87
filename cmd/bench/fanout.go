package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// fanoutRun names the rows of the feed's fan-out, which figures look up.
const fanoutRun = "fan-out of a room, MariaDB + Redis, api and worker apart"

const (
	saturated pattern = "saturated"
	paced     pattern = "50 messages/s"
)

const (
	// roomPosters post to the room, each its next message when the one before is answered.
	roomPosters = 64
	// roomWindow is how many messages may be on their way: posted, and not received by all readers. It keeps what waits bounded, for all servers alike.
	roomWindow = 256
	// pacedPosters take turns at so many messages a second, so that a slow answer holds none of them up.
	pacedPosters = 8
	pacedRate    = 50
	// streamsPerPerson is how many streams a session may have open.
	streamsPerPerson = 20
	// latencyReaders is the audience of the paced load.
	latencyReaders = 1000
	mostReaders    = 5000
)

// fanoutReaders are the audiences of the saturated load.
var fanoutReaders = []int{100, latencyReaders, mostReaders}

// fanoutWords tells the loads of the fan-out in the report's conditions.
const fanoutWords = "fan-out: messages of 120 bytes to one room; accepted: messages, applied: what all its readers received of them; saturated: 64 posters, 256 messages on their way at the most; " +
	"p50 and p99: from POST to received, by each reader; the readers are raw TCP clients of the generator"

// fanout measures what all readers of a room receive while posters say as much as they can, and with how much memory.
type fanout struct{}

func (fanout) name() string { return "fanout" }

func (f fanout) run(ctx context.Context, l *lab) error {
	for _, n := range fanoutReaders {
		if err := (bareFanout{}).once(ctx, l, n, saturated); err != nil {
			return err
		}
		if err := measureRoom(ctx, l, n, saturated); err != nil {
			return fmt.Errorf("%d readers: %w", n, err)
		}
	}
	return nil
}

// fanoutLatency measures how long a message takes from POST to each of its readers, at a rate that is easy.
type fanoutLatency struct{}

func (fanoutLatency) name() string { return "fanout-latency" }

func (fanoutLatency) run(ctx context.Context, l *lab) error {
	if err := (bareFanout{}).once(ctx, l, latencyReaders, paced); err != nil {
		return err
	}
	return measureRoom(ctx, l, latencyReaders, paced)
}

// fanoutMemory measures what the api process takes with many readers.
type fanoutMemory struct{}

func (fanoutMemory) name() string { return "fanout-memory" }

func (fanoutMemory) run(ctx context.Context, l *lab) error {
	return measureRoom(ctx, l, mostReaders, paced)
}

// measureRoom opens guichet with a room, and measures it.
func measureRoom(ctx context.Context, l *lab, n int, p pattern) error {
	h, room, err := l.openRoom(ctx, n)
	if err != nil {
		return err
	}
	return h.close(ctx, room.measure(ctx, l, n, p))
}

// A room is where messages go, and what serves it.
type room struct {
	run     string // in the report
	address string
	server  *process   // that answers
	watch   []*process // whose CPU is reported
	// reader is the request by which reader i follows the room, and pen writes the requests of poster i.
	reader func(i int) string
	pen    func(i int) *pen
}

// openRoom starts a house whose people are in the lobby: those who post, and enough to follow it n times.
func (l *lab) openRoom(ctx context.Context, n int) (*house, *room, error) {
	listeners := (n + streamsPerPerson - 1) / streamsPerPerson
	h, err := l.openHouse(ctx, splitShape, max(listeners, roomPosters))
	if err != nil {
		return nil, nil, err
	}
	for i := range roomPosters {
		if _, err := h.call(ctx, http.MethodPut, "/v1/rooms/lobby/members/me", h.people[i].token, nil, nil); err != nil {
			return nil, nil, h.close(ctx, err)
		}
	}
	return h, &room{
		run: fanoutRun, address: h.address, server: h.processes[0], watch: h.watched(true),
		reader: func(i int) string {
			return fmt.Sprintf("GET /v1/feed?topics=room:lobby HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n", h.address, h.people[i/streamsPerPerson].token)
		},
		pen: func(i int) *pen { return h.pen(&h.people[i]) },
	}, nil
}

// measure has n readers follow the room while messages are posted in a pattern, and adds a row to the report.
func (r *room) measure(ctx context.Context, l *lab, n int, p pattern) (err error) {
	if err := allowFiles(2*n + 1000); err != nil {
		return err
	}
	crowd, err := openAudience(ctx, r.address, n, r.reader)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, crowd.close()) }()
	start := time.Now().Add(l.warmup())
	end := start.Add(l.duration)
	var cpu []cpuUse
	var received, posted int64
	var span time.Duration
	group, ctx := errgroup.WithContext(ctx)
	posting, stop := context.WithCancel(ctx)
	group.Go(func() error { return r.post(posting, crowd, p) })
	group.Go(func() error {
		defer stop()
		waitUntil(ctx, start, nil)
		crowd.record(true)
		from, receivedBefore, postedBefore := time.Now(), crowd.received(), crowd.posted.Load()
		var err error
		cpu, err = measureCPU(ctx, r.watch, from, end, nil)
		span = time.Since(from)
		received, posted = crowd.received()-receivedBefore, crowd.posted.Load()-postedBefore
		crowd.record(false)
		return err
	})
	group.Go(func() error { return crowd.watch(posting) })
	if err := group.Wait(); err != nil {
		return err
	}
	rss, err := residentMemory(r.server.pid)
	if err != nil {
		return err
	}
	megabytes := float64(rss) / 1e6
	if r.run == fanoutRun && n == mostReaders {
		l.report.set(valueFanoutMemory, megabytes)
	}
	l.report.add(row{
		run: r.run, clients: n, pattern: p, accepted: rate(posted, span), applied: rate(received, span), latency: crowd.latency.quantiles(),
		remarks: fmt.Sprintf("CPU seconds per million received: %s; resident: %s %.0f MB", cpuPerMillion(cpu, received), r.server.name, megabytes),
	})
	return nil
}

// post posts until ctx ends.
func (r *room) post(ctx context.Context, crowd *audience, p pattern) error {
	posters := roomPosters
	var beats *time.Ticker
	if p == paced {
		posters = pacedPosters
		beats = time.NewTicker(time.Second / pacedRate)
		defer beats.Stop()
	}
	group, ctx := errgroup.WithContext(ctx)
	for i := range posters {
		group.Go(func() error {
			w, err := dialWire(ctx, r.address)
			if err != nil {
				return err
			}
			defer w.close()
			poster := &roomPoster{wire: w, pen: r.pen(i), audience: crowd, beats: beats}
			return poster.run(ctx)
		})
	}
	return group.Wait()
}

// cpuPerMillion tells how many seconds of CPU each program spent on each million of n.
func cpuPerMillion(uses []cpuUse, n int64) string {
	if n == 0 || len(uses) == 0 {
		return dash
	}
	var parts []string
	for _, u := range uses[:len(uses)-1] {
		parts = append(parts, fmt.Sprintf("%s %.2f", u.name, u.time.Seconds()*1e6/float64(n)))
	}
	return strings.Join(parts, ", ") + otherUse(uses)
}

// allowFiles lets this process, and those that it starts, have so many files open.
func allowFiles(n int) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	if limit.Max < uint64(n) {
		return fmt.Errorf("%d files may be open, and %d are needed: raise the hard limit (ulimit -Hn)", limit.Max, n)
	}
	limit.Cur = limit.Max
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
}
