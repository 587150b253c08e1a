package trace

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Config says where spans are sent.
type Config struct {
	// Endpoint is the URL of a collector: http://host:4318 for OTLP over HTTP, http://host:4317 with Protocol "grpc"; https has
	// TLS. Empty: the environment's; if that has none either there is no tracing.
	Endpoint string
	// Protocol is "http/protobuf" or "grpc"; empty: the environment's, or http/protobuf.
	Protocol string
	// SampleRatio is the part of the traces that begin here, from 0 to 1, that are sampled; below 0: the environment's, or all. Traces
	// that come with a request are sampled if their caller does.
	SampleRatio float64
	// Instance and Version describe the process.
	Instance, Version string
}

// Enabled reports whether there is somewhere to send spans to.
func (c Config) Enabled(env func(string) string) bool {
	return env("OTEL_SDK_DISABLED") != "true" && env("OTEL_TRACES_EXPORTER") != "none" &&
		cmp.Or(c.Endpoint, env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), env("OTEL_EXPORTER_OTLP_ENDPOINT")) != ""
}

// Tracer begins the spans of requests. A nil Tracer begins none. It is safe for concurrent use.
type Tracer struct{ provider *sdk.TracerProvider }

// New returns a Tracer, nil if tracing is not enabled. No connection is made yet; a collector that does not answer costs spans and
// nothing else.
func New(c Config, log *slog.Logger) (*Tracer, error) {
	if !c.Enabled(os.Getenv) {
		return nil, nil
	}
	exporter, err := c.exporter(context.Background())
	if err != nil {
		return nil, fmt.Errorf("cannot set up tracing: %w", err)
	}
	// Go's SDK tells its failures to a global handler, some with each batch.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Debug("cannot send spans", "err", err) }))
	own, err := resource.New(context.Background(), resource.WithAttributes(
		attribute.String("service.name", "logstore"), attribute.String("service.version", c.Version), attribute.String("service.instance.id", c.Instance),
	), resource.WithFromEnv())
	if err != nil && !errors.Is(err, resource.ErrPartialResource) {
		return nil, fmt.Errorf("cannot set up tracing: %w", err)
	}
	opts := []sdk.TracerProviderOption{sdk.WithBatcher(exporter), sdk.WithResource(own)}
	if c.SampleRatio >= 0 {
		opts = append(opts, sdk.WithSampler(sdk.ParentBased(sdk.TraceIDRatioBased(c.SampleRatio))))
	}
	return &Tracer{provider: sdk.NewTracerProvider(opts...)}, nil
}

func (c Config) exporter(ctx context.Context) (*otlptrace.Exporter, error) {
	if c.Endpoint != "" {
		// The text of the parser's error would show a password.
		if u, err := url.Parse(c.Endpoint); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, errors.New("logstore.tracing.endpoint is no http or https URL")
		}
	}
	switch protocol := cmp.Or(c.Protocol, os.Getenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"), os.Getenv("OTEL_EXPORTER_OTLP_PROTOCOL"), "http/protobuf"); protocol {
	case "grpc":
		var opts []otlptracegrpc.Option
		if c.Endpoint != "" {
			opts = append(opts, otlptracegrpc.WithEndpointURL(c.Endpoint))
		}
		return otlptracegrpc.New(ctx, opts...)
	case "http/protobuf":
		var opts []otlptracehttp.Option
		if c.Endpoint != "" {
			opts = append(opts, otlptracehttp.WithEndpointURL(c.signalURL()))
		}
		return otlptracehttp.New(ctx, opts...)
	default:
		return nil, fmt.Errorf("the protocol %q is not known, only http/protobuf and grpc", protocol)
	}
}

// signalURL adds the path of traces to an endpoint without a path.
func (c Config) signalURL() string {
	u, err := url.Parse(c.Endpoint)
	if err != nil || u.Path != "" && u.Path != "/" {
		return c.Endpoint
	}
	return u.JoinPath("/v1/traces").String()
}

// Request begins the span of a request, beneath that which its headers traceparent and tracestate name. The Span is nil if the trace
// is not sampled.
func (t *Tracer) Request(ctx context.Context, name, parent, state string) (context.Context, *Span) {
	if t == nil {
		return ctx, nil
	}
	return start(with(ctx, parent, state), t.provider, name, trace.SpanKindServer)
}

// Work begins the span of work that no request asked for. The Span is nil if the trace is not sampled.
func (t *Tracer) Work(ctx context.Context, name string) (context.Context, *Span) {
	if t == nil {
		return ctx, nil
	}
	return start(ctx, t.provider, name, trace.SpanKindInternal)
}

// shutdownTimeout bounds how long the last spans may take.
const shutdownTimeout = 5 * time.Second

// Run waits until ctx ends and sends the last spans.
func (t *Tracer) Run(ctx context.Context) error {
	<-ctx.Done()
	if t == nil {
		return nil
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	_ = t.provider.Shutdown(last) // a collector that is gone must not make the stop fail
	return nil
}
