package schema

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"logstore/pkg/model"
)

func TestChunkKeys(t *testing.T) {
	f := func(layout Layout, ref model.ChunkRef, key, path string) {
		t.Helper()
		require.Equal(t, key, ChunkKey(ref, layout))
		require.Equal(t, path, ChunkPath(ref, layout))
		want := ChunkName{ChunkRef: ref, Layout: layout}
		got, err := ParseChunkKey(key)
		require.NoError(t, err)
		require.Equal(t, want, got)
		got, err = ParseChunkPath(path)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	f(Flat, model.ChunkRef{Tenant: "acme", Fingerprint: 0x39f314664f94044d, From: 0x19baa5a3fff, Through: 0x19baa5a4000, Checksum: 0xa2bd1dff},
		"acme/39f314664f94044d:19baa5a3fff:19baa5a4000:a2bd1dff",
		"YWNtZS8zOWYzMTQ2NjRmOTQwNDRkOjE5YmFhNWEzZmZmOjE5YmFhNWE0MDAwOmEyYmQxZGZm")
	f(Nested, model.ChunkRef{Tenant: "acme", Fingerprint: 0xac283ce2a181192c, From: 0x19ba7c745c2, Through: 0x19ba7c91a82, Checksum: 0xc29ec05d},
		"acme/ac283ce2a181192c/19ba7c745c2:19ba7c91a82:c29ec05d",
		"acme/ac283ce2a181192c/MTliYTdjNzQ1YzI6MTliYTdjOTFhODI6YzI5ZWMwNWQ=")
	// No padding, the extremes, and a collision's small number.
	f(Nested, model.ChunkRef{Tenant: "a!-_.*'()", Fingerprint: 1}, "a!-_.*'()/1/0:0:0", "a!-_.*'()/1/MDowOjA=")
	f(Flat, model.ChunkRef{Tenant: "t", Fingerprint: math.MaxUint64, From: -1, Through: math.MaxInt64, Checksum: math.MaxUint32},
		"t/ffffffffffffffff:-1:7fffffffffffffff:ffffffff", "dC9mZmZmZmZmZmZmZmZmZmZmOi0xOjdmZmZmZmZmZmZmZmZmZmY6ZmZmZmZmZmY=")
	require.Equal(t, "39f314664f94044d/19baa5a3fff:19baa5a4000:a2bd1dff",
		ContentKey(model.ChunkRef{Tenant: "acme", Fingerprint: 0x39f314664f94044d, From: 0x19baa5a3fff, Through: 0x19baa5a4000, Checksum: 0xa2bd1dff}))
}

func TestBadChunkKeys(t *testing.T) {
	for _, key := range []string{
		"", "acme", "acme/", "/1:2:3:4", "acme/1", "acme/1:2", "acme/1:2:3", "acme/1:2:3:4:5", "acme/1/2/3:4", "acme/1/2:3:4/5",
		"acme/01:2:3:4", "acme/1:02:3:4", "acme/G:2:3:4", "acme/A:2:3:4", "acme/1:3:2:4", "acme/1:2:3:100000000", "acme/1:2:3:-4",
		"acme/11111111111111111:2:3:4", "acme/1:8000000000000000:ffffffffffffffff:4", "acme/1:-0:3:4", "acme/+1:2:3:4", "acme/1::3:4",
		"index/index_20463/a.gz", "loki_cluster_seed.json", "rules/acme/x",
	} {
		_, err := ParseChunkKey(key)
		require.ErrorIs(t, err, ErrChunkKey, key)
	}
	for _, path := range []string{
		"", "acme/1/%%%", "YWNtZQ", "acme/1/YWNtZS8xOjI6Mzo0", "YWNtZS8xLzI6Mzo0", // the two layouts in each other's place
		"loki_cluster_seed.json", "index/index_20463/YQ==",
	} {
		_, err := ParseChunkPath(path)
		require.ErrorIs(t, err, ErrChunkKey, path)
	}
}

func TestIndexKeys(t *testing.T) {
	const table = "index/index_20463/"
	f := func(key string, want IndexFile, local string) {
		t.Helper()
		got, ok := ParseIndexKey(table, key)
		require.True(t, ok)
		require.Equal(t, want, got)
		require.Equal(t, key, got.Key(table))
		require.Equal(t, local, got.LocalName())
	}
	f(table+"compactor-1.gz", IndexFile{Name: "compactor-1.gz"}, "compactor-1")
	f(table+"acme/compactor-1.r.gz", IndexFile{Tenant: "acme", Name: "compactor-1.r.gz"}, "acme/compactor-1.r")
	f(table+"old", IndexFile{Name: "old"}, "old")
	for _, key := range []string{table, table + "a/", table + "/b", table + "a/b/c", "index/index_2046/a", table + "../x", table + "..", table + "a/..", table + ".gz"} {
		_, ok := ParseIndexKey(table, key)
		require.False(t, ok, key)
	}
}

// sameParsed wants ParseChunkKeyOf to do what ParseChunkKey does, whatever the tenant is.
func sameParsed(t *testing.T, key []byte, tenants ...string) {
	t.Helper()
	want, wantErr := ParseChunkKey(string(key))
	for _, tenant := range tenants {
		got, err := ParseChunkKeyOf(tenant, key)
		require.Equal(t, want, got, "%q of %q", key, tenant)
		require.Equal(t, wantErr, err, "%q of %q", key, tenant)
	}
}

// TestParseChunkKeyOf reads keys, and such as are spoiled in one byte or cut off.
func TestParseChunkKeyOf(t *testing.T) {
	for _, key := range []string{
		"acme/39f314664f94044d:19baa5a3fff:19baa5a4000:a2bd1dff", "acme/39f314664f94044d/19baa5a3fff:19baa5a4000:a2bd1dff",
		"acme/0/0:0:0", "acme/1/2:1:3", "acme/ffffffffffffffff/7fffffffffffffff:7fffffffffffffff:ffffffff", "acme/1/-5:3:1", "acme/1/-5:-2:1",
		"acme/1/1:8000000000000000:1", "acme/1/1:2:100000000", "acme/10000000000000000/1:2:3", "acme/1/1:2:3:", "acme/1/1:2:", "acme/", "/1/1:2:3", "acme:1/1:2:3",
	} {
		for i := range len(key) + 1 {
			sameParsed(t, []byte(key[:i]), "acme", "acm", "", "other")
			for _, c := range []byte("0f/:-gA\x00\xff") {
				if i < len(key) {
					spoiled := []byte(key)
					spoiled[i] = c
					sameParsed(t, spoiled, "acme", "acmeX")
				}
			}
		}
	}
	require.Zero(t, testing.AllocsPerRun(10, func() {
		_, _ = ParseChunkKeyOf("acme", []byte("acme/39f314664f94044d/19baa5a3fff:19baa5a4000:a2bd1dff"))
	}))
}

func BenchmarkParseChunkKey(b *testing.B) {
	key := []byte("acme/39f314664f94044d/19baa5a3fff:19baa5a4000:a2bd1dff")
	b.Run("any", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := ParseChunkKey(string(key)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("of", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := ParseChunkKeyOf("acme", key); err != nil {
				b.Fatal(err)
			}
		}
	})
}
