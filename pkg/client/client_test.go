package client

import (
	"context"
	"errors"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"logstore/pkg/model"
	"logstore/pkg/wire"
)

// fromFlags makes a client as a command does.
func fromFlags(t *testing.T, env map[string]string, args ...string) (*Client, error) {
	t.Helper()
	set := flag.NewFlagSet("x", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	var f Flags
	f.Register(set)
	require.NoError(t, set.Parse(args))
	return f.Client(func(name string) (string, bool) { v, ok := env[name]; return v, ok }, nil)
}

func TestFlagsBeatTheEnvironment(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(token, []byte("first\n"), 0o600))
	env := map[string]string{
		"LOKI_ADDR": "store:3100/prefix/", "LOKI_ORG_ID": "a", "LOKI_USERNAME": "ann", "LOKI_PASSWORD": "p", "LOKI_QUERY_TAGS": "team=web", "LOKI_CLIENT_RETRIES": "7",
	}
	for _, c := range []struct {
		args              []string
		address, id, auth string
	}{
		{nil, "http://store:3100/prefix", "a", "Basic YW5uOnA="},
		{[]string{"-addr=https://other", "-org-id=b", "-bearer-token=t"}, "https://other", "b", "Bearer t"},
		{[]string{"-bearer-token-file", token}, "http://store:3100/prefix", "a", "Bearer first"},
		{[]string{"-username=bob", "-header=X-Extra: 1"}, "http://store:3100/prefix", "a", "Basic Ym9iOnA="},
	} {
		cl, err := fromFlags(t, env, c.args...)
		require.NoError(t, err)
		h := http.Header{}
		require.NoError(t, cl.setHeaders(h))
		require.Equal(t, c.address, cl.Address())
		require.Equal(t, c.id, h.Get("X-Scope-OrgID"))
		require.Equal(t, c.auth, h.Get("Authorization"))
		require.Equal(t, "team=web", h.Get("X-Query-Tags"))
		require.Equal(t, 7, cl.cfg.Retries)
	}
	cl, err := fromFlags(t, nil)
	require.NoError(t, err)
	require.Equal(t, "http://localhost:3100", cl.Address())
	for _, args := range [][]string{
		{"-addr=ftp://x"}, {"-addr=http://"}, {"-addr=http://a:b@x", "-username=c"}, {"-username=a", "-bearer-token=b"},
		{"-bearer-token=a", "-bearer-token-file=b"}, {"-cert=x"}, {"-ca-cert=/nowhere"}, {"-retries=-1"},
	} {
		_, err := fromFlags(t, nil, args...)
		require.Error(t, err, args)
	}
	cl, err = fromFlags(t, nil, "-addr=http://ann:hunter2@127.0.0.1:1", "-retries=0")
	require.NoError(t, err)
	_, err = cl.Labels(t.Context(), "", Span{})
	require.ErrorContains(t, err, "cannot reach http://127.0.0.1:1:")
	require.NotContains(t, err.Error(), "hunter2")
	require.Contains(t, Advice(err), "nothing listens there")
}

func TestRetries(t *testing.T) {
	answers := []int{503, 429, 200}
	asked := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(answers[min(asked, len(answers)-1)])
		asked++
		_, _ = w.Write([]byte(`{"data":["a"]}`))
	}))
	defer srv.Close()
	cfg := DefaultConfig()
	cfg.Address, cfg.MinBackoff = srv.URL, time.Millisecond
	var reasons []string
	cfg.Notify = func(err error, _ time.Duration) { reasons = append(reasons, err.Error()) }
	c, err := New(cfg)
	require.NoError(t, err)
	list, err := c.Labels(t.Context(), "", Span{})
	require.NoError(t, err)
	require.Equal(t, []string{"a"}, list)
	require.Len(t, reasons, 2)
	for _, status := range []int{400, 401, 403, 404, 413} {
		asked, answers = 0, []int{status}
		_, err = c.Labels(t.Context(), "", Span{})
		var refused *StatusError
		require.ErrorAs(t, err, &refused)
		require.Equal(t, 1, asked, "%d is not tried again", status)
	}
	asked, answers = 0, []int{500}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = c.Labels(ctx, "", Span{})
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, asked)
}

func TestLimitsInRefusals(t *testing.T) {
	refused := func(text string) error { return errors.Join(errors.New("x"), &StatusError{Status: 400, Message: text}) }
	n, ok := EntriesLimit(refused("max entries limit per query exceeded, limit > max_entries_limit_per_query (5001 > 5000)"))
	require.True(t, ok)
	require.Equal(t, 5000, n)
	d, ok := LengthLimit(refused("the query time range exceeds the limit (query length: 800h0m0s, limit: 30d1h)"))
	require.True(t, ok)
	require.Equal(t, 721*time.Hour, d)
	n, ok = PointsLimit(refused("exceeded maximum resolution of 11,000 points per time series. Try increasing"))
	require.True(t, ok)
	require.Equal(t, 11_000, n)
	_, ok = EntriesLimit(refused("parse error"))
	require.False(t, ok)
}

func TestPushJSON(t *testing.T) {
	body, err := pushJSON([]wire.PushStream{{Labels: `{a="b\"c"}`, Entries: []wire.PushEntry{
		{Timestamp: 1, Line: []byte("x\ny")}, {Timestamp: 2, Metadata: []model.Pair{{Name: "m", Value: "v"}}},
	}}})
	require.NoError(t, err)
	require.JSONEq(t, `{"streams":[{"stream":{"a":"b\"c"},"values":[["1","x\ny"],["2","",{"m":"v"}]]}]}`, string(body))
}
