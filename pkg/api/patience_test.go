package api_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"logstore/pkg/api"
	"logstore/pkg/limits"
	"logstore/pkg/logql/engine"
)

// slowQuerier takes its time, and then answers or fails.
type slowQuerier struct {
	api.Querier
	takes time.Duration
	size  int
	err   error
}

func (q slowQuerier) Query(ctx context.Context, _ engine.Params) (engine.Result, error) {
	select {
	case <-ctx.Done():
		return engine.Result{}, ctx.Err()
	case <-time.After(q.takes):
	}
	stream := engine.LogStream{Labels: labels.FromStrings("a", "b")}
	for range q.size {
		stream.Entries = append(stream.Entries, engine.LogEntry{Timestamp: 1, Line: strings.Repeat("x", 1<<10)})
	}
	return engine.Result{Value: engine.Streams{stream}}, q.err
}

// slowServer is a server whose time-outs are shorter than its queries take; an answer, once begun, may take the time answer. It sends
// the errors of writing answers to written.
func slowServer(t *testing.T, q slowQuerier, timeout, answer time.Duration, http2 bool, written chan<- error) *httptest.Server {
	t.Helper()
	overrides, err := limits.New(limits.DefaultLimits())
	require.NoError(t, err)
	reg := prometheus.NewRegistry()
	cfg := api.Config{WriteTimeout: answer, MaxForm: 1 << 20, CompressResponses: true}
	a := api.New(cfg, api.Deps{
		Querier: q, Limits: overrides, Logger: slog.New(slog.DiscardHandler), Registerer: reg, Gatherer: reg, LogLevel: new(slog.LevelVar),
	})
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.ServeHTTP(&watched{ResponseWriter: w, failed: written}, r)
	})
	srv := httptest.NewUnstartedServer(handler)
	srv.Config.ReadTimeout, srv.Config.WriteTimeout, srv.EnableHTTP2 = timeout, timeout, http2
	if http2 {
		srv.StartTLS()
	} else {
		srv.Start()
	}
	t.Cleanup(srv.Close)
	return srv
}

// watched tells of the first write that fails.
type watched struct {
	http.ResponseWriter
	failed chan<- error
}

func (w *watched) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *watched) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	if err != nil {
		select {
		case w.failed <- err:
		default:
		}
	}
	return n, err
}

// TestQueryOutlivesServer wants an answer from queries that take longer than the server's time-outs: lines, or why there are none.
func TestQueryOutlivesServer(t *testing.T) {
	const timeout = time.Second // enough to read a request on a busy machine
	for name, http2 := range map[string]bool{"http/1.1": false, "http/2": true} {
		for _, err := range []error{nil, context.DeadlineExceeded} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				srv := slowServer(t, slowQuerier{takes: timeout * 3 / 2, size: 2000, err: err}, timeout, time.Minute, http2, make(chan error, 1))
				want := http.StatusOK
				if err != nil {
					want = http.StatusGatewayTimeout
				}
				for _, ask := range []func() (*http.Response, error){
					func() (*http.Response, error) {
						return srv.Client().Get(srv.URL + "/loki/api/v1/query_range?query=%7Ba%3D%22b%22%7D")
					},
					func() (*http.Response, error) { // on the same connection, with a body
						return srv.Client().Post(srv.URL+"/loki/api/v1/query_range", "application/x-www-form-urlencoded", strings.NewReader("query=%7Ba%3D%22b%22%7D"))
					},
				} {
					resp, err := ask()
					require.NoError(t, err)
					body, err := io.ReadAll(resp.Body)
					_ = resp.Body.Close()
					require.NoError(t, err)
					require.Equal(t, want, resp.StatusCode, string(body))
					if want == http.StatusOK {
						require.Greater(t, len(body), 1<<20)
					}
				}
			})
		}
	}
}

// TestAnswerNobodyTakes wants the connection cut when a client does not read its answer, as late as the time-out is.
func TestAnswerNobodyTakes(t *testing.T) {
	t.Parallel()
	failed := make(chan error, 1)
	srv := slowServer(t, slowQuerier{size: 16 << 10}, time.Second, time.Second, false, failed)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+"/loki/api/v1/query_range?query=%7Ba%3D%22b%22%7D", nil)
	require.NoError(t, err)
	req.Header.Set("Accept-Encoding", "identity")
	resp, err := http.DefaultTransport.RoundTrip(req)
	require.NoError(t, err)
	select {
	case err := <-failed:
		require.ErrorContains(t, err, "timeout")
	case <-time.After(30 * time.Second):
		require.Fail(t, "the server still writes")
	}
	_ = resp.Body.Close()
}
