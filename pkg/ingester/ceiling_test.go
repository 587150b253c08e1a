package ingester

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"logstore/pkg/model"
)

// A replay takes no more memory than replay_memory_ceiling: it flushes what is above and goes on, also when flushed chunks are
// otherwise retained. Nothing is lost or there twice.
func TestReplayMemoryCeiling(t *testing.T) {
	const ceiling = 1 << 20
	for _, c := range []struct {
		ceiling int64
		retain  time.Duration
	}{{0, 0}, {ceiling, 0}, {ceiling, time.Hour}} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			cfg := testConfig(t.TempDir())
			cfg.BlockSize = 16 << 10
			n := start(t, cfg, newMemStore(), nil)
			want := pushNoise(n, 400)
			require.Greater(t, n.memory.Load(), int64(3*ceiling), "it needs more than the ceiling")
			n.end()

			cfg.ReplayMemory, cfg.ChunkRetain = c.ceiling, c.retain
			store := newMemStore()
			n = build(t, cfg, store, nil)
			var peak atomic.Int64
			store.putObject = func(context.Context, model.ChunkRef) error {
				if n.State() == Starting {
					peak.Store(max(peak.Load(), n.memory.Load()))
				}
				return nil
			}
			n.run()
			require.Eventually(t, func() bool { return n.Ready() == nil }, 20*time.Second, time.Millisecond)
			if c.ceiling == 0 {
				require.Zero(t, peak.Load(), "nothing is flushed")
			} else {
				require.Positive(t, peak.Load())
				require.Less(t, peak.Load(), int64(2*ceiling))
			}
			require.NoError(t, n.FlushWait(context.Background()))
			require.Equal(t, sorted(want), sorted(store.all(t)))
			n.end()
		})
	}
}

// pushNoise pushes lines of 20 kB that can only be halved by compression, to eight streams.
func pushNoise(n *node, lines int) (want []entry) {
	rng := rand.NewChaCha8([32]byte{7})
	noise := make([]byte, 10<<10)
	for k := range lines {
		_, _ = rng.Read(noise)
		s := app(fmt.Sprint(k%8), at(int64(k), fmt.Sprintf("%x", noise)))
		n.push("t", s)
		want = append(want, expect("t", s)...)
	}
	return want
}
