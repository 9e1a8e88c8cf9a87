// Package workers executes what was journaled: a lane per queue, each held by one process at a time. It knows asynq, and the rules of the
// counters only by their verbs. It must never know HTTP.
package workers

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/trace"

	"guichet/models/bank"
	"guichet/models/database"
	"guichet/models/events"
	"guichet/models/exchange"
	"guichet/models/feed"
	"guichet/models/files"
	"guichet/models/games"
	"guichet/models/lamport"
	"guichet/models/messages"
	"guichet/models/operation"
	"guichet/models/ticket"
	"guichet/models/trips"
)

// Lanes names all lanes, of which the given number are the exchange's.
func Lanes(exchangeLanes int) []string {
	lanes := []string{bank.Lane, trips.Lane, events.Lane, messages.Lane, files.Lane, games.Lane}
	for n := range exchangeLanes {
		lanes = append(lanes, exchange.LaneName(n))
	}
	return lanes
}

func (w *Workers) counterOf(lane string) counter {
	switch lane {
	case messages.Lane:
		return newMessagesCounter(w)
	case files.Lane:
		return newFilesCounter(w)
	case games.Lane:
		return newGamesCounter(w)
	}
	switch family, _, _ := strings.Cut(lane, "-"); family {
	case bank.Lane:
		return bankCounter{}
	case trips.Lane:
		return &tripsCounter{tickets: w.Tickets}
	case events.Lane:
		return newEventsCounter(w)
	case exchange.LaneFamily:
		return newExchangeCounter(lane)
	default:
		panic(fmt.Sprintf("workers: no counter for lane %q", lane))
	}
}

// Workers holds the lanes that it can get and executes them. Set the exported fields, then Run.
type Workers struct {
	DB        *database.DB
	Redis     redis.UniversalClient
	NewRedis  func() redis.UniversalClient // a client of its own for each lane: it holds dequeues back
	Clock     *lamport.Clock
	Publisher *feed.Publisher
	Lanes     []string
	// Tickets signs the codes of tickets.
	Tickets *ticket.Signer
	// PresenceGrace is for how long a member of a room may be away before they have left it; zero for nobody to look.
	PresenceGrace time.Duration
	// Files has the contents of files.
	Files files.Storage
	// ShutdownTimeout is how long the envelope in hand may take at an orderly stop.
	ShutdownTimeout time.Duration
	// OnLost is told when a lane was taken from this process while it held it. It must end the process.
	OnLost func(error)
	// Metrics is where the lanes' metrics are registered.
	Metrics prometheus.Registerer
	// Tracer makes the spans of what is executed; nil for none.
	Tracer trace.Tracer

	metrics metrics
	leases  *scriptsTogether
	looks   together[string, operation.LaneLooks]
	mu      sync.Mutex
	wakers  map[string]func()
}

// Run executes until ctx ends; then it finishes the envelopes in hand.
func (w *Workers) Run(ctx context.Context) error {
	if err := operation.EnsureLanes(ctx, w.DB, w.Lanes); err != nil {
		return fmt.Errorf("workers: %w", err)
	}
	w.metrics = newMetrics(w.Metrics)
	w.prepare() //nolint:contextcheck // what it is asked together is bounded by a patience of its own
	name := newHolder()
	var running sync.WaitGroup
	for _, lane := range w.Lanes {
		h := &holder{Workers: w, lane: lane, counter: w.counterOf(lane), name: name}
		running.Go(func() { h.run(ctx) })
	}
	running.Go(func() { ListenWake(ctx, w.Redis, operation.WakeChannel, w.Wake) })
	running.Go(func() { w.keepHouse(ctx) })
	if w.PresenceGrace > 0 {
		running.Go(func() { w.keepPresence(ctx) })
	}
	running.Wait()
	return nil
}

func (w *Workers) prepare() {
	w.wakers = map[string]func(){}
	w.leases = newScriptsTogether(w.Redis, leaseCallTimeout)
	w.looks.ask = w.lookAtLanes
}

// lookAtLanes looks at all lanes for everybody who asks, over the connections that write, which do not wait for an answer for ever.
func (w *Workers) lookAtLanes(lanes []string) ([]operation.LaneLooks, error) {
	found, err := operation.LookAtLanes(w.DB.Writer(context.Background()))
	return slices.Repeat([]operation.LaneLooks{found}, len(lanes)), err
}

// Wake tells this process that something was enqueued for a lane (all lanes, if it has no name).
func (w *Workers) Wake(lane string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, wake := range w.wakers {
		if lane == "" || lane == name {
			wake()
		}
	}
}

func (w *Workers) setWaker(lane string, wake func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wakers[lane] = wake
}
