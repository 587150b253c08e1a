package config

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"logstore/pkg/limits"
)

func TestOverridesOfTheConformanceRun(t *testing.T) {
	const file = "testdata/loki/conformance-loki-limits-overrides.yaml"
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	defaults := limits.DefaultLimits()
	defaults.DiscoverLogLevels = false
	tenants := map[string]limits.Limits{}
	ignored, err := readOverrides(file, text, defaults, tenants)
	require.NoError(t, err)
	require.Empty(t, ignored)
	require.Len(t, tenants, 18)
	require.InDelta(t, 0.0001, tenants["lim-rate"].IngestionRateMB, 1e-12)
	require.False(t, tenants["lim-rate"].DiscoverLogLevels, "the rest is the defaults'")
	require.Equal(t, 2100, tenants["lim-block"].BlockIngestionUntil.Year())
	require.Equal(t, 200, tenants["lim-block-silent"].BlockIngestionStatusCode)
	require.Equal(t, 7*day, tenants["lim-old"].RejectOldSamplesMaxAge)
	otlp := tenants["lim-otlp"].OTLPConfig
	require.True(t, otlp.SeverityTextAsLabel)
	rules, err := otlp.Compile()
	require.NoError(t, err)
	require.Equal(t, limits.OTLPIndexLabel, rules.Resource("team"))
	require.Equal(t, limits.OTLPDrop, rules.Resource("secret"))
	require.Equal(t, limits.OTLPIndexLabel, rules.Resource("service.name"))
	require.Equal(t, limits.OTLPDrop, rules.Log("noise.x"))
}

func TestBadOverrides(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		_, err := readOverrides("o.yaml", []byte(text), limits.DefaultLimits(), map[string]limits.Limits{})
		require.EqualError(t, err, want)
	}
	f("overrides: {a: {max_line_sise: 1}}", "o.yaml:1:17: overrides.a.max_line_sise: unknown key, did you mean max_line_size?")
	f("overrides: {a: {max_line_size: x}}",
		`o.yaml:1:32: overrides.a.max_line_size: "x" is not allowed, only a size such as 4MB, 256KB or a number of bytes`)
	f("overrides: {a: {retention_period: 1h}}", "o.yaml:1:35: overrides.a.retention_period: 1h0m0s is less than 24h (0 keeps everything)")
	f("override: {}", "o.yaml:1:1: override: unknown key, did you mean overrides?")
	f("overrides: {a: {}, a: {}}", "o.yaml:1:20: overrides.a: the key stands twice, first in line 1")
}

func newRuntime(t *testing.T, period time.Duration, files ...string) (*Runtime, *limits.Overrides, *strings.Builder) {
	t.Helper()
	setup, err := Load([]string{"-runtime-config.file=" + strings.Join(files, ","), "-runtime-config.reload-period=" + period.String()}, noEnv)
	require.NoError(t, err)
	overrides, err := limits.New(setup.Config.Limits.Limits)
	require.NoError(t, err)
	var out strings.Builder
	log := slog.New(slog.NewTextHandler(&out, nil))
	return NewRuntime(setup.Config, overrides, log, prometheus.NewRegistry()), overrides, &out
}

func TestRuntimeReloads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "overrides.yaml")
		write := func(text string) { require.NoError(t, os.WriteFile(file, []byte(text), 0o600)) }
		write("overrides: {a: {max_line_size: 1KB}, b: }\nconfigs: {a: {log_push_request: true}}")
		r, overrides, out := newRuntime(t, 10*time.Second, file)
		require.NoError(t, r.Load())
		require.Equal(t, 1024, overrides.For("a").MaxLineSize)
		require.Equal(t, overrides.Defaults().MaxLineSize, overrides.For("b").MaxLineSize)
		require.Contains(t, out.String(), "keys=configs")

		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()
		write("overrides: {a: {max_line_size: 2KB}}")
		time.Sleep(9 * time.Second)
		synctest.Wait()
		require.Equal(t, 1024, overrides.For("a").MaxLineSize)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		require.Equal(t, 2048, overrides.For("a").MaxLineSize)

		write("overrides: {a: {max_line_size: nonsense}}")
		time.Sleep(10 * time.Second)
		synctest.Wait()
		require.Equal(t, 2048, overrides.For("a").MaxLineSize, "the last good one holds")
		require.Contains(t, out.String(), "not reloaded")
		require.Zero(t, testutil.ToFloat64(r.metrics.successful))

		require.NoError(t, os.Remove(file))
		time.Sleep(10 * time.Second)
		synctest.Wait()
		require.Equal(t, 2048, overrides.For("a").MaxLineSize)

		write("")
		time.Sleep(10 * time.Second)
		synctest.Wait()
		require.Same(t, overrides.Defaults(), overrides.For("a"))
		require.Equal(t, 1.0, testutil.ToFloat64(r.metrics.successful))
		cancel()
		require.NoError(t, <-done)
	})
}

func TestRuntimeMergesFiles(t *testing.T) {
	dir := t.TempDir()
	one, two := filepath.Join(dir, "1.yaml"), filepath.Join(dir, "2.yaml")
	require.NoError(t, os.WriteFile(one, []byte("overrides: {a: {max_line_size: 1KB, max_query_series: 7}}"), 0o600))
	require.NoError(t, os.WriteFile(two, []byte("overrides: {a: {max_line_size: 2KB}}"), 0o600))
	r, overrides, _ := newRuntime(t, time.Second, one, two)
	require.NoError(t, r.Load())
	require.Equal(t, 2048, overrides.For("a").MaxLineSize)
	require.Equal(t, 7, overrides.For("a").MaxQuerySeries)
}

func TestRuntimeWithoutAFile(t *testing.T) {
	r, _, _ := newRuntime(t, time.Second)
	require.NoError(t, r.Load())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, r.Run(ctx))

	r, _, _ = newRuntime(t, time.Second, "none.yaml")
	require.ErrorContains(t, r.Load(), "cannot load runtime configuration: ")
}
