package sidecar

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"logstore/pkg/model"
)

// testPack has the sidecars of three chunks, two of which begin at the same time.
func testPack() (*PackWriter, []model.ChunkRef) {
	w := &PackWriter{Tenant: "acme"}
	var refs []model.ChunkRef
	for i := range 3 {
		o := testObject()
		o.Ref.From += int64(i/2) * 60_000
		o.Ref.Through += int64(i) * 60_000
		o.Ref.Fingerprint += uint64(i)
		refs = append(refs, o.Ref)
		w.Add(o.Ref, o.Append(nil))
	}
	return w, refs
}

func TestPack(t *testing.T) {
	w, refs := testPack()
	data, directory := w.Bytes()
	require.Equal(t, 3, w.Len())
	require.Equal(t, refs[0].From, w.First())
	require.Equal(t, refs[2].From, w.Last())
	p, err := OpenPack(data[:directory:directory], "acme")
	require.NoError(t, err)
	require.Equal(t, 3, p.Len())
	require.Equal(t, len(data), p.Size())
	for i, ref := range refs {
		from, to, ok := p.Find(ref)
		require.True(t, ok)
		require.Equal(t, w.objects[i], data[from:to])
		_, _, err := Open(data[from:to], ref)
		require.NoError(t, err)
		other := ref
		other.Checksum++
		_, _, ok = p.Find(other)
		require.False(t, ok)
		other = ref
		other.Tenant = "other"
		_, _, ok = p.Find(other)
		require.False(t, ok)
	}
	for n := range directory {
		_, err := OpenPack(data[:n:n], "acme")
		var short *ShortError
		require.ErrorAs(t, err, &short)
		require.Greater(t, short.Need, n)
	}
	for i := range directory {
		bad := slices.Clone(data)
		bad[i] ^= 0x10
		_, err := OpenPack(bad, "acme")
		require.Error(t, err, "byte %d", i)
	}
	_, err = OpenPack(data, "other")
	require.ErrorIs(t, err, ErrForeign)
	require.Panics(t, func() { w.Add(refs[1], nil) }, "out of order")
	require.Panics(t, func() { w.Add(model.ChunkRef{Tenant: "other", From: 1 << 50}, nil) })
	empty, directory := (&PackWriter{Tenant: "acme"}).Bytes()
	require.Len(t, empty, directory)
	p, err = OpenPack(empty, "acme")
	require.NoError(t, err)
	require.Zero(t, p.Len())
	require.Equal(t, directory, p.Size())
}

// TestGoldenPack holds the format of packs.
func TestGoldenPack(t *testing.T) {
	w, _ := testPack()
	data, _ := w.Bytes()
	golden(t, "testdata/pack.hex", data)
}

func FuzzOpenPack(f *testing.F) {
	w, refs := testPack()
	data, directory := w.Bytes()
	f.Add(data)
	f.Add(data[:directory])
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := OpenPack(resummed(data), "acme")
		if err != nil {
			return
		}
		at := int(p.begin)
		for i := range p.rows {
			from, to, ok := p.Find(p.ref(i))
			require.True(t, ok)
			require.Equal(t, at, from)
			require.GreaterOrEqual(t, to, from)
			at = to
		}
		require.Equal(t, at, p.Size())
		_, _, _ = p.Find(refs[0])
	})
}
