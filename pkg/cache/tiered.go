package cache

import (
	"context"

	"golang.org/x/sync/errgroup"
)

// Tiered is a near cache before a far one. What only the far one has is put into the near one.
type Tiered struct{ near, far Cache }

// NewTiered returns the two caches as one.
func NewTiered(near, far Cache) *Tiered { return &Tiered{near: near, far: far} }

// Get implements Cache. The far cache is asked once, for all that the near one misses.
func (t *Tiered) Get(ctx context.Context, keys ...string) [][]byte {
	out := t.near.Get(ctx, keys...)
	var missing []string
	var at []int
	for i, v := range out {
		if v == nil {
			missing = append(missing, keys[i])
			at = append(at, i)
		}
	}
	if len(missing) == 0 {
		return out
	}
	for j, v := range t.far.Get(ctx, missing...) {
		if v != nil {
			out[at[j]] = v
			t.near.Put(missing[j], v)
		}
	}
	return out
}

// Put implements Cache.
func (t *Tiered) Put(key string, value []byte) {
	t.near.Put(key, value)
	t.far.Put(key, value)
}

// Run implements Cache.
func (t *Tiered) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return t.near.Run(ctx) })
	g.Go(func() error { return t.far.Run(ctx) })
	return g.Wait()
}
