package workers

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"guichet/models/id"
	"guichet/models/operation"
)

// recorded is an executor whose spans are kept.
func (r *rig) recorded(x *executor) *tracetest.SpanRecorder {
	recorder := tracetest.NewSpanRecorder()
	x.tracer = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)).Tracer("test")
	return recorder
}

// requestOf is the span of the n-th request, sampled or not, as a command carries it.
func requestOf(n int, flags trace.TraceFlags) (trace.SpanContext, string) {
	request := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{15: byte(n)}, SpanID: trace.SpanID{7: byte(n)}, TraceFlags: flags, Remote: true})
	return request, operation.Traceparent(trace.ContextWithSpanContext(context.Background(), request))
}

func valueOf(s sdktrace.ReadOnlySpan, key string) string {
	for _, a := range s.Attributes() {
		if a.Key == attribute.Key(key) {
			return a.Value.String()
		}
	}
	return ""
}

// Each command is in the trace of its request; the transaction is linked with all of them; and each attempt that was undone shows.
func TestSpansOfAnEnvelope(t *testing.T) {
	onBothStores(t, func(t *testing.T, r *rig) {
		x := r.executor()
		recorder := r.recorded(x)
		e := r.journal(order{}, order{Bug: "refuse"}, order{}, order{Bug: "decide", Text: "a bug"}, order{})
		var requests []trace.SpanContext
		for i := range e.Commands {
			flags := trace.FlagsSampled
			if i == 2 {
				flags = 0
			}
			request, traceparent := requestOf(i+1, flags)
			requests, e.Commands[i].Traceparent = append(requests, request), traceparent
		}
		e.Commands[4].Traceparent = "" // accepted by a process that does not trace
		r.mustExecute(x, e)
		r.mustExecute(x, e) // again: a redelivery, which shows nothing
		r.expectStatuses("succeeded", "rejected", "succeeded", "failed", "succeeded")

		lanes, envelopes := map[trace.TraceID]sdktrace.ReadOnlySpan{}, []sdktrace.ReadOnlySpan{}
		for _, s := range recorder.Ended() {
			switch s.Name() {
			case "lane fake":
				lanes[s.SpanContext().TraceID()] = s
			case "envelope fake":
				envelopes = append(envelopes, s)
			default:
				t.Errorf("a span %q", s.Name())
			}
		}
		if len(lanes) != 3 || len(envelopes) != 2 || len(recorder.Ended()) != 5 {
			t.Fatalf("%d commands and %d transactions in %d spans", len(lanes), len(envelopes), len(recorder.Ended()))
		}
		undone, committed := envelopes[0], envelopes[1]
		if undone.Status().Code != codes.Error || len(undone.Events()) != 1 || committed.Status().Code != codes.Unset {
			t.Errorf("the attempt that was undone: %v %v, and the other: %v", undone.Status(), undone.Events(), committed.Status())
		}
		for i, status := range map[int]string{0: "succeeded", 1: "rejected", 3: "failed"} {
			s := lanes[requests[i].TraceID()]
			if !s.Parent().Equal(requests[i]) {
				t.Errorf("command %d is a child of %v, want %v", i, s.Parent(), requests[i])
			}
			if valueOf(s, "guichet.operation.status") != status || valueOf(s, "guichet.operation.id") != e.Commands[i].ID.String() || valueOf(s, "guichet.operation.sequence") != fmt.Sprint(i+1) {
				t.Errorf("command %d: %v", i, s.Attributes())
			}
			if failed := s.Status().Code == codes.Error; failed != (status == "failed") {
				t.Errorf("command %d, which %s: %v", i, status, s.Status())
			}
			if !slices.ContainsFunc(s.Links(), func(l sdktrace.Link) bool { return l.SpanContext.Equal(committed.SpanContext()) }) {
				t.Errorf("command %d has no link to its transaction", i)
			}
			if !slices.ContainsFunc(committed.Links(), func(l sdktrace.Link) bool { return l.SpanContext.Equal(requests[i]) }) {
				t.Errorf("the transaction has no link to request %d", i)
			}
			if s.EndTime() != committed.EndTime() || s.StartTime() != committed.StartTime() || !s.StartTime().Before(s.EndTime()) {
				t.Errorf("command %d: %v to %v, the transaction %v to %v", i, s.StartTime(), s.EndTime(), committed.StartTime(), committed.EndTime())
			}
		}
		if len(committed.Links()) != 3 {
			t.Errorf("links %v", committed.Links())
		}
	})
}

func TestNoSpansWithoutATrace(t *testing.T) {
	onBothStores(t, func(t *testing.T, r *rig) {
		x := r.executor()
		recorder := r.recorded(x)
		r.mustExecute(x, r.journal(order{}, order{Bug: "decide"}))
		if n := len(recorder.Ended()); n != 0 {
			t.Errorf("%d spans", n)
		}
	})
}

// offWork is an envelope that was executed, of which nobody wants to know anything.
func offWork() *work {
	w := &work{executor: &executor{lane: fakeLane}, envelope: &operation.Envelope{}}
	base := id.NewGenerator().Next()
	for i := range id.MaxBatch {
		w.envelope.Commands = append(w.envelope.Commands, operation.Command{ID: base.WithIndex(i)})
		w.outcomes = append(w.outcomes, operation.Outcome{OperationID: base.WithIndex(i)})
	}
	w.commands = w.envelope.Commands
	return w
}

func (w *work) showNothing(ctx context.Context, log *slog.Logger, began time.Time) {
	w.traceExecuted(ctx, w, began, time.Millisecond)
	w.traceUndone(ctx, w.envelope, began, errFenced)
	w.logEnded(ctx, log, time.Millisecond)
}

// Not parallel: it counts the allocations of the process.
func TestTracingOffCostsNothing(t *testing.T) {
	w, began := offWork(), time.Now()
	log := slog.New(slog.NewJSONHandler(&bytes.Buffer{}, nil)) // at info
	if n := testing.AllocsPerRun(100, func() { w.showNothing(t.Context(), log, began) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkTracingOff(b *testing.B) {
	w, ctx, began := offWork(), b.Context(), time.Now()
	log := slog.New(slog.NewJSONHandler(&bytes.Buffer{}, nil)) // at info
	b.ReportAllocs()
	for b.Loop() {
		w.showNothing(ctx, log, began)
	}
}

func BenchmarkTracingOn(b *testing.B) {
	w, ctx, began := offWork(), b.Context(), time.Now()
	w.envelope.Batches = []operation.Batch{{ID: w.commands[0].ID, Operations: len(w.commands)}}
	w.tracer = sdktrace.NewTracerProvider().Tracer("test")
	for i := range w.commands {
		_, w.commands[i].Traceparent = requestOf(i, trace.FlagsSampled)
	}
	b.ReportAllocs()
	for b.Loop() {
		w.traceExecuted(ctx, w, began, time.Millisecond)
	}
}

func TestLinesOfEndedOperations(t *testing.T) {
	t.Parallel()
	w := offWork()
	w.outcomes = w.outcomes[:2]
	w.outcomes[1].Status, w.outcomes[1].Sequence = operation.Rejected, 7
	var text bytes.Buffer
	w.logEnded(t.Context(), slog.New(slog.NewJSONHandler(&text, &slog.HandlerOptions{Level: slog.LevelDebug})), 1500*time.Microsecond)
	lines := strings.Split(strings.TrimSpace(text.String()), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d lines\n%s", len(lines), &text)
	}
	for _, want := range []string{`"operation_id":"` + w.commands[1].ID.String() + `"`, `"lane":"fake"`, `"status":"rejected"`, `"sequence":7`, `"took_us":1500`} {
		if !strings.Contains(lines[1], want) {
			t.Errorf("no %s in %s", want, lines[1])
		}
	}
}
