package workers

import (
	"context"
	"sync"

	"guichet/models/id"
	"guichet/models/operation"
)

// arrivals are the envelopes that the queue has brought and that are not executed yet, in the order in which they came. What waits while an envelope is executed
// is executed together, as one: so the lane's transactions grow with its load, however small the envelopes of many API processes are.
type arrivals struct {
	mu   sync.Mutex
	line []*arrival
}

// arrival is an envelope that the queue has brought.
type arrival struct {
	read     chan struct{}       // closed when envelope is set
	envelope *operation.Envelope // nil if it cannot be read

	// These belong to who has the executor's lock.
	over bool
	err  error
}

// arrive takes a place in the line, before the envelope is read: reading takes long enough for another one to come first.
func (l *arrivals) arrive() *arrival {
	a := &arrival{read: make(chan struct{})}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.line = append(l.line, a)
	return a
}

func (a *arrival) is(e *operation.Envelope) {
	a.envelope = e
	close(a.read)
}

// next takes the head of the line, and what comes behind it as long as it fits into one envelope, follows in order (see executor.catchUp) and is not in it
// already, as a redelivery may be.
func (l *arrivals) next(executed func(after id.ID) bool) (group []*arrival) {
	l.mu.Lock()
	defer l.mu.Unlock()
	commands, batches := 0, map[id.ID]bool{}
	for _, a := range l.line {
		<-a.read
		if e := a.envelope; e != nil {
			repeated := false
			for _, b := range e.Batches {
				repeated = repeated || batches[b.ID]
			}
			if len(group) > 0 && (commands+len(e.Commands) > drainPack || repeated || !executed(e.After) && !batches[e.After]) {
				break
			}
			commands += len(e.Commands)
			for _, b := range e.Batches {
				batches[b.ID] = true
			}
		}
		group = append(group, a)
	}
	l.line = append([]*arrival(nil), l.line[len(group):]...)
	return group
}

// finish returns when the envelope of an arrival has been executed, by whoever had its turn. For what it returns see execute.
func (x *executor) finish(ctx context.Context, a *arrival) error {
	x.mu.Lock()
	for !a.over {
		group := x.arrivals.next(x.hasExecuted)
		err := x.executeTogether(ctx, group)
		for _, member := range group {
			member.over, member.err = true, err
		}
	}
	tell := x.tell
	x.tell = nil
	x.mu.Unlock() // the next envelope need not wait until everybody has been told of this one
	for _, t := range tell {
		t()
	}
	return a.err
}

func (x *executor) executeTogether(ctx context.Context, group []*arrival) error {
	var together operation.Envelope
	for _, a := range group {
		if a.envelope == nil {
			continue
		}
		if len(together.Batches) == 0 {
			together.After = a.envelope.After
		}
		together.Batches = append(together.Batches, a.envelope.Batches...)
		together.Commands = append(together.Commands, a.envelope.Commands...)
	}
	if len(together.Batches) == 0 {
		return nil
	}
	if err := x.catchUp(ctx, &together); err != nil {
		return err
	}
	return x.executeLocked(ctx, &together)
}
