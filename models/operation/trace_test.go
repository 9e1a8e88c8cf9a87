package operation

import (
	"testing"

	"go.opentelemetry.io/otel/trace"
)

func TestTraceparentComesBack(t *testing.T) {
	t.Parallel()
	state, err := trace.ParseTraceState("vendor=long")
	if err != nil {
		t.Fatal(err)
	}
	for flags, want := range map[trace.TraceFlags]string{
		0:                  "00-01000000000000000000000000000000-0200000000000000-00",
		trace.FlagsSampled: "00-01000000000000000000000000000000-0200000000000000-01",
	} {
		request := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: flags, TraceState: state})
		c := Command{Traceparent: Traceparent(trace.ContextWithSpanContext(t.Context(), request))}
		if c.Traceparent != want {
			t.Errorf("%s, want %s", c.Traceparent, want)
		}
		if back := trace.SpanContextFromContext(c.WithTrace(t.Context())); !back.Equal(request.WithTraceState(trace.TraceState{}).WithRemote(true)) {
			t.Errorf("%v came back as %v", request, back)
		}
	}
}

func TestNoTraceparent(t *testing.T) {
	t.Parallel()
	if got := Traceparent(t.Context()); got != "" {
		t.Errorf("nothing is %q", got)
	}
	for _, none := range []string{"", "x", "00-00000000000000000000000000000000-0200000000000000-01", "ff-01000000000000000000000000000000-0200000000000000-01"} {
		c := Command{Traceparent: none}
		if ctx := c.WithTrace(t.Context()); ctx != t.Context() {
			t.Errorf("%q is the trace %v", none, trace.SpanContextFromContext(ctx))
		}
	}
}
