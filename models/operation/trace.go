package operation

import (
	"context"

	"go.opentelemetry.io/otel/propagation"
)

// Traceparent is the span of ctx as W3C Trace Context writes it, for Command.Traceparent; empty if ctx has none. Its tracestate is not kept: it
// is the business of whoever called us, and may be longer than all the rest of a command.
func Traceparent(ctx context.Context) string {
	var written carrier
	propagation.TraceContext{}.Inject(ctx, &written)
	return string(written)
}

// WithTrace returns ctx with the span of the request that submitted the command: spans that are started in it are that one's children, and
// log lines are of its trace. Without such a span, it is ctx itself.
func (c *Command) WithTrace(ctx context.Context) context.Context {
	if c.Traceparent == "" {
		return ctx
	}
	return propagation.TraceContext{}.Extract(ctx, (*carrier)(&c.Traceparent))
}

// carrier is a traceparent and nothing else.
type carrier string

const traceparent = "traceparent"

// Get is part of propagation.TextMapCarrier.
func (c *carrier) Get(key string) string {
	if key != traceparent {
		return ""
	}
	return string(*c)
}

// Set is part of propagation.TextMapCarrier.
func (c *carrier) Set(key, value string) {
	if key == traceparent {
		*c = carrier(value)
	}
}

// Keys is part of propagation.TextMapCarrier.
func (c *carrier) Keys() []string { return []string{traceparent} }
