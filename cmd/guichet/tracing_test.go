package main

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// collector takes spans as OTLP over HTTP.
type collector struct {
	testing.TB
	url string

	mu    sync.Mutex
	posts int
	spans []span
}

// span is one that arrived, with whose it is.
type span struct {
	*tracepb.Span
	service, pid string
}

func newCollector(t testing.TB) *collector {
	c := &collector{TB: t}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := c.take(r); err != nil {
			t.Errorf("collector: %v", err)
			w.WriteHeader(http.StatusBadRequest)
		}
	}))
	t.Cleanup(server.Close)
	c.url = server.URL
	return c
}

func (c *collector) take(r *http.Request) error {
	if r.URL.Path != "/v1/traces" {
		return fmt.Errorf("%s asked for", r.URL.Path)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	var request collectorpb.ExportTraceServiceRequest
	if err := proto.Unmarshal(body, &request); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.posts++
	for _, resource := range request.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			for _, s := range scope.Spans {
				of := resource.Resource.Attributes
				c.spans = append(c.spans, span{s, attribute(of, "service.name"), attribute(of, "process.pid")})
			}
		}
	}
	return nil
}

// received is how many spans arrived, in how many posts.
func (c *collector) received() (spans, posts int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.spans), c.posts
}

// one is the only span of a trace with the name, and with the operation's id, if one is given.
func (c *collector) one(trace, name, operation string) span {
	c.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	var found, others []span
	for _, s := range c.spans {
		switch of := s.attribute("guichet.operation.id"); {
		case hex.EncodeToString(s.TraceId) != trace:
		case s.Name == name && (operation == "" || of == operation):
			found = append(found, s)
		default:
			others = append(others, s)
		}
	}
	if len(found) != 1 {
		c.Fatalf("%d spans %q of %s in trace %s; beside them, %v", len(found), name, operation, trace, others)
	}
	return found[0]
}

func (s span) attribute(key string) string { return attribute(s.Attributes, key) }

func (s span) id() string { return hex.EncodeToString(s.SpanId) }

// linksTo says whether the span has a link to another.
func (s span) linksTo(other span) bool {
	return slices.ContainsFunc(s.Links, func(l *tracepb.Span_Link) bool {
		return bytes.Equal(l.TraceId, other.TraceId) && bytes.Equal(l.SpanId, other.SpanId)
	})
}

func attribute(attributes []*commonpb.KeyValue, key string) string {
	for _, a := range attributes {
		if a.Key == key {
			if text, isText := a.Value.Value.(*commonpb.AnyValue_StringValue); isText {
				return text.StringValue
			}
			return fmt.Sprint(a.Value.GetIntValue())
		}
	}
	return ""
}

// never is a delay after which nothing is sent any more: what arrives was flushed at the end.
const never = "OTEL_BSP_SCHEDULE_DELAY=3600000"

const (
	callerTrace, otherTrace = "4bf92f3577b34da6a3ce929d0e0e4736", "0af7651916cd43dd8448eb211c80319c"
	callerSpan              = "00f067aa0ba902b7"
)

func caller(trace string) option { return header("Traceparent", "00-"+trace+"-"+callerSpan+"-01") }

// One trace goes from the request through the journal and the queue to the commit, through two processes where there may be two; the log names it; and
// what has not been sent when a process stops is sent then.
func TestTraceFromRequestToCommit(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		c := newCollector(t)
		settings := []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + c.url, never, "OTEL_SERVICE_NAME=counters", "GUICHET_LOG_LEVEL=debug"}
		var server, worker *process
		if h.embedded {
			server = h.serve(settings...)
			worker = server
		} else {
			server, worker = h.start([]string{"api"}, settings...), h.start([]string{"worker"}, settings...)
		}
		ada, grace := server.user(t), server.user(t)
		ada.deposit(1000)
		done := ada.transfer(grace, 600, wait, caller(callerTrace)).operation(t, http.StatusOK)
		refused := ada.transfer(grace, 600, wait, caller(otherTrace)).operation(t, http.StatusOK)

		eventually(t, "log lines of the operation with its trace", func() error {
			for _, line := range []struct {
				of  *process
				msg string
			}{{server, "an operation was accepted"}, {server, "request"}, {worker, "an operation ended"}} {
				if !line.of.logged(`"msg":"`+line.msg+`"`, `"operation_id":"`+done.ID+`"`, `"trace_id":"`+callerTrace+`"`) {
					return fmt.Errorf("no line %q", line.msg)
				}
			}
			return nil
		})
		if spans, _ := c.received(); spans != 0 {
			t.Errorf("%d spans were sent ahead of time", spans)
		}
		for _, p := range []*process{server, worker} {
			if status := p.stop(); status != 0 {
				t.Errorf("status %d", status)
			}
		}
		request := expectTrace(c, callerTrace, done)
		expectTrace(c, otherTrace, refused)
		lane := c.one(callerTrace, "lane bank", done.ID)
		if lane.service != "counters" || h.embedded != (lane.pid == request.pid) {
			t.Errorf("the lane is %s %s, the request's process is %s %s", lane.service, lane.pid, request.service, request.pid)
		}
		kept := number(t, h.database(), "SELECT COUNT(*) FROM operations WHERE traceparent = ?", "00-"+callerTrace+"-"+request.id()+"-01")
		if kept != 1 {
			t.Errorf("%d operations with the traceparent", kept)
		}
	})
}

// expectTrace checks the trace of a transfer that was waited for, and returns the span of the request.
func expectTrace(c *collector, trace string, o outcome) span {
	c.Helper()
	request, journal := c.one(trace, "POST /v1/transfers", o.ID), c.one(trace, "journal bank", o.ID)
	lane, envelope := c.one(trace, "lane bank", o.ID), c.one(trace, "envelope bank", "")
	if got := hex.EncodeToString(request.ParentSpanId); got != callerSpan {
		c.Errorf("the request's span is a child of %s, want the caller's", got)
	}
	for _, s := range []span{journal, lane, envelope} {
		if !bytes.Equal(s.ParentSpanId, request.SpanId) {
			c.Errorf("%s is no child of the request", s.Name)
		}
		if s.StartTimeUnixNano < request.StartTimeUnixNano || s.EndTimeUnixNano < s.StartTimeUnixNano || s.EndTimeUnixNano > request.EndTimeUnixNano {
			c.Errorf("%s took from %d to %d, the request from %d to %d", s.Name, s.StartTimeUnixNano, s.EndTimeUnixNano, request.StartTimeUnixNano, request.EndTimeUnixNano)
		}
	}
	if lane.StartTimeUnixNano < journal.EndTimeUnixNano {
		c.Error("executed before it was journaled")
	}
	if !envelope.linksTo(request) || !lane.linksTo(envelope) {
		c.Errorf("links of the envelope %v, of the lane %v", envelope.Links, lane.Links)
	}
	for _, want := range []struct {
		of         span
		key, value string
	}{
		{request, "http.request.method", "POST"},
		{request, "http.route", "/v1/transfers"},
		{request, "http.response.status_code", "200"},
		{journal, "guichet.batch.size", "1"},
		{lane, "guichet.operation.kind", o.Kind},
		{lane, "guichet.operation.status", o.Status},
		{envelope, "guichet.envelope.size", "1"},
	} {
		if got := want.of.attribute(want.key); got != want.value {
			c.Errorf("%s: %s is %q, want %q", want.of.Name, want.key, got, want.value)
		}
	}
	return request
}

// Tracing is off unless it is asked for: then nothing is sent, and nothing stored or logged of the caller's trace.
func TestTracingIsOff(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		c := newCollector(t)
		endpoint := "OTEL_EXPORTER_OTLP_ENDPOINT=" + c.url
		for _, settings := range [][]string{{}, {endpoint, "OTEL_SDK_DISABLED=true"}, {endpoint, "OTEL_TRACES_EXPORTER=none"}} {
			p := h.serve(append(settings, "GUICHET_LOG_LEVEL=debug")...)
			ada := p.user(t)
			o := ada.post("/v1/accounts/"+ada.account+"/deposits", map[string]any{"amount": 1}, wait, caller(callerTrace)).operation(t, http.StatusOK)
			eventually(t, "the operation's last line", func() error {
				if !p.logged(`"msg":"request"`, o.ID) || !p.logged(`"msg":"an operation ended"`, o.ID) {
					return errors.New("not logged")
				}
				return nil
			})
			if p.logged("trace_id") || p.logged(`"msg":"tracing"`) {
				t.Errorf("%v: the log speaks of traces", settings)
			}
			p.stop()
		}
		if _, posts := c.received(); posts != 0 {
			t.Errorf("%d posts to the collector", posts)
		}
		if kept := number(t, h.database(), "SELECT COUNT(*) FROM operations WHERE traceparent <> ''"); kept != 0 {
			t.Errorf("%d operations with a traceparent", kept)
		}
	})
}

// What is not sampled is not sent, but can be found by its trace.
func TestUnsampledTraces(t *testing.T) {
	t.Parallel()
	h, c := newEmbeddedHouse(t), newCollector(t)
	p := h.serve("OTEL_EXPORTER_OTLP_ENDPOINT="+c.url, never, "OTEL_TRACES_SAMPLER=always_off")
	ada := p.user(t)
	ada.post("/v1/accounts/"+ada.account+"/deposits", map[string]any{"amount": 1}, wait, caller(callerTrace)).expect(t, http.StatusOK)
	p.stop()
	if spans, _ := c.received(); spans != 0 {
		t.Errorf("%d spans", spans)
	}
	if kept := number(t, h.database(), "SELECT COUNT(*) FROM operations WHERE traceparent LIKE ?", "00-"+callerTrace+"-%-00"); kept != 1 {
		t.Errorf("%d operations with the unsampled trace", kept)
	}
}

func TestWrongTracingSettings(t *testing.T) {
	t.Parallel()
	h := newEmbeddedHouse(t)
	text, err := h.program(t.Context(), []string{"serve"}, "OTEL_TRACES_EXPORTER=zipkin").CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitUsage || !strings.Contains(string(text), `no exporter "zipkin"`) {
		t.Errorf("%v\n%s", err, text)
	}
}

func TestAskedExporters(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ variables, want string }{
		{"", ""},
		{"OTEL_SERVICE_NAME=x", ""},
		{"OTEL_EXPORTER_OTLP_PROTOCOL=grpc", ""},
		{"OTEL_TRACES_EXPORTER=none", ""},
		{"OTEL_TRACES_EXPORTER=otlp", "http/protobuf"},
		{"OTEL_TRACES_EXPORTER=console", "console"},
		{"OTEL_TRACES_EXPORTER=otlp,console", "http/protobuf console"},
		{"OTEL_TRACES_EXPORTER=otlp OTEL_SDK_DISABLED=TRUE", ""},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://x", "http/protobuf"},
		{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://x", "http/protobuf"},
		{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=http://x", ""},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://x OTEL_EXPORTER_OTLP_PROTOCOL=grpc", "grpc"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://x OTEL_EXPORTER_OTLP_PROTOCOL=grpc OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/protobuf", "http/protobuf"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://x OTEL_TRACES_EXPORTER=none", ""},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://x OTEL_TRACES_EXPORTER=console", "console"},
		{"OTEL_TRACES_EXPORTER=zipkin", "error"},
		{"OTEL_TRACES_EXPORTER=otlp OTEL_EXPORTER_OTLP_PROTOCOL=http/json", "error"},
	} {
		variables := map[string]string{}
		for assignment := range strings.SplitSeq(c.variables, " ") {
			name, value, _ := strings.Cut(assignment, "=")
			variables[name] = value
		}
		names, err := askedExporters(func(name string) string { return variables[name] })
		got := strings.Join(names, " ")
		if err != nil {
			got = "error"
		}
		if got != c.want {
			t.Errorf("%s: %q (%v), want %q", c.variables, got, err, c.want)
		}
	}
}

func TestExporters(t *testing.T) {
	t.Parallel()
	for _, name := range []string{exportConsole, exportHTTP, exportGRPC} {
		var stdout bytes.Buffer
		exporter, err := newExporter(t.Context(), name, &stdout)
		if err != nil {
			t.Fatal(err)
		}
		if name == exportConsole {
			provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter))
			_, s := provider.Tracer("test").Start(t.Context(), "a span")
			s.End()
			if !strings.Contains(stdout.String(), `"Name":"a span"`) {
				t.Errorf("the console shows %q", stdout.String())
			}
		}
		if err := exporter.Shutdown(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
