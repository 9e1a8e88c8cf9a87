package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"guichet/models/id"
)

// tracePatience is how long the last spans may take to leave when the program ends.
const tracePatience = 5 * time.Second

// tracing sends spans to where the standard variables say. It is off, and nil, unless an endpoint or an exporter is named.
//
// The variables are those of the OpenTelemetry specification. The SDK reads from the process's environment what is not read here: headers, certificates,
// sampler, batches and limits. Exporters are chosen by hand, as contrib's autoexport would link those for metrics and logs too, which are Prometheus's and
// standard error's business here.
type tracing struct{ provider *sdktrace.TracerProvider }

func startTracing(ctx context.Context, stdout io.Writer) (*tracing, error) {
	names, err := askedExporters(os.Getenv)
	if err != nil || len(names) == 0 {
		return nil, err
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { slog.Warn("tracing", "error", err) }))
	otel.SetLogger(logr.FromSlogHandler(slog.Default().Handler()))
	options := []sdktrace.TracerProviderOption{sdktrace.WithResource(describeProcess(ctx)), sdktrace.WithRawSpanLimits(spanLimits(os.Getenv))}
	for _, name := range names {
		exporter, err := newExporter(ctx, name, stdout)
		if err != nil {
			return nil, fmt.Errorf("tracing to %s: %w", name, err)
		}
		options = append(options, sdktrace.WithBatcher(exporter))
	}
	slog.SetDefault(slog.New(traceLog{slog.Default().Handler()}))
	slog.InfoContext(ctx, "tracing", "exporters", names)
	return &tracing{sdktrace.NewTracerProvider(options...)}, nil
}

// tracer makes spans; it is nil if tracing is off.
func (t *tracing) tracer() trace.Tracer {
	if t == nil {
		return nil
	}
	return t.provider.Tracer("guichet", trace.WithInstrumentationVersion(version))
}

// stop sends what has not been sent, whether ctx has ended or not.
func (t *tracing) stop(ctx context.Context) {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tracePatience)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		slog.WarnContext(ctx, "the last spans were not sent", "error", err)
	}
}

// The exporters, as OTEL_TRACES_EXPORTER and OTEL_EXPORTER_OTLP_PROTOCOL name them.
const (
	exportConsole = "console"
	exportOTLP    = "otlp"
	exportHTTP    = "http/protobuf"
	exportGRPC    = "grpc"
)

// askedExporters reads which exporters there are to be: none, unless something asks for one. OTLP is by its protocol.
func askedExporters(getenv func(string) string) ([]string, error) {
	if strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true") {
		return nil, nil
	}
	asked := getenv("OTEL_TRACES_EXPORTER")
	if asked == "" && (getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != "") {
		asked = exportOTLP
	}
	var exporters []string
	for name := range strings.SplitSeq(asked, ",") {
		switch name = strings.TrimSpace(name); name {
		case "", "none":
		case exportConsole:
			exporters = append(exporters, exportConsole)
		case exportOTLP:
			protocol, err := otlpProtocol(getenv)
			if err != nil {
				return nil, err
			}
			exporters = append(exporters, protocol)
		default:
			return nil, fmt.Errorf("OTEL_TRACES_EXPORTER: there is no exporter %q; there are otlp, console and none", name)
		}
	}
	return exporters, nil
}

func otlpProtocol(getenv func(string) string) (string, error) {
	for _, variable := range []string{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
		switch protocol := getenv(variable); protocol {
		case "":
		case exportHTTP, exportGRPC:
			return protocol, nil
		default:
			return "", fmt.Errorf("%s: there is no protocol %q; there are http/protobuf and grpc", variable, protocol)
		}
	}
	return exportHTTP, nil
}

func newExporter(ctx context.Context, name string, stdout io.Writer) (sdktrace.SpanExporter, error) {
	switch name {
	case exportConsole:
		return stdouttrace.New(stdouttrace.WithWriter(stdout))
	case exportGRPC:
		return otlptracegrpc.New(ctx)
	default:
		return otlptracehttp.New(ctx)
	}
}

// describeProcess says whose spans these are, as far as it can be found out. OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win.
func describeProcess(ctx context.Context) *resource.Resource {
	described, err := resource.New(ctx,
		resource.WithAttributes(semconv.ServiceName("guichet"), semconv.ServiceVersion(version)),
		resource.WithTelemetrySDK(), resource.WithHost(), resource.WithProcessPID(), resource.WithFromEnv())
	if err != nil {
		slog.WarnContext(ctx, "tracing: this process is described in part only", "error", err)
	}
	return described
}

// spanLimits are the standard ones, except that the span of an envelope may have a link to each of its commands.
func spanLimits(getenv func(string) string) sdktrace.SpanLimits {
	limits := sdktrace.NewSpanLimits()
	if getenv("OTEL_SPAN_LINK_COUNT_LIMIT") == "" {
		limits.LinkCountLimit = id.MaxBatch
	}
	return limits
}

// traceLog adds to a line the trace that it is part of.
type traceLog struct{ slog.Handler }

// Handle is part of slog.Handler.
func (h traceLog) Handle(ctx context.Context, record slog.Record) error {
	if span := trace.SpanContextFromContext(ctx); span.IsValid() {
		record.AddAttrs(slog.String("trace_id", span.TraceID().String()))
	}
	return h.Handler.Handle(ctx, record)
}

// WithAttrs is part of slog.Handler.
func (h traceLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	return traceLog{h.Handler.WithAttrs(attrs)}
}

// WithGroup is part of slog.Handler.
func (h traceLog) WithGroup(name string) slog.Handler { return traceLog{h.Handler.WithGroup(name)} }
