package workers

import (
	"context"
	"runtime"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// together has those who ask in the same moment ask at once: a store that is asked once for all lanes has a fraction of the work, and so has who asks.
type together[Q, A any] struct {
	// ask returns the answers in the order of the questions. It bounds how long that takes by itself: nobody's context ends what is asked for others, too.
	ask func([]Q) ([]A, error)

	mu   sync.Mutex
	next *asking[Q, A] // which can still be joined
}

type asking[Q, A any] struct {
	questions []Q
	answers   []A
	err       error
	answered  chan struct{}
}

// of returns the answer to one question.
func (t *together[Q, A]) of(ctx context.Context, question Q) (answer A, err error) {
	t.mu.Lock()
	joined := t.next
	if joined == nil {
		joined = &asking[Q, A]{answered: make(chan struct{})}
		t.next = joined
		go t.answer(joined)
	}
	at := len(joined.questions)
	joined.questions = append(joined.questions, question)
	t.mu.Unlock()
	select {
	case <-joined.answered:
	case <-ctx.Done():
		return answer, ctx.Err()
	}
	if joined.err != nil {
		return answer, joined.err
	}
	return joined.answers[at], nil
}

func (t *together[Q, A]) answer(joined *asking[Q, A]) {
	for range 3 {
		runtime.Gosched() // whoever was woken by the same beat comes first
	}
	t.mu.Lock()
	t.next = nil
	t.mu.Unlock()
	joined.answers, joined.err = t.ask(joined.questions)
	close(joined.answered)
}

// scriptsTogether is a Redis whose scripts go there together. Each has its own outcome; in a cluster each goes to the node of its keys.
type scriptsTogether struct {
	redis.UniversalClient
	calls together[scriptCall, *redis.Cmd]
}

type scriptCall struct {
	sha  string
	keys []string
	args []any
}

// newScriptsTogether returns a Redis whose scripts are given up after patience.
func newScriptsTogether(client redis.UniversalClient, patience time.Duration) *scriptsTogether {
	s := &scriptsTogether{UniversalClient: client}
	s.calls.ask = func(calls []scriptCall) ([]*redis.Cmd, error) {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		pipe := client.Pipeline()
		answers := make([]*redis.Cmd, len(calls))
		for i, c := range calls {
			answers[i] = pipe.EvalSha(ctx, c.sha, c.keys, c.args...)
		}
		_, _ = pipe.Exec(ctx) // each of the commands has its own error
		return answers, nil
	}
	return s
}

// EvalSha is part of redis.Scripter.
func (s *scriptsTogether) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	answer, err := s.calls.of(ctx, scriptCall{sha, keys, args})
	if err != nil {
		answer = redis.NewCmd(ctx)
		answer.SetErr(err)
	}
	return answer
}
