package cache

import (
	"context"

	"logstore/pkg/compress"
)

// Compressed keeps values compressed by snappy in another cache. Its keys are its own, so that members with and without it may share a
// cache.
type Compressed struct{ inner Cache }

// NewCompressed returns a cache that keeps its values in the inner one. A cache that keeps nothing stays as it is.
func NewCompressed(inner Cache) Cache {
	if _, nothing := inner.(Nothing); nothing {
		return inner
	}
	return Compressed{inner}
}

// maxCompressed bounds what a value may decompress to.
const maxCompressed = 256 << 20

func compressedKey(key string) string { return key + ":snappy" }

// Get implements Cache. What cannot be decompressed is a miss.
func (c Compressed) Get(ctx context.Context, keys ...string) [][]byte {
	own := make([]string, len(keys))
	for i, k := range keys {
		own[i] = compressedKey(k)
	}
	values := c.inner.Get(ctx, own...)
	out := make([][]byte, len(values))
	for i, v := range values {
		if v == nil {
			continue
		}
		value, err := compress.Snappy.AppendDecompress(nil, v, 0, maxCompressed)
		if err == nil && len(value) > 0 {
			out[i] = value
		}
	}
	return out
}

// Put implements Cache.
func (c Compressed) Put(key string, value []byte) {
	if len(value) == 0 || len(value) > maxCompressed {
		return
	}
	packed, err := compress.Snappy.AppendCompress(nil, value)
	if err != nil {
		panic("BUG: snappy: " + err.Error())
	}
	c.inner.Put(compressedKey(key), packed)
}

// Run implements Cache.
func (c Compressed) Run(ctx context.Context) error { return c.inner.Run(ctx) }
