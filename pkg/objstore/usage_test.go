package objstore

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
)

func TestDiskUsage(t *testing.T) {
	f, err := NewFilesystem(FilesystemConfig{Directory: t.TempDir()})
	require.NoError(t, err)
	used, size, err := DiskUsage(Prefixed(Metered(f, "filesystem", prometheus.NewRegistry()), "a/"))
	require.NoError(t, err)
	require.Positive(t, used)
	require.Greater(t, size, used)
	_, _, err = DiskUsage(NewMemory())
	require.Error(t, err)
}
