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
	data, middle := w.Bytes()
	require.Equal(t, 3, w.Len())
	require.Equal(t, refs[0].From, w.First())
	require.Equal(t, refs[2].From, w.Last())
	p, err := OpenPack(data[middle.From:middle.To:middle.To], "acme")
	require.NoError(t, err)
	require.Equal(t, 3, p.Len())
	require.Equal(t, refs, p.Refs())
	require.Equal(t, len(data), p.Size())
	require.Equal(t, middle, p.Middle())
	for i, ref := range refs {
		require.Equal(t, w.objects[i], p.Object(data, ref), "as it lies alone")
		require.Nil(t, p.Object(data[:len(data)-1], ref))
		other := ref
		other.Checksum++
		_, ok := p.Find(other)
		require.False(t, ok)
		require.Nil(t, p.Object(data, other))
		other = ref
		other.Tenant = "other"
		_, ok = p.Find(other)
		require.False(t, ok)
	}
	directory := int(p.directory) - middle.From
	for n := range directory {
		_, err := OpenPack(data[middle.From:][:n:n], "acme")
		var short *ShortError
		require.ErrorAs(t, err, &short)
		require.Greater(t, short.Need, n)
	}
	for i := range directory {
		bad := slices.Clone(data[middle.From:])
		bad[i] ^= 0x10
		_, err := OpenPack(bad, "acme")
		require.Error(t, err, "byte %d", i)
	}
	_, err = OpenPack(data[middle.From:], "other")
	require.ErrorIs(t, err, ErrForeign)
	require.Panics(t, func() { w.Add(refs[1], nil) }, "out of order")
	require.Panics(t, func() { w.Add(model.ChunkRef{Tenant: "other", From: 1 << 50}, nil) })
	empty, middle := (&PackWriter{Tenant: "acme"}).Bytes()
	require.Equal(t, Extent{0, len(empty)}, middle)
	p, err = OpenPack(empty, "acme")
	require.NoError(t, err)
	require.Zero(t, p.Len())
	require.Equal(t, len(empty), p.Size())
}

// TestPackHalves wants the columns of all sidecars before the middle and the filters of all behind it, and objects of either half.
func TestPackHalves(t *testing.T) {
	w, refs := testPack()
	data, middle := w.Bytes()
	p, err := OpenPack(data[middle.From:], "acme")
	require.NoError(t, err)
	cut := func(e Extent) []byte { return slices.Clone(data[e.From:e.To]) }
	last := Packed{Columns: Extent{0, 0}, Head: Extent{0, int(p.directory)}, Filters: Extent{0, middle.To}}
	for i, ref := range refs {
		at, ok := p.Find(ref)
		require.True(t, ok)
		require.Equal(t, []int{last.Columns.To, last.Head.To, last.Filters.To}, []int{at.Columns.From, at.Head.From, at.Filters.From})
		last = at
		whole, _, err := Open(w.objects[i], ref)
		require.NoError(t, err)
		for parts := range Whole + 1 {
			head, columns, filters := cut(at.Head), cut(at.Columns), cut(at.Filters)
			o, err := OpenParts(head, columns, filters, parts, ref)
			require.NoError(t, err)
			require.Equal(t, parts.Has(Columns), o.Blocks[0].HasTimes())
			require.Equal(t, parts.Has(Filters), len(o.Blocks[0].filter) > 0)
			rest, err := OpenParts(head, columns, filters, Whole&^parts, ref)
			require.NoError(t, err)
			both := o.With(rest)
			require.Equal(t, whole, both)
			require.Equal(t, o, o.Clone())
			clear(filters)
			clear(columns)
			require.Equal(t, !parts.Has(Columns), both.Blocks[0].Times(new(Times)), "the other's part is a copy")
			columns, filters = cut(at.Columns), cut(at.Filters)
			require.Equal(t, parts.Has(Columns), o.Blocks[0].HasTimes(), "it is not changed")
			for _, part := range []struct {
				parts Parts
				bytes *[]byte
			}{{Whole, &head}, {Columns, &columns}, {Filters, &filters}} {
				sound := *part.bytes
				for k := range sound {
					*part.bytes = slices.Concat(sound[:k], []byte{sound[k] ^ 0x10}, sound[k+1:])
					_, err := OpenParts(head, columns, filters, parts, ref)
					require.Equal(t, part.bytes == &head || parts.Has(part.parts), err != nil, "byte %d", k)
				}
				for _, other := range [][]byte{sound[:len(sound)-1], append(slices.Clone(sound), 0), nil} {
					*part.bytes = other
					_, err := OpenParts(head, columns, filters, parts, ref)
					require.Equal(t, part.bytes == &head || parts.Has(part.parts), err != nil)
				}
				*part.bytes = sound
			}
		}
	}
	require.Equal(t, []int{middle.From, middle.To, len(data)}, []int{last.Columns.To, last.Head.To, last.Filters.To})
}

// TestPackOfUnsound gives back what is no sidecar as it was.
func TestPackOfUnsound(t *testing.T) {
	w := &PackWriter{Tenant: "acme"}
	o := testObject()
	sound := o.Append(nil)
	objects := [][]byte{nil, []byte("no sidecar"), sound[:len(sound)-1], append(slices.Clone(sound), 7), sound[:20]}
	for i, data := range objects {
		o.Ref.Fingerprint = uint64(i)
		w.Add(o.Ref, data)
	}
	data, middle := w.Bytes()
	p, err := OpenPack(data[middle.From:], "acme")
	require.NoError(t, err)
	for i, ref := range p.Refs() {
		require.True(t, slices.Equal(objects[i], p.Object(data, ref)))
		at, _ := p.Find(ref)
		_, err := OpenParts(data[at.Head.From:at.Head.To], nil, nil, Columns, ref)
		require.Error(t, err)
	}
}

// TestWith joins no halves of different sidecars.
func TestWith(t *testing.T) {
	for i, change := range []func(o *Object){
		func(o *Object) { o.Ref.Checksum++ }, func(o *Object) { o.Size++ }, func(o *Object) { o.Places[1].Offset++ },
		func(o *Object) { o.Blocks[1].Entries++ }, func(o *Object) { o.Blocks[0].MaxTime++ }, func(o *Object) { o.Blocks, o.Places = o.Blocks[:1], o.Places[:1] },
	} {
		o, other := testObject(), testObject()
		require.Equal(t, o, o.With(other))
		change(other)
		require.Nil(t, o.With(other), "change %d", i)
	}
}

// TestGoldenPack holds the format of packs.
func TestGoldenPack(t *testing.T) {
	w, _ := testPack()
	data, _ := w.Bytes()
	golden(t, "testdata/pack.hex", data)
}

func FuzzOpenPack(f *testing.F) {
	w, refs := testPack()
	data, middle := w.Bytes()
	f.Add(data[middle.From:])
	f.Add(data[middle.From:middle.To])
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := OpenPack(resummed(data), "acme")
		if err != nil {
			return
		}
		columns, heads, filters := 0, int(p.directory), p.Middle().To
		for _, ref := range p.Refs() {
			at, ok := p.Find(ref)
			require.True(t, ok)
			require.Equal(t, []int{columns, heads, filters}, []int{at.Columns.From, at.Head.From, at.Filters.From})
			for _, e := range []Extent{at.Columns, at.Head, at.Filters} {
				require.GreaterOrEqual(t, e.To, e.From)
			}
			columns, heads, filters = at.Columns.To, at.Head.To, at.Filters.To
		}
		require.Equal(t, Extent{columns, heads}, p.Middle())
		require.Equal(t, filters, p.Size())
		_, _ = p.Find(refs[0])
	})
}

// FuzzOpenParts decodes bad parts of sidecars.
func FuzzOpenParts(f *testing.F) {
	o := testObject()
	data := o.Append(nil)
	_, l, err := Open(data, o.Ref)
	require.NoError(f, err)
	f.Add(data[:l.Directory], data[l.Directory:l.Columns], data[l.Columns:], byte(Whole))
	f.Add(data[:l.Directory], []byte{}, data[l.Columns:], byte(Filters))
	f.Fuzz(func(t *testing.T, head, columns, filters []byte, parts byte) {
		got, err := OpenParts(resummed(head), columns, filters, Parts(parts)&Whole, o.Ref)
		if err != nil {
			return
		}
		for i := range got.Blocks {
			use(&got.Blocks[i])
		}
		_ = got.With(o)
	})
}
