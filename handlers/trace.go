package handlers

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"guichet/models/operation"
)

// traceRequest makes a span of each call of the contract, as a child of the caller's span if the caller sent one. It is routed only if there is a
// tracer. otelecho, which did this for others, was given up by its authors and names attributes as they were called in 2023.
func (s *Server) traceRequest(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		if s.contract.operations[r.Method+" "+c.Path()] == nil { // health checks, scrapes, pages, and what does not exist
			return next(c)
		}
		ctx := propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
		// The query stays out: it may have a ticket in it.
		ctx, span := s.Tracer.Start(ctx, r.Method+" "+c.Path(), trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
			semconv.HTTPRequestMethodKey.String(r.Method), semconv.HTTPRoute(c.Path()), semconv.URLPath(r.URL.Path), semconv.URLScheme(c.Scheme()),
		))
		defer span.End()
		c.SetRequest(r.WithContext(ctx))
		err := next(c)
		endRequest(c, span)
		return err
	}
}

// endRequest notes what became of a request. By the conventions, only faults of the server are errors.
func endRequest(c echo.Context, span trace.Span) {
	if !span.IsRecording() {
		return
	}
	status := c.Response().Status
	span.SetAttributes(semconv.HTTPResponseStatusCode(status))
	if status >= http.StatusInternalServerError {
		span.SetAttributes(semconv.ErrorTypeKey.String(strconv.Itoa(status)))
		span.SetStatus(codes.Error, "")
	}
	if about := operationOf(c.Request().Context()); !about.IsZero() {
		span.SetAttributes(attribute.String("guichet.operation.id", about.String()))
	}
}

// traceparent is what commands that the request submits carry with them.
func (s *Server) traceparent(ctx context.Context) string {
	if s.Tracer == nil {
		return ""
	}
	return operation.Traceparent(ctx)
}

// trace makes a span of the writing of the batch in the trace of each request that has a command in it.
func (j *journaling) trace(ctx context.Context, began time.Time, err error) {
	if j.Tracer == nil {
		return
	}
	ended := time.Now()
	for i := range j.commands {
		c := &j.commands[i]
		parent := c.WithTrace(ctx)
		if !trace.SpanContextFromContext(parent).IsSampled() {
			continue
		}
		_, span := j.Tracer.Start(parent, "journal "+j.lane, trace.WithSpanKind(trace.SpanKindProducer), trace.WithTimestamp(began), trace.WithAttributes(
			attribute.String("guichet.lane", j.lane), attribute.Int("guichet.batch.size", len(j.commands)),
			attribute.String("guichet.batch.id", c.ID.Base().String()), attribute.String("guichet.operation.id", c.ID.String()),
		))
		if err != nil {
			span.RecordError(err)
			span.SetStatus(codes.Error, "not journaled")
		}
		span.End(trace.WithTimestamp(ended))
	}
}
