package handlers

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"guichet/models/bank"
	"guichet/models/id"
	"guichet/models/operation"
	"guichet/models/problem"
)

func newRecorder() (*tracetest.SpanRecorder, trace.Tracer) {
	recorder := tracetest.NewSpanRecorder()
	return recorder, sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)).Tracer("test")
}

func show(s sdktrace.ReadOnlySpan) string {
	var attributes []string
	for _, a := range s.Attributes() {
		attributes = append(attributes, fmt.Sprintf("%s=%s", a.Key, a.Value.String()))
	}
	slices.Sort(attributes)
	return fmt.Sprint(s.Name(), " ", s.SpanKind(), " ", s.Status().Code, " ", attributes)
}

func TestSpansOfRequests(t *testing.T) {
	t.Parallel()
	recorder, tracer := newRecorder()
	about := id.NewGenerator().Next()
	const path = "/v1/operations/:id"
	s := &Server{Config: Config{Tracer: tracer}, contract: &contract{operations: map[string]*contractOperation{"GET " + path: {}}}}
	answer := map[string]int{"/v1/operations/a": 200, "/v1/operations/b": 404, "/v1/operations/c": 503, "/healthz": 200}
	var carried []string
	e := echo.New()
	e.Use(s.traceRequest)
	handle := func(c echo.Context) error {
		r := c.Request()
		carried = append(carried, s.traceparent(r.Context()))
		c.SetRequest(r.WithContext(withCall(r.Context(), &call{operation: about})))
		return c.NoContent(answer[r.URL.Path])
	}
	e.GET(path, handle)
	e.GET("/healthz", handle)
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	for _, target := range []string{"/v1/operations/a?ticket=secret", "/v1/operations/b", "/v1/operations/c", "/healthz", "/nothing"} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, http.NoBody)
		r.Header.Set("Traceparent", parent)
		e.ServeHTTP(httptest.NewRecorder(), r)
	}
	ended := recorder.Ended()
	if len(ended) != 3 {
		t.Fatalf("%d spans", len(ended))
	}
	for i, want := range []string{
		"Unset [guichet.operation.id=" + about.String() + " http.request.method=GET http.response.status_code=200 http.route=" + path + " url.path=/v1/operations/a url.scheme=http]",
		"Unset [guichet.operation.id=" + about.String() + " http.request.method=GET http.response.status_code=404 http.route=" + path + " url.path=/v1/operations/b url.scheme=http]",
		"Error [error.type=503 guichet.operation.id=" + about.String() + " http.request.method=GET http.response.status_code=503 http.route=" + path + " url.path=/v1/operations/c url.scheme=http]",
	} {
		span := ended[i].SpanContext()
		if got, want := show(ended[i]), "GET "+path+" server "+want; got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
		if want := parent[:36] + span.SpanID().String() + "-01"; carried[i] != want || ended[i].Parent().SpanID().String() != parent[36:52] {
			t.Errorf("commands carry %s, want %s; the parent is %s", carried[i], want, ended[i].Parent().SpanID())
		}
	}
	if carried[3] != "" {
		t.Errorf("a health check carries %s", carried[3])
	}
}

// journalingOf is a batch that has been assigned its ids.
func journalingOf(tracer trace.Tracer, n int, traceparents ...string) *journaling {
	_, commands := batchOf(id.NewGenerator().Next(), n)
	for i := range traceparents {
		commands[i].Traceparent = traceparents[i]
	}
	return &journaling{intake: &intake{Server: &Server{Config: Config{Tracer: tracer}}, lane: bank.Lane}, commands: commands}
}

func TestSpansOfJournaling(t *testing.T) {
	t.Parallel()
	recorder, tracer := newRecorder()
	j := journalingOf(tracer, 4,
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", "", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	began := time.Now().Add(-time.Second)
	j.trace(t.Context(), began, nil)
	j.trace(t.Context(), began, errors.New("no store"))
	ended := recorder.Ended()
	if len(ended) != 4 {
		t.Fatalf("%d spans, want two each time", len(ended))
	}
	for i, s := range ended {
		c, status := &j.commands[[]int{0, 3}[i%2]], codes.Unset
		if i > 1 {
			status = codes.Error
		}
		want := fmt.Sprintf("journal bank producer %s [guichet.batch.id=%s guichet.batch.size=4 guichet.lane=bank guichet.operation.id=%s]", status, j.commands[0].ID, c.ID)
		if got := show(s); got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
		if parent := operation.Traceparent(trace.ContextWithSpanContext(t.Context(), s.Parent())); parent != c.Traceparent || !s.StartTime().Equal(began) || s.EndTime().Sub(began) < time.Second {
			t.Errorf("%v: a child of %s from %v to %v", c.ID, parent, s.StartTime(), s.EndTime())
		}
	}
}

// lineOf is what is logged, at a level, about a request.
func lineOf(t *testing.T, level slog.Level, target string, took time.Duration, about *call, contentType string) string {
	e := echo.New()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, target, http.NoBody)
	if about != nil {
		r = r.WithContext(withCall(r.Context(), about))
	}
	c := e.NewContext(r, httptest.NewRecorder())
	c.Response().Header().Set("Content-Type", contentType)
	var text bytes.Buffer
	logRequest(slog.New(slog.NewJSONHandler(&text, &slog.HandlerOptions{Level: level})), c, "/v1/transfers", took)
	return text.String()
}

func TestLinesOfRequests(t *testing.T) {
	t.Parallel()
	made := id.NewGenerator().Next()
	for _, c := range []struct {
		name        string
		level       slog.Level
		target      string
		took        time.Duration
		about       *call
		contentType string
		want        []string // none: no line
	}{
		{"quick", slog.LevelInfo, "/", time.Second, &call{operation: made}, "", nil},
		{"at debug", slog.LevelDebug, "/", time.Millisecond, &call{operation: made}, "", []string{`"DEBUG"`, `"took_us":1000,`, `"slow":false`, `"operation_id":"` + made.String() + `"`}},
		{"not about an operation", slog.LevelDebug, "/", time.Millisecond, &call{}, "", []string{`"slow":false}`}},
		{"refused before it was a call", slog.LevelDebug, "/", time.Millisecond, nil, "", []string{`"slow":false}`}},
		{"slow", slog.LevelInfo, "/", 1001 * time.Millisecond, &call{operation: made}, "", []string{`"WARN"`, `"slow":true`, made.String(), `"path":"/v1/transfers"`}},
		{"prefers to wait", slog.LevelInfo, "/", time.Minute, &call{wait: time.Second}, "", nil},
		{"long poll", slog.LevelInfo, "/?wait=30", time.Minute, &call{}, "application/json", nil},
		{"stream", slog.LevelInfo, "/", time.Hour, &call{}, "text/event-stream", nil},
	} {
		line := lineOf(t, c.level, c.target, c.took, c.about, c.contentType)
		if (line != "") != (c.want != nil) {
			t.Errorf("%s: %q", c.name, line)
		}
		for _, want := range c.want {
			if !strings.Contains(line, want) {
				t.Errorf("%s: no %s in %s", c.name, want, line)
			}
		}
	}
}

func TestLinesOfAcceptedOperations(t *testing.T) {
	t.Parallel()
	j := journalingOf(nil, 2)
	var text bytes.Buffer
	j.logAccepted(t.Context(), slog.New(slog.NewJSONHandler(&text, &slog.HandlerOptions{Level: slog.LevelDebug})))
	lines := strings.Split(strings.TrimSpace(text.String()), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d lines\n%s", len(lines), &text)
	}
	for _, want := range []string{`"operation_id":"` + j.commands[1].ID.String() + `"`, `"lane":"bank"`, `"kind":"` + bank.KindDeposit + `"`, `"user_id":"`, `"batch":2`} {
		if !strings.Contains(lines[1], want) {
			t.Errorf("no %s in %s", want, lines[1])
		}
	}
}

// A fault that a request about an operation runs into is logged with that operation.
func TestLineOfAFault(t *testing.T) {
	made := id.NewGenerator().Next()
	var text bytes.Buffer
	usual := slog.Default()
	slog.SetDefault(slog.New(slog.NewJSONHandler(&text, nil))) // so this test is not parallel
	defer slog.SetDefault(usual)
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/transfers", http.NoBody)
	c := echo.New().NewContext(r.WithContext(withCall(r.Context(), &call{operation: made})), httptest.NewRecorder())
	writeProblem(problem.New(problem.Internal, "Something.").Because(errors.New("the cause")), c)
	for _, want := range []string{`"ERROR"`, `"operation_id":"` + made.String() + `"`, "the cause"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %s in %s", want, &text)
		}
	}
}

// offRequest does all that is done about tracing and lines for a request and its batch when nobody wants to know.
func offRequest() func() {
	log := slog.New(slog.NewJSONHandler(&bytes.Buffer{}, nil)) // at info
	j, began := journalingOf(nil, id.MaxBatch), time.Now()
	r := httptest.NewRequest(http.MethodPost, "/v1/transfers", http.NoBody)
	r = r.WithContext(withCall(r.Context(), &call{operation: j.commands[0].ID}))
	c := echo.New().NewContext(r, httptest.NewRecorder())
	ctx := r.Context()
	return func() {
		if j.traceparent(ctx) != "" {
			panic("a trace")
		}
		j.trace(ctx, began, nil)
		j.logAccepted(ctx, log)
		logRequest(log, c, "/v1/transfers", time.Millisecond)
	}
}

// Not parallel: it counts the allocations of the process.
func TestTracingOffCostsNothing(t *testing.T) {
	if n := testing.AllocsPerRun(100, offRequest()); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkTracingOff(b *testing.B) {
	request := offRequest()
	b.ReportAllocs()
	for b.Loop() {
		request()
	}
}
