package trace

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

// receiver takes spans and returns their names.
func receiver(t *testing.T) (endpoint string, names func() []string) {
	var mu sync.Mutex
	var got []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var req collector.ExportTraceServiceRequest
		if err = errors.Join(err, proto.Unmarshal(body, &req)); err != nil || r.URL.Path != "/v1/traces" {
			http.Error(w, "bad", http.StatusBadRequest)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		for _, rs := range req.ResourceSpans {
			for _, ss := range rs.ScopeSpans {
				for _, s := range ss.Spans {
					got = append(got, s.Name)
				}
			}
		}
	}))
	t.Cleanup(srv.Close)
	return srv.URL, func() []string { mu.Lock(); defer mu.Unlock(); return got }
}

const (
	sampled   = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	unsampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
	theirs    = "0af7651916cd43dd8448eb211c80319c"
)

// run makes a tracer, has fn use it and stops it, so that all spans are sent.
func run(t *testing.T, c Config, fn func(tr *Tracer)) {
	t.Helper()
	tr, err := New(c, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	fn(tr)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.NoError(t, tr.Run(ctx))
}

func TestSpans(t *testing.T) {
	endpoint, names := receiver(t)
	run(t, Config{Endpoint: endpoint, SampleRatio: 1}, func(tr *Tracer) {
		ctx, root := tr.Request(t.Context(), "root", sampled, "")
		require.Equal(t, theirs, ID(ctx))
		ctx, inner := Start(ctx, "inner")
		require.NotNil(t, inner)
		require.Contains(t, inner.Parent(), theirs)
		require.Equal(t, Parent(ctx), inner.Parent())
		inner.Text("k", "\xff")
		inner.End(errors.New("bad \xff"))
		root.Name("renamed")
		root.End(nil)
		_, fresh := tr.Request(t.Context(), "fresh", "", "")
		fresh.End(nil)
		_, odd := tr.Request(t.Context(), "odd", "no traceparent", "")
		odd.End(nil)

		ctx, none := tr.Request(t.Context(), "none", unsampled, "")
		require.Nil(t, none)
		require.Equal(t, theirs, ID(ctx), "the log names it all the same")
		require.Empty(t, Parent(ctx))
		_, none = Start(ctx, "none")
		require.Nil(t, none)
	})
	require.Equal(t, []string{"inner", "renamed", "fresh", "odd"}, names())
}

func TestSampling(t *testing.T) {
	endpoint, names := receiver(t)
	run(t, Config{Endpoint: endpoint, SampleRatio: 0}, func(tr *Tracer) {
		_, s := tr.Request(t.Context(), "own", "", "")
		require.Nil(t, s)
		_, s = tr.Request(t.Context(), "theirs", sampled, "")
		s.End(nil)
	})
	t.Setenv("OTEL_TRACES_SAMPLER", "always_off")
	run(t, Config{Endpoint: endpoint, SampleRatio: -1}, func(tr *Tracer) {
		_, s := tr.Request(t.Context(), "off", sampled, "")
		require.Nil(t, s)
	})
	require.Equal(t, []string{"theirs"}, names())
}

// TestEnvironment finds the collector where OpenTelemetry's variables say.
func TestEnvironment(t *testing.T) {
	endpoint, names := receiver(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
	one := func(tr *Tracer) {
		_, s := tr.Request(t.Context(), "one", "", "")
		s.End(nil)
	}
	run(t, Config{SampleRatio: 1}, one)
	require.Equal(t, []string{"one"}, names())
	t.Setenv("OTEL_SDK_DISABLED", "true")
	run(t, Config{SampleRatio: 1}, one)
	require.Len(t, names(), 1)
	t.Setenv("OTEL_SDK_DISABLED", "")
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")
	_, err := New(Config{}, slog.New(slog.DiscardHandler))
	require.ErrorContains(t, err, "http/json")
	_, err = New(Config{Endpoint: "://user:secret@x"}, slog.New(slog.DiscardHandler))
	require.Error(t, err)
	require.NotContains(t, err.Error(), "secret")
}

// TestOff wants no tracing to cost no memory, with a tracer that does not sample too.
func TestOff(t *testing.T) {
	var tr *Tracer
	type key struct{}
	ctx := context.WithValue(t.Context(), key{}, 1)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		ctx, span := tr.Request(ctx, "x", "", "")
		ctx, inner := Start(ctx, "y")
		inner.Int("k", 1)
		inner.Text("k", "v")
		if Parent(ctx) != "" || ID(ctx) != "" || inner.Parent() != "" {
			panic("there is a span")
		}
		inner.End(nil)
		span.End(nil)
	}))
}
