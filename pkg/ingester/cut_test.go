package ingester

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"logstore/pkg/schema"
	"logstore/pkg/wire"
)

// keysOf returns the keys of all objects of a store.
func keysOf(s *memStore) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var keys []string
	for ref := range maps.Keys(s.objects) {
		keys = append(keys, schema.ContentKey(ref))
	}
	slices.Sort(keys)
	return keys
}

// sameChunks lets several members, each with another speed of compression and other looks at its streams, take the same pushes.
// It returns the keys of the chunks that each stored.
func sameChunks(t *testing.T, change func(member int, cfg *Config), missed, late func(member, push int) bool) [][]string {
	t.Helper()
	var all [][]string
	for member := range 2 {
		cfg := testConfig(t.TempDir())
		cfg.BlockSize, cfg.TargetSize = 8<<10, 24<<10
		cfg.SealWorkers = 1 + 3*member
		cfg.FlushCheck = time.Duration(10+500*member) * time.Millisecond
		change(member, &cfg)
		store := newMemStore()
		n := start(t, cfg, store, nil)
		var held []wire.Stream
		rnd := rand.New(rand.NewPCG(1, 2))
		for k := range 2000 {
			var streams []wire.Stream
			for _, name := range []string{"a", "b", "c"} {
				var entries []wire.PushEntry
				for e := range 1 + rnd.IntN(4) {
					// Some entries are late.
					ts := int64(k)*int64(2*time.Second) + int64(e) - rnd.Int64N(2)*rnd.Int64N(int64(5*time.Second))
					entries = append(entries, at(ts, fmt.Sprintf("%d %x", k, rand16k(rnd.IntN(1000))[:50+rnd.IntN(200)])))
				}
				streams = append(streams, app(name, entries...))
			}
			if missed(member, k) {
				continue
			}
			if late(member, k) {
				// The next push overtakes it.
				held = streams
				continue
			}
			n.push("t", streams...)
			if held != nil {
				n.push("t", held...)
				held = nil
			}
			if k%10 == 9 {
				// The sealers keep up, as they do unless a member has too much to do.
				require.Eventually(t, func() bool {
					n.seals.mu.Lock()
					defer n.seals.mu.Unlock()
					return n.seals.bytes == 0
				}, 10*time.Second, time.Millisecond)
			}
		}
		require.NoError(t, n.FlushWait(t.Context()))
		all = append(all, keysOf(store))
		n.end()
	}
	return all
}

// TestReplicasCutAlike wants the same objects of members that took the same pushes.
func TestReplicasCutAlike(t *testing.T) {
	for name, change := range map[string]func(int, *Config){
		"full":   func(_ int, c *Config) { c.SyncPeriod = 0 },
		"synced": func(_ int, c *Config) { c.SyncPeriod, c.TargetSize = 20*time.Minute, 1<<20 },
		"age":    func(_ int, c *Config) { c.SyncPeriod, c.TargetSize, c.MaxChunkAge = 0, 1<<20, 30*time.Minute },
	} {
		t.Run(name, func(t *testing.T) {
			keys := sameChunks(t, change, never, never)
			require.Greater(t, len(keys[0]), 8)
			require.Equal(t, keys[0], keys[1])
		})
	}
}

func never(int, int) bool { return false }

// share returns how many of the chunks of the first member the second has as well.
func share(keys [][]string) float64 {
	both := 0
	for _, k := range keys[0] {
		if slices.Contains(keys[1], k) {
			both++
		}
	}
	return float64(both) / float64(len(keys[0]))
}

// TestReplicasAgreeAgain has a member miss some pushes, as one does that was away, and take others in another order: soon its chunks are
// those of the other again.
func TestReplicasAgreeAgain(t *testing.T) {
	unsynced := func(_ int, c *Config) { c.SyncPeriod = 0 }
	missed := share(sameChunks(t, unsynced, func(member, push int) bool { return member == 1 && push >= 500 && push < 600 }, never))
	late := share(sameChunks(t, unsynced, never, func(member, push int) bool { return member == 1 && push%300 == 7 }))
	t.Logf("chunks that both members have: %.0f %% if one missed 100 pushes, %.0f %% if seven were late", 100*missed, 100*late)
	require.Greater(t, missed, 0.7)
	require.Greater(t, late, 0.9)
}

// TestSecondWaits stores a chunk later if another member stores it first, and at once if it is asked to.
func TestSecondWaits(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.MaxChunkAge = time.Hour
	store := newMemStore()
	n := start(t, cfg, store, nil)
	n.second = func(_ string, hash uint64) bool { return hash == app("b").Hash }
	for _, name := range []string{"a", "b"} {
		n.push("t", app(name, at(0, "x")))
		n.push("t", app(name, at(int64(2*time.Hour), "y")))
	}
	require.Eventually(t, func() bool { return store.count() == 1 }, 10*time.Second, time.Millisecond)
	time.Sleep(50 * time.Millisecond)
	require.Equal(t, 1, store.count())
	require.NoError(t, n.FlushWait(t.Context()))
	require.Equal(t, 4, store.count())
	n.end()
}
