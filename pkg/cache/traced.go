package cache

import (
	"context"

	"logstore/pkg/trace"
)

// traced is a cache in another process whose look-ups are spans. Those within this process are too short to be any.
type traced struct {
	Cache
	name, system string
}

// Get implements Cache.
func (t traced) Get(ctx context.Context, keys ...string) [][]byte {
	ctx, span := trace.Start(ctx, "cache get")
	out := t.Cache.Get(ctx, keys...)
	if span == nil {
		return out
	}
	hits := 0
	for _, v := range out {
		if v != nil {
			hits++
		}
	}
	span.Text("db.system.name", t.system)
	span.Text("logstore.cache", t.name)
	span.Int("logstore.keys", int64(len(keys)))
	span.Int("logstore.hits", int64(hits))
	span.End(nil)
	return out
}
