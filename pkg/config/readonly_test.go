package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestReadOnlyPeriods gives advice that can be followed: the period that it names makes the configuration writable from its day on.
func TestReadOnlyPeriods(t *testing.T) {
	now := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	date := func(text string) time.Time {
		d, err := time.Parse(time.DateOnly, text)
		require.NoError(t, err)
		return d
	}
	period := func(from, store string) Period {
		return Period{From: date(from), Store: store, ObjectStore: "s3", Schema: "v13", Index: PeriodTables{Prefix: "index_"}}
	}
	s := Schema{Configs: []Period{period("2026-01-01", StoreBoltDBShipper), period("2026-03-01", StoreTSDB)}}
	list := s.ReadOnly(now)
	require.Len(t, list, 1)
	require.True(t, list[0].Contains(now))
	require.False(t, list[0].Contains(date("2026-02-28")))
	const entry = "{from: 2026-11-25, store: boltdb-shipper, object_store: s3, schema: v13, index: {prefix: index_, period: 24h}}"
	require.Contains(t, list[0].Why, "the schema period from 2026-03-01 has store tsdb, which is read here and not written")
	require.Contains(t, list[0].Why, entry)

	s.Configs = append(s.Configs, period("2026-11-25", StoreBoltDBShipper))
	list = s.ReadOnly(now)
	require.True(t, list[0].Contains(now))
	require.False(t, list[0].Contains(date("2026-11-25")))
	list = s.ReadOnly(date("2026-11-25"))
	require.Equal(t, "the schema period from 2026-03-01 has store tsdb, which is read here and not written", list[0].Why, "nothing is to be done")

	s.Configs = append(s.Configs, period("2027-01-01", StoreTSDB))
	require.Contains(t, s.ReadOnly(now)[1].Why, "{from: 2027-01-01, store: boltdb-shipper,")

	// The entry is YAML that loads, and the start says so until it is there.
	file := filepath.Join(t.TempDir(), "loki.yaml")
	load := func(periods ...string) []string {
		text := "common: {storage: {filesystem: {chunks_directory: /tmp/x}}}\nschema_config:\n  configs:\n  - " + strings.Join(periods, "\n  - ") + "\n"
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		setup, err := Load([]string{"-config.file=" + file}, noEnv)
		require.NoError(t, err)
		return setup.Warnings
	}
	const old = "{from: 2026-01-01, store: tsdb, object_store: filesystem, schema: v13, index: {prefix: index_, period: 24h}}"
	warnings := load(old)
	require.Len(t, warnings, 1)
	_, advice, ok := strings.Cut(warnings[0], "such as ")
	require.True(t, ok)
	advice = advice[:strings.LastIndex(advice, "}")+1]
	require.Len(t, load(old, advice), 1, "until the day begins")
	begun := "{from: 2026-02-01" + advice[strings.Index(advice, ", store"):]
	require.Empty(t, load(old, begun))
}
