package workers

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

func TestTogether(t *testing.T) {
	t.Parallel()
	var asked, questions atomic.Int64
	double := together[int, int]{ask: func(of []int) ([]int, error) {
		asked.Add(1)
		questions.Add(int64(len(of)))
		answers := make([]int, len(of))
		for i, q := range of {
			answers[i] = 2 * q
		}
		return answers, nil
	}}
	const many = 1000
	var asking sync.WaitGroup
	for i := range many {
		asking.Go(func() {
			if answer, err := double.of(t.Context(), i); answer != 2*i || err != nil {
				t.Errorf("the answer to %d is %d, %v", i, answer, err)
			}
		})
	}
	asking.Wait()
	if n := questions.Load(); n != many {
		t.Errorf("%d questions were asked, want %d", n, many)
	}
	if n := asked.Load(); n >= many {
		t.Errorf("%d questions were asked one by one", n)
	}
}

func TestTogetherInVain(t *testing.T) {
	t.Parallel()
	var away = errors.New("away")
	refused := together[int, int]{ask: func([]int) ([]int, error) { return nil, away }}
	if _, err := refused.of(t.Context(), 1); !errors.Is(err, away) {
		t.Errorf("the error of what was asked is %v", err)
	}
	hangs := make(chan struct{})
	defer close(hangs)
	hung := together[int, int]{ask: func([]int) ([]int, error) {
		<-hangs
		return nil, away
	}}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := hung.of(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("who has given up gets %v", err)
	}
}

// Each script has its own keys, its own answer and its own error.
func TestScriptsTogether(t *testing.T) {
	t.Parallel()
	server := startLeaseRedis(t)
	scripts := newScriptsTogether(server.client(t), 20*time.Second)
	script := redis.NewScript("if ARGV[1] == '3' then return redis.error_reply('no three') end return redis.call('INCRBY', KEYS[1], ARGV[1])")
	var running sync.WaitGroup
	for i := range 10 {
		running.Go(func() {
			n, err := script.Run(t.Context(), scripts, []string{"{" + strconv.Itoa(i) + "}"}, i).Int()
			switch {
			case i == 3 && (err == nil || err.Error() != "no three"):
				t.Errorf("the script that fails returns %d, %v", n, err)
			case i != 3 && (n != i || err != nil):
				t.Errorf("script %d returns %d, %v", i, n, err)
			}
		})
	}
	running.Wait()
	server.kill()
	if err := script.Run(t.Context(), scripts, []string{"k"}, 1).Err(); err == nil {
		t.Error("a script runs on a Redis that is away")
	}
}
