package api_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"logstore/pkg/api"
	"logstore/pkg/limits"
)

// TestHead wants no query to run for a HEAD, while / answers it, since that is how some probes ask.
func TestHead(t *testing.T) {
	overrides, err := limits.New(limits.DefaultLimits())
	require.NoError(t, err)
	reg := prometheus.NewRegistry()
	a := api.New(api.DefaultConfig, api.Deps{
		Limits: overrides, Logger: slog.New(slog.DiscardHandler), Registerer: reg, Gatherer: reg, LogLevel: new(slog.LevelVar),
	})
	for path, want := range map[string]int{"/": http.StatusOK, "/loki/api/v1/query_range": http.StatusMethodNotAllowed, "/ready": http.StatusMethodNotAllowed} {
		w := httptest.NewRecorder()
		a.ServeHTTP(w, httptest.NewRequest(http.MethodHead, path, nil))
		require.Equal(t, want, w.Code, path)
	}
}
