package handlers

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"guichet/models/database"
	"guichet/models/feed"
	"guichet/models/id"
	"guichet/models/operation"
	"guichet/models/problem"
)

const (
	// journalPatience is how long an intake goes on trying to write a batch before it tells its callers that the store is away.
	journalPatience = 3 * time.Second
	journalPause    = 50 * time.Millisecond
	// A batch is kept open while the lane is busy, so that hundreds share the commit: for as long as is left of the time that an envelope takes when journaling and
	// the way through the queue are taken off, which is gatherShare of it (longer, and the lane would wait for the batch), within these bounds.
	gatherShare = 0.4
	gatherLeast = 3 * time.Millisecond
	gatherMost  = 10 * time.Millisecond
	// backlog is how far, in operations, an intake may be ahead of its lane before it waits for it: some 100 ms of work. So clients that do not wait for
	// outcomes are slowed down to what the lane executes, by the time that their POST takes, long before the line is full and they are refused.
	backlog = 6 * id.MaxBatch
	// backlogPatience bounds that wait: a lane that does not move, because it is paused or has no holder, fills up to its depth.
	backlogPatience = 100 * time.Millisecond
)

// submission is a command on its way into the journal.
type submission struct {
	command operation.Command
	key     *operation.Key
	wait    bool
	answer  chan accepted // gets one
}

// accepted is the intake's answer.
type accepted struct {
	command  operation.Command
	repeated id.ID // the operation that the key had been used for, if any: then there is no command
	ended    <-chan feed.Entry
	forget   func()
	err      error
}

// intake is the door of one lane in one process: it takes everything that arrived while it wrote the last batch, writes it into the journal as one, answers, and
// has it enqueued. No timer: an idle intake writes a batch of one at once, a busy one shares the cost of a commit among hundreds.
type intake struct {
	*Server
	lane        string
	submissions chan *submission
	dispatcher  *dispatcher
	depth       depth
	doubtful    []journaled // batches of which it is not known whether they were written
}

// depth estimates how many operations wait in the lane: what the journal had when it was last read, and what this process knows to have changed since.
type depth struct {
	read  atomic.Int64
	added atomic.Int64
}

func newIntake(lane string, s *Server) *intake {
	in := &intake{Server: s, lane: lane, submissions: make(chan *submission, id.MaxBatch)}
	in.dispatcher = newDispatcher(lane, s, queueClient(s.Redis), &in.depth)
	return in
}

// submit puts a command into the lane's line and returns when it is in the journal.
func (s *Server) submit(ctx context.Context, lane, kind string, payload any) (accepted, error) {
	call := callOf(ctx)
	body, err := json.Marshal(payload)
	if err != nil {
		return accepted{}, fmt.Errorf("handlers: a payload: %w", err)
	}
	sub := &submission{
		command: operation.Command{UserID: call.session.UserID, Lane: lane, Kind: kind, Payload: body, Traceparent: call.trace},
		key:     call.idempotencyKey(), wait: call.wait > 0, answer: make(chan accepted, 1),
	}
	in := s.intakes[lane]
	if in == nil { // there were more lanes when the symbol was listed
		return accepted{}, problem.Newf(problem.Unavailable, "Lane %s is not served.", lane).After(retryLater)
	}
	select {
	case in.submissions <- sub:
	case <-ctx.Done():
		return accepted{}, ctx.Err()
	case <-s.closing:
		return accepted{}, problem.New(problem.Unavailable, "This server is stopping.").After(retryLater)
	}
	answer := <-sub.answer // the intake always answers
	// Zero, if the key was used before: the answer is looked up then.
	call.operation = answer.command.ID
	return answer, answer.err
}

func (in *intake) run(ctx context.Context) {
	dispatching, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	in.dispatcher.compare(ctx) // the lane may be as full as it was when the process before this one ended
	var dispatcher sync.WaitGroup
	dispatcher.Go(func() { in.dispatcher.run(dispatching) })
	for {
		select {
		case <-ctx.Done():
			in.refuseRest()
			stop()
			dispatcher.Wait() // envelopes are enqueued one after the other
			in.dispatcher.flush(context.WithoutCancel(ctx))
			return
		case first := <-in.submissions:
			in.keepPace(ctx)
			in.accept(context.WithoutCancel(ctx), in.gather(first))
		}
	}
}

// gather takes what has arrived. It waits for no more, unless the lane is busy: then a moment longer in the door costs the operations next to nothing, and saves
// a commit.
func (in *intake) gather(first *submission) []*submission {
	batch := append(make([]*submission, 0, 32), first)
	var moment <-chan time.Time
	for len(batch) < id.MaxBatch {
		select {
		case next := <-in.submissions:
			batch = append(batch, next)
			continue
		default:
		}
		if !in.dispatcher.busy() {
			return batch
		}
		if moment == nil {
			moment = time.After(in.dispatcher.patience())
		}
		select {
		case next := <-in.submissions:
			batch = append(batch, next)
		case <-in.dispatcher.progress:
		case <-moment:
			return batch
		}
	}
	return batch
}

func (in *intake) refuseRest() {
	for {
		select {
		case s := <-in.submissions:
			s.answer <- accepted{err: problem.New(problem.Unavailable, "This server is stopping.").After(retryLater)}
		default:
			return
		}
	}
}

// keepPace waits while the lane is too far behind, as long as it moves.
func (in *intake) keepPace(ctx context.Context) {
	for in.depth.added.Load() >= backlog {
		select {
		case <-in.dispatcher.progress:
		case <-time.After(backlogPatience):
			return
		case <-ctx.Done():
			return
		}
	}
}

// accept journals a batch and answers everybody in it.
func (in *intake) accept(ctx context.Context, batch []*submission) {
	if room := in.LaneDepth - int(in.depth.read.Load()+in.depth.added.Load()); len(batch) > room {
		full := problem.Newf(problem.LaneFull, "The line of lane %s is at its longest, %d operations.", in.lane, in.LaneDepth).After(time.Second)
		for _, s := range batch[max(room, 0):] {
			s.answer <- accepted{err: full}
		}
		batch = batch[:max(room, 0)]
	}
	if len(batch) == 0 {
		return
	}
	if err := in.settleDoubts(ctx); err != nil {
		for _, s := range batch {
			s.answer <- accepted{err: err}
		}
		return
	}
	j := &journaling{intake: in, submissions: batch}
	began := time.Now()
	err := j.write(ctx)
	j.trace(ctx, began, err)
	if err != nil {
		j.forgetAll()
		if len(j.commands) > 0 {
			in.doubtful = append(in.doubtful, journaled{operation.Batch{ID: j.commands[0].ID, Operations: len(j.commands)}, j.commands})
		}
		for _, s := range batch {
			s.answer <- accepted{err: err}
		}
		return
	}
	in.depth.added.Add(int64(len(j.commands)))
	j.answerAll()
	j.logAccepted(ctx, slog.Default())
	if len(j.commands) > 0 {
		in.dispatcher.add(operation.Batch{ID: j.commands[0].ID, Operations: len(j.commands)}, j.commands)
	}
}

// settleDoubts finds out whether batches were written whose commit was not answered, and hands those that were to the dispatcher: the next batch must not
// overtake them.
func (in *intake) settleDoubts(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, journalPatience)
	defer cancel()
	for len(in.doubtful) > 0 {
		doubt := in.doubtful[0]
		written, err := operation.Has(in.DB.Read(ctx), doubt.ID)
		if err != nil {
			return errNotJournaled.Because(err)
		}
		if written {
			in.depth.added.Add(int64(doubt.Operations))
			in.dispatcher.add(doubt.Batch, doubt.commands)
		}
		in.doubtful = in.doubtful[1:]
	}
	return nil
}

// errNotJournaled is honest: a commit may have got through though the answer to it did not.
var errNotJournaled = problem.New(problem.Unavailable, "The journal cannot be written, or does not answer. Whether the operation was accepted is not known; with an Idempotency-Key it is safe to try again.").After(retryLater)

// journaling is the writing of one batch.
type journaling struct {
	*intake
	submissions []*submission
	answers     []accepted // by submission
	commands    []operation.Command
	keys        []operation.Key
	keyAnswers  []operation.Answer
}

// write journals the batch. A store that is away is tried again for a while: the batch keeps its ids, so that one whose commit got through though
// the answer to it did not is recognised.
func (j *journaling) write(ctx context.Context) error {
	base := j.IDs.Next()
	var lastErr error
	for began := time.Now(); time.Since(began) < journalPatience; {
		err := j.attempt(ctx, base)
		switch {
		case err == nil:
			return nil
		case database.IsDuplicate(err): // another process has just used one of the keys, or this is written already: the next attempt sees which
		case !database.IsTransient(err):
			return err
		}
		lastErr = err
		slog.WarnContext(ctx, "a batch is not journaled yet", "lane", j.lane, "operations", len(j.submissions), "error", err)
		<-time.After(journalPause)
	}
	return errNotJournaled.Because(lastErr)
}

// attempt writes the batch in one transaction. A database that is frozen must not hold the callers: they are told to come back.
func (j *journaling) attempt(ctx context.Context, base id.ID) error {
	ctx, cancel := context.WithTimeout(ctx, journalPatience)
	defer cancel()
	return j.DB.Write(ctx, func(tx database.Tx) error { return j.writeIn(tx, base) })
}

func (j *journaling) writeIn(tx database.Tx, base id.ID) error {
	used, err := j.usedKeys(tx)
	if err != nil {
		return err
	}
	if len(j.commands) > 0 {
		// The commit of an earlier attempt may have got through, though not the answer to it: then what that attempt assigned is what was written.
		// This is asked after the keys, so that those of an earlier attempt are not taken for somebody else's.
		if written, err := operation.Has(tx, base); written || err != nil {
			return err
		}
	}
	j.assign(used, base)
	if len(j.commands) == 0 {
		return nil
	}
	return tx.Deferred(func(tx database.Tx) error {
		if err := operation.Append(tx, j.lane, j.commands); err != nil {
			return err
		}
		return operation.KeepAnswers(tx, j.keys, j.keyAnswers, j.commands[0].SubmittedAt)
	})
}

// usedKeys finds which of the keys were used before.
func (j *journaling) usedKeys(tx database.Tx) (map[operation.Key]operation.Answer, error) {
	var keys []operation.Key
	for _, s := range j.submissions {
		if s.key != nil {
			keys = append(keys, *s.key)
		}
	}
	used, err := operation.FindAnswers(tx, keys)
	if used == nil {
		used = map[operation.Key]operation.Answer{}
	}
	return used, err
}

// assign gives each submission its id, or finds that its key was used before, in the store or earlier in the batch.
func (j *journaling) assign(used map[operation.Key]operation.Answer, base id.ID) {
	j.forgetAll() // what an earlier attempt expected
	j.answers = make([]accepted, len(j.submissions))
	j.commands, j.keys, j.keyAnswers = j.commands[:0], nil, nil
	now := time.Now().UTC().Truncate(time.Microsecond)
	for i, s := range j.submissions {
		if s.key != nil {
			if before, found := used[s.key.Bare()]; found {
				j.answers[i] = answerBefore(before, s.key)
				continue
			}
		}
		command := s.command
		command.ID, command.SubmittedAt, command.Lamport = base.WithIndex(len(j.commands)), now, j.Clock.Tick()
		if s.key != nil {
			answer := operation.Answer{Request: s.key.Request, Operation: command.ID}
			used[s.key.Bare()] = answer
			j.keys, j.keyAnswers = append(j.keys, *s.key), append(j.keyAnswers, answer)
		}
		j.answers[i].command = command
		if s.wait { // registered before the commit, so before a lane can execute it
			j.answers[i].ended, j.answers[i].forget = j.Hub.Expect(command.ID)
		}
		j.commands = append(j.commands, command)
	}
}

func answerBefore(before operation.Answer, key *operation.Key) accepted {
	if before.Request != key.Request || before.Operation.IsZero() {
		return accepted{err: errKeyReused}
	}
	return accepted{repeated: before.Operation}
}

var errKeyReused = problem.New(problem.IdempotencyKeyReused, "This Idempotency-Key was used for another request.")

func (j *journaling) answerAll() {
	for i, s := range j.submissions {
		s.answer <- j.answers[i]
	}
}

func (j *journaling) forgetAll() {
	for _, a := range j.answers {
		if a.forget != nil {
			a.forget()
		}
	}
}
