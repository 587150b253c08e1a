package ingester

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAvailableMemory(t *testing.T) {
	f := func(want int64, files map[string]string) {
		t.Helper()
		root := t.TempDir()
		for name, text := range files {
			require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755))
			require.NoError(t, os.WriteFile(filepath.Join(root, name), []byte(text), 0o644))
		}
		require.Equal(t, want, availableMemoryAt(root))
	}
	const machine = "MemTotal:        2048 kB\nMemFree:          100 kB\n"
	f(unknownMemory, nil)
	f(2<<20, map[string]string{"proc/meminfo": machine})
	f(2<<20, map[string]string{"proc/meminfo": machine, "sys/fs/cgroup/memory.max": "max\n"})
	f(1000, map[string]string{"proc/meminfo": machine, "sys/fs/cgroup/memory.max": "1000\n"})
	f(1000, map[string]string{"proc/meminfo": machine, "proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/memory.max": "1000\n", "sys/fs/cgroup/a/b/memory.max": "max\n"})
	f(3000, map[string]string{"proc/meminfo": "nonsense", "proc/self/cgroup": "5:cpu:/x\n4:memory:/x\n", "sys/fs/cgroup/memory/x/memory.limit_in_bytes": "3000"})
	require.Positive(t, AvailableMemory())
}
