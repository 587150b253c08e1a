package app

import (
	"testing"

	"github.com/stretchr/testify/require"

	"logstore/pkg/ingester"
)

// A threshold of the disk holds as it is if it was set, by whatever way; by its default much free space counts, too.
func TestDiskThreshold(t *testing.T) {
	for text, want := range map[string][2]any{
		"{}":                               {0.9, ingester.DefaultConfig.DiskSpare},
		"ingester: {wal: {enabled: true}}": {0.9, ingester.DefaultConfig.DiskSpare},
		"ingester: {wal: {disk_full_threshold: 0.9}}":  {0.9, int64(0)},
		"ingester: {wal: {disk_full_threshold: 0.97}}": {0.97, int64(0)},
	} {
		c, err := ingesterConfig(rulerApp(t, text).cfg)
		require.NoError(t, err)
		require.Equal(t, want, [2]any{c.DiskFull, c.DiskSpare}, text)
	}
	c, err := ingesterConfig(rulerApp(t, "ingester: {wal: {replay_memory_ceiling: 3MB}}").cfg)
	require.NoError(t, err)
	require.EqualValues(t, 3<<20, c.ReplayMemory)
	c, err = ingesterConfig(rulerApp(t, "ingester: {max_returned_stream_errors: 4}").cfg)
	require.NoError(t, err)
	require.Equal(t, 4, c.NamedErrors)
}
