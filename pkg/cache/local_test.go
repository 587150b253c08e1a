package cache_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"logstore/pkg/cache"
	"logstore/pkg/cache/cachetest"
)

func TestLocal(t *testing.T) {
	cachetest.Run(t, cache.NewLocal("test", cache.LocalConfig{MaxBytes: 16 << 20}, cache.Deps{}))
}

func TestTiered(t *testing.T) {
	near := cache.NewLocal("near", cache.LocalConfig{MaxBytes: 1 << 14}, cache.Deps{})
	far := cache.NewLocal("far", cache.LocalConfig{MaxBytes: 16 << 20}, cache.Deps{})
	cachetest.Run(t, cache.NewTiered(near, far))
}

func TestNothing(t *testing.T) {
	c, err := cache.New(cache.Config{Name: "test"}, cache.Deps{})
	require.NoError(t, err)
	c.Put("a", []byte("b"))
	require.Equal(t, [][]byte{nil, nil}, c.Get(t.Context(), "a", "b"))
}
