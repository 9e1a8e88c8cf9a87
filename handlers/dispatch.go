package handlers

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"guichet/models/id"
	"guichet/models/operation"
)

const (
	// credit is how many envelopes of one intake may be on their way in a lane: one keeps the lane busy while the next is packed. More only let a fast client
	// fill the queue with small envelopes ahead of everybody else.
	credit = 2
	// reckonEvery is how often a dispatcher that has something outstanding compares it with the journal, in case the news of its end was lost.
	reckonEvery = 500 * time.Millisecond
	// enqueuePatience is how long an enqueue may take. Longer, and a Redis that does not answer would keep the dispatcher from seeing what the lane
	// executes from the journal meanwhile.
	enqueuePatience = time.Second
	// enqueuePause is the wait after an enqueue that failed.
	enqueuePause = 100 * time.Millisecond
	// taskTimeout and taskRetries: a lane retries in place; asynq must neither give up nor let other tasks overtake.
	taskTimeout = 24 * time.Hour
	taskRetries = math.MaxInt32
)

// journaled is a batch that is in the journal.
type journaled struct {
	operation.Batch
	commands []operation.Command
}

// dispatcher packs journaled batches into envelopes and enqueues them, as credit allows. What it has not enqueued is in the journal, and
// the lane finds it there should this process die.
type dispatcher struct {
	*Server
	lane     string
	client   *asynq.Client
	depth    *depth
	signal   chan struct{}
	progress chan struct{} // gets a value when the lane has executed something of ours

	credit int

	mu          sync.Mutex
	waiting     []journaled    // in the journal, not enqueued
	outstanding [][]id.ID      // envelopes enqueued and not known to be executed, by their batches
	sizes       map[id.ID]int  // operations of each batch that is waiting or outstanding
	done        map[id.ID]bool // batches of outstanding envelopes that were executed
	node        uint64         // of the ids of this intake's batches
	pace        time.Duration  // how long an envelope takes while others wait for it: a moving average
	paced       time.Time      // when the last of ours was executed
	packed      id.ID          // the newest of them that was packed: what is packed later must not overtake it
}

func newDispatcher(lane string, s *Server, client *asynq.Client, depth *depth) *dispatcher {
	return &dispatcher{Server: s, lane: lane, client: client, depth: depth, credit: credit, signal: make(chan struct{}, 1), progress: make(chan struct{}, 1), sizes: map[id.ID]int{}, done: map[id.ID]bool{}}
}

// queueClient is what dispatchers enqueue with.
func queueClient(rdb redis.UniversalClient) *asynq.Client {
	return asynq.NewClientFromRedisClient(rdb)
}

// add takes over a batch that this intake has journaled.
func (d *dispatcher) add(batch operation.Batch, commands []operation.Command) {
	d.mu.Lock()
	d.node = batch.ID.Node()
	d.mu.Unlock()
	d.addReplayed(batch, commands)
}

// addReplayed takes over a batch that is in line again. Any intake may have journaled it.
func (d *dispatcher) addReplayed(batch operation.Batch, commands []operation.Command) {
	d.mu.Lock()
	d.waiting = append(d.waiting, journaled{batch, commands})
	d.sizes[batch.ID] = batch.Operations
	d.mu.Unlock()
	d.poke()
}

func (d *dispatcher) poke() {
	select {
	case d.signal <- struct{}{}:
	default:
	}
}

// advanced is told which batches the lane has executed; those of other intakes are ignored.
func (d *dispatcher) advanced(batches []id.ID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, b := range batches {
		d.forget(b)
	}
	d.settle()
	select {
	case d.progress <- struct{}{}:
	default:
	}
}

// patience is how long a batch is kept open while the lane is busy.
func (d *dispatcher) patience() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return min(max(time.Duration(gatherShare*float64(d.pace)), gatherLeast), gatherMost)
}

// notePace is told that envelopes were executed, of which some are left. It is called with mu held.
func (d *dispatcher) notePace(now time.Time, left int) {
	if !d.paced.IsZero() {
		d.pace += (now.Sub(d.paced) - d.pace) / 8
	}
	d.paced = now
	if left == 0 { // what comes next has waited for nobody
		d.paced = time.Time{}
	}
}

// busy says whether the lane has an envelope of ours in hand.
func (d *dispatcher) busy() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.outstanding) > 0
}

// forget is called with mu held.
func (d *dispatcher) forget(batch id.ID) {
	operations, ours := d.sizes[batch]
	if !ours {
		return
	}
	delete(d.sizes, batch)
	d.depth.added.Add(-int64(operations))
	d.done[batch] = true
}

// settle gives credit back for envelopes of which nothing is left. It is called with mu held.
func (d *dispatcher) settle() {
	if len(d.done) == 0 {
		return
	}
	kept := d.outstanding[:0]
	for _, batches := range d.outstanding {
		left := false
		for _, b := range batches {
			left = left || !d.done[b]
		}
		if left {
			kept = append(kept, batches)
			continue
		}
		for _, b := range batches {
			delete(d.done, b)
		}
	}
	if len(kept) < len(d.outstanding) {
		d.notePace(time.Now(), len(kept))
	}
	d.outstanding = kept
	if len(d.waiting) > 0 && d.done[d.waiting[0].ID] { // the lane found them in the journal before they were enqueued
		rest := d.waiting[:0]
		for _, w := range d.waiting {
			if d.done[w.ID] {
				delete(d.done, w.ID)
			} else {
				rest = append(rest, w)
			}
		}
		d.waiting = rest
	}
	if len(d.waiting) > 0 && len(d.outstanding) < d.credit {
		d.poke()
	}
}

func (d *dispatcher) run(ctx context.Context) {
	reckon := time.NewTicker(reckonEvery)
	defer reckon.Stop()
	for resting := false; ; {
		select {
		case <-ctx.Done():
			return
		case <-reckon.C:
			if resting = !d.reckon(ctx); resting {
				reckon.Stop()
			}
		case <-d.signal:
			d.dispatch(ctx)
			if resting {
				resting = false
				reckon.Reset(reckonEvery)
			}
		}
	}
}

// dispatch enqueues as much as credit allows.
func (d *dispatcher) dispatch(ctx context.Context) {
	for ctx.Err() == nil {
		envelope := d.pack()
		if envelope == nil {
			return
		}
		if err := d.enqueue(ctx, envelope); err != nil {
			slog.WarnContext(ctx, "an envelope is not enqueued; its operations wait in the journal", "lane", d.lane, "envelope", envelope.ID(), "error", err)
			d.unpack(envelope)
			time.AfterFunc(enqueuePause, d.poke)
			return
		}
	}
}

// pack takes the next envelope from what waits, or returns nil if there is none or no credit for it.
func (d *dispatcher) pack() *operation.Envelope {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.waiting) == 0 || len(d.outstanding) >= d.credit {
		return nil
	}
	envelope := &operation.Envelope{After: d.packed}
	n := 0
	for n < len(d.waiting) && (n == 0 || len(envelope.Commands)+d.waiting[n].Operations <= id.MaxBatch) {
		envelope.Add(d.waiting[n].Batch, d.waiting[n].commands)
		if next := d.waiting[n].ID; next.Node() == d.node && d.packed.Less(next) {
			d.packed = next
		}
		n++
	}
	d.waiting = append([]journaled(nil), d.waiting[n:]...)
	batches := make([]id.ID, n)
	for i := range batches {
		batches[i] = envelope.Batches[i].ID
	}
	d.outstanding = append(d.outstanding, batches)
	return envelope
}

// unpack puts an envelope that could not be enqueued back in front of what waits, except for what the lane has found in the journal meanwhile.
func (d *dispatcher) unpack(e *operation.Envelope) {
	d.mu.Lock()
	defer d.mu.Unlock()
	at := slices.IndexFunc(d.outstanding, func(batches []id.ID) bool { return batches[0] == e.ID() })
	if at < 0 {
		return // all of it was executed
	}
	d.outstanding = slices.Delete(d.outstanding, at, at+1)
	d.packed = e.After
	var back []journaled
	from := 0
	for _, b := range e.Batches {
		if d.done[b.ID] {
			delete(d.done, b.ID)
		} else {
			back = append(back, journaled{b, e.Commands[from : from+b.Operations]})
		}
		from += b.Operations
	}
	d.waiting = append(back, d.waiting...)
	d.settle()
}

func (d *dispatcher) enqueue(ctx context.Context, e *operation.Envelope) error {
	ctx, cancel := context.WithTimeout(ctx, enqueuePatience)
	defer cancel()
	task := asynq.NewTask(operation.TaskKind, e.Encode())
	_, err := d.client.EnqueueContext(ctx, task, asynq.Queue(d.lane), asynq.TaskID(e.ID().String()), asynq.MaxRetry(taskRetries), asynq.Timeout(taskTimeout))
	if err != nil && !errors.Is(err, asynq.ErrTaskIDConflict) { // a conflict: an earlier attempt got through
		return err
	}
	d.Wake(d.lane)
	return nil
}

// reckon is compare, unless there is nothing to compare, which it says.
func (d *dispatcher) reckon(ctx context.Context) (compared bool) {
	d.mu.Lock()
	known := len(d.sizes)
	d.mu.Unlock()
	if known == 0 && d.depth.added.Load() == 0 && d.depth.read.Load() == 0 {
		return false
	}
	d.compare(ctx)
	return true
}

// compare compares what is thought to wait with the journal, and reads how deep the lane is.
func (d *dispatcher) compare(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	d.mu.Lock()
	known := make([]id.ID, 0, len(d.sizes))
	for b := range d.sizes {
		known = append(known, b)
	}
	d.mu.Unlock()
	waiting, total, err := d.journal.WaitingOf(ctx, d.lane, known)
	if err != nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, b := range known {
		if !waiting[b] {
			d.forget(b)
		}
	}
	d.settle()
	own := int64(0)
	for _, operations := range d.sizes {
		own += int64(operations)
	}
	d.depth.added.Store(own)
	d.depth.read.Store(max(0, total-own))
}

// flush enqueues what credit allows before the process stops; the rest is found in the journal.
func (d *dispatcher) flush(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	d.dispatch(ctx)
}
