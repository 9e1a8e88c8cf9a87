package workers

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"guichet/models/id"
	"guichet/models/operation"
)

// Spans are made when an envelope has been executed, with the times that it took, so that executing it is the same with tracing and without.

// sampled is a command whose request is traced.
type sampled struct {
	index int             // among the commands
	trace context.Context // of the request
}

func sampledOf(ctx context.Context, commands []operation.Command) []sampled {
	var found []sampled
	for i := range commands {
		if traced := commands[i].WithTrace(ctx); trace.SpanContextFromContext(traced).IsSampled() {
			found = append(found, sampled{i, traced})
		}
	}
	return found
}

// traceExecuted makes the spans of an envelope that was committed.
func (x *executor) traceExecuted(ctx context.Context, w *work, began time.Time, took time.Duration) {
	if x.tracer == nil || len(w.outcomes) == 0 { // nothing was executed: a redelivery
		return
	}
	commands := sampledOf(ctx, w.commands)
	if len(commands) == 0 {
		return
	}
	ended := began.Add(took)
	_, span := x.tracer.Start(commands[0].trace, "envelope "+x.lane, x.describe(w.envelope, commands, began)...)
	for _, s := range commands {
		x.traceCommand(s, w, began, ended, span.SpanContext())
	}
	span.End(trace.WithTimestamp(ended))
}

// traceUndone makes a span of an attempt that a fault undid. What the lane merely waits for is no fault.
func (x *executor) traceUndone(ctx context.Context, e *operation.Envelope, began time.Time, err error) {
	if x.tracer == nil || errors.Is(err, errPaused) || errors.Is(err, errPartly) {
		return
	}
	commands := sampledOf(ctx, e.Commands)
	if len(commands) == 0 {
		return
	}
	_, span := x.tracer.Start(commands[0].trace, "envelope "+x.lane, x.describe(e, commands, began)...)
	span.RecordError(err)
	span.SetStatus(codes.Error, "rolled back")
	span.End()
}

// describe is how the span of an envelope's transaction starts: with links to all the traces that it is part of. It belongs to one of them, the first, and
// not to one of its own: so it is there whenever a command of it is, whatever share of the traces is kept.
func (x *executor) describe(e *operation.Envelope, commands []sampled, began time.Time) []trace.SpanStartOption {
	links := make([]trace.Link, len(commands))
	for i, s := range commands {
		links[i].SpanContext = trace.SpanContextFromContext(s.trace)
	}
	return []trace.SpanStartOption{trace.WithTimestamp(began), trace.WithLinks(links...), trace.WithAttributes(
		attribute.String("guichet.lane", x.lane), attribute.Int64("guichet.lane.fence", x.fence), attribute.String("guichet.envelope.id", e.ID().String()),
		attribute.Int("guichet.envelope.size", len(e.Commands)), attribute.Int("guichet.envelope.batches", len(e.Batches)),
	)}
}

// traceCommand makes the span of one command, with a link to that of the transaction. A rule's "no" is no error; a fault is.
func (x *executor) traceCommand(s sampled, w *work, began, ended time.Time, envelope trace.SpanContext) {
	c, outcome := &w.commands[s.index], &w.outcomes[s.index]
	_, span := x.tracer.Start(s.trace, "lane "+x.lane, trace.WithSpanKind(trace.SpanKindConsumer), trace.WithTimestamp(began),
		trace.WithLinks(trace.Link{SpanContext: envelope}), trace.WithAttributes(
			attribute.String("guichet.lane", x.lane), attribute.String("guichet.operation.id", c.ID.String()), attribute.String("guichet.operation.kind", c.Kind),
			attribute.String("guichet.operation.status", string(outcome.Status)), attribute.Int64("guichet.operation.sequence", outcome.Sequence),
			attribute.Int64("guichet.operation.waited_us", max(0, began.Sub(c.SubmittedAt).Microseconds())),
		))
	if outcome.Problem != nil {
		span.SetAttributes(attribute.String("guichet.operation.problem", string(outcome.Problem.Code)))
	}
	if outcome.Status == operation.Failed {
		span.SetStatus(codes.Error, "parked")
	}
	span.End(trace.WithTimestamp(ended))
}

// traceOf is ctx with the trace of one of the envelope's operations, for what is logged about it.
func traceOf(ctx context.Context, e *operation.Envelope, operationID id.ID) context.Context {
	for i := range e.Commands {
		if e.Commands[i].ID == operationID {
			return e.Commands[i].WithTrace(ctx)
		}
	}
	return ctx
}

// logEnded writes a line about each operation of an envelope that was committed.
func (w *work) logEnded(ctx context.Context, log *slog.Logger, took time.Duration) {
	if !log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	for i := range w.outcomes {
		c, outcome := &w.commands[i], &w.outcomes[i]
		log.LogAttrs(c.WithTrace(ctx), slog.LevelDebug, "an operation ended", slog.String("operation_id", c.ID.String()), slog.String("lane", w.lane),
			slog.String("kind", c.Kind), slog.String("user_id", c.UserID.String()), slog.String("status", string(outcome.Status)),
			slog.Int64("sequence", outcome.Sequence), slog.Int64("took_us", took.Microseconds()))
	}
}
