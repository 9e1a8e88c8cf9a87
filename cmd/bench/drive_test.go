package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// loadOn is a load of n clients on a test server, which ends with the test.
func loadOn(t *testing.T, n int, handler http.HandlerFunc) load {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	s := baselineServer{address: strings.TrimPrefix(server.URL, "http://")}
	clients, err := s.clients(t.Context(), n, uniform, "/noop")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeAll(clients) })
	return load{clients: clients, judge: finished, window: 200 * time.Millisecond}
}

// inTime measures again while the machine was too slow for anything to be answered within so short a measurement.
func inTime(measure func() bool) {
	for deadline := time.Now().Add(time.Minute); !measure() && time.Now().Before(deadline); {
	}
}

func TestDriveCountsWhatWasAnswered(t *testing.T) {
	t.Parallel()
	var served atomic.Int64
	var m measurement
	inTime(func() bool {
		served.Store(0)
		l := loadOn(t, 4, func(w http.ResponseWriter, _ *http.Request) {
			served.Add(1)
			fmt.Fprint(w, `{"status":"succeeded"}`)
		})
		l.bucket = 50 * time.Millisecond
		var err error
		if m, err = l.drive(t.Context()); err != nil {
			t.Fatal(err)
		}
		return total(m.applied) > 0
	})
	done := total(m.applied)
	if len(m.applied) != 4 || done == 0 || total(m.accepted) != served.Load() || served.Load()-done > 4 {
		t.Errorf("served %d, accepted %v, applied %v", served.Load(), m.accepted, m.applied)
	}
	if m.latency.count != total(m.accepted) || m.latency.p50 <= 0 || m.latency.p99 < m.latency.p50 {
		t.Errorf("latency %+v of %d", m.latency, total(m.accepted))
	}
}

func TestDriveEndsOnAWrongAnswer(t *testing.T) {
	t.Parallel()
	var served atomic.Int64
	l := loadOn(t, 4, func(w http.ResponseWriter, r *http.Request) {
		switch served.Add(1) {
		case 20:
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprint(w, "sorry")
		case 19:
			_, _ = io.Copy(io.Discard, r.Body) // else the server does not see the client go
			<-r.Context().Done()               // a neighbour that waits for its answer must be woken
		default:
			fmt.Fprint(w, `{"status":"succeeded"}`)
		}
	})
	l.window = time.Minute
	begin := time.Now()
	_, err := l.drive(t.Context())
	if err == nil || !strings.Contains(err.Error(), "500: sorry") || time.Since(begin) > l.window/2 {
		t.Errorf("after %s: %v", time.Since(begin), err)
	}
}

func TestDriveBacksOffWhenTheLaneIsFull(t *testing.T) {
	t.Parallel()
	var served atomic.Int64
	var m measurement
	var err error
	inTime(func() bool {
		served.Store(0)
		l := loadOn(t, 1, func(w http.ResponseWriter, _ *http.Request) {
			served.Add(1)
			w.Header().Set("Retry-After", "60")
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, `{"code":"lane_full"}`)
		})
		l.judge = orFull(promised)
		m, err = l.drive(t.Context())
		return err != nil || total(m.refused) > 0
	})
	if err != nil || served.Load() != 1 || total(m.refused) != 1 || total(m.accepted) != 0 || m.latency.count != 0 {
		t.Errorf("served %d, %+v, %v", served.Load(), m, err)
	}
}

func TestDriveStops(t *testing.T) {
	t.Parallel()
	stop := make(chan struct{})
	var once atomic.Bool
	handler := func(w http.ResponseWriter, _ *http.Request) {
		if once.CompareAndSwap(false, true) {
			close(stop)
		}
		fmt.Fprint(w, `{"status":"succeeded"}`)
	}
	l := loadOn(t, 2, handler)
	l.window, l.stop = time.Minute, stop
	if m, err := l.drive(t.Context()); err != nil || total(m.accepted) == 0 {
		t.Errorf("stopped: %+v, %v", m, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := loadOn(t, 2, handler).drive(ctx); err == nil {
		t.Error("a cancelled load has no error")
	}
}

func TestJudges(t *testing.T) {
	t.Parallel()
	done := []byte(`{"id":"1","status":"succeeded"}`)
	full := []byte(`{"code":"lane_full"}`)
	tests := []struct {
		judge  func(reply) (verdict, error)
		answer reply
		want   verdict
		wrong  bool
	}{
		{judge: finished, answer: reply{status: 200, body: done}, want: applied},
		{judge: finished, answer: reply{status: 200, body: []byte(`{"status":"rejected"}`)}, wrong: true},
		{judge: finished, answer: reply{status: 202, body: done}, wrong: true},
		{judge: promised, answer: reply{status: 202}, want: accepted},
		{judge: promised, answer: reply{status: 503, body: full, retryAfter: 1}, wrong: true},
		{judge: orFull(promised), answer: reply{status: 503, body: full, retryAfter: 1}, want: refused},
		{judge: orFull(promised), answer: reply{status: 503, body: full, retryAfter: -1}, wrong: true},
		{judge: orFull(promised), answer: reply{status: 503, body: []byte(`{"code":"unavailable"}`)}, wrong: true},
		{judge: orFull(promised), answer: reply{status: 202}, want: accepted},
	}
	for i, test := range tests {
		got, err := test.judge(test.answer)
		if (err != nil) != test.wrong || err == nil && got != test.want {
			t.Errorf("%d: %v, %v", i, got, err)
		}
	}
}
