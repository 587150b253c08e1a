package config

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestParseDuration(t *testing.T) {
	f := func(text string, want time.Duration) {
		t.Helper()
		got, err := parseDuration(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	f("0", 0)
	f("0.0", 0)
	f("0s", 0)
	f("1h30m", 90*time.Minute)
	f("24h0m0s", day)
	f("1d", day)
	f("1w", 7*day)
	f("1y", 365*day)
	f("30d1h", 721*time.Hour)
	f("1.5d", 36*time.Hour)
	f("1d500ms", day+500*time.Millisecond)
	f("-1h", -time.Hour)
	f("-1d", -day)
	f(" 5m ", 5*time.Minute)
	f("2562047h47m16.854775807s", math.MaxInt64)
	for _, bad := range []string{"", "5", "h", "1 h", "5x", "1d5", "..h", "10000000d", "-", "1e3s", "nan"} {
		_, err := parseDuration(bad)
		require.Error(t, err, bad)
	}
}

func TestParseSize(t *testing.T) {
	f := func(text string, want int64) {
		t.Helper()
		got, err := parseSize(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	f("0", 0)
	f("0B", 0)
	f("1048576", 1<<20)
	f("1.048576e+06", 1<<20)
	f("4MB", 4<<20)
	f("4mb", 4<<20)
	f("4 MiB", 4<<20)
	f("256KB", 256<<10)
	f("1.5GB", 3<<29)
	f("63KiB1023B", 64<<10-1)
	for _, bad := range []string{"", "MB", "1.5", "4XB", "99999PB", "1e400", "4MB4", "--1"} {
		_, err := parseSize(bad)
		require.Error(t, err, bad)
	}
}

func TestParseInt(t *testing.T) {
	f := func(text string, want int64) {
		t.Helper()
		got, err := parseInt(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	f("12", 12)
	f("-1", -1)
	f("1.5e+06", 1500000)
	f("1.048576e+08", 104857600)
	f("1e3", 1000)
	f("9.223372036854775807e18", math.MaxInt64)
	f("100_000", 100000)
	f("0x10", 16)
	f("3.0", 3)
	for _, bad := range []string{"", "1.5", "1e-3", "1e19", "9223372036854775808", "inf", "nan", "x", "1e999999999", "1p900"} {
		_, err := parseInt(bad)
		require.Error(t, err, bad)
	}
	require.Error(t, checkBits(1<<32, 32, true))
	require.NoError(t, checkBits(1<<32-1, 32, true))
	require.Error(t, checkBits(-1, 64, true))
}

func TestParseDay(t *testing.T) {
	got, err := parseDay("2024-1-2")
	require.NoError(t, err)
	require.Equal(t, time.Date(2024, 1, 2, 0, 0, 0, 0, time.UTC), got)
	for _, bad := range []string{"", "2024", "2024-01-01T01:00:00Z", "yesterday"} {
		_, err := parseDay(bad)
		require.Error(t, err, bad)
	}
}
