package ingester

import (
	"math/rand/v2"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"logstore/pkg/chunk"
	"logstore/pkg/decbuf"
	"logstore/pkg/model"
	"logstore/pkg/wal"
)

func TestSeqSet(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		var s, other seqSet
		model := map[uint64]bool{}
		for range r.IntN(40) {
			if r.IntN(3) == 0 {
				lo := 1 + r.Uint64N(60)
				hi := lo + r.Uint64N(5)
				s.addSpan(seqSpan{lo, hi})
				for n := lo; n <= hi; n++ {
					model[n] = true
				}
				continue
			}
			n := 1 + r.Uint64N(60)
			s.add(n)
			model[n] = true
			if r.IntN(2) == 0 {
				other.add(n)
			}
		}
		last := uint64(0)
		for n := range uint64(80) {
			require.Equal(t, model[n], s.contains(n), "%d in %v", n, s)
			if model[n] {
				last = n
			}
		}
		require.Equal(t, last, s.last())
		require.Equal(t, len(model) == 0, s.empty())
		require.True(t, s.containsAll(&other))
		d := decbuf.Buf{B: s.appendTo(nil)}
		require.Equal(t, s, readSeqSet(&d))
		require.NoError(t, d.Err(errRecord))
		require.Empty(t, d.B)
		u := other
		u.union(&s)
		require.True(t, u.containsAll(&s) && s.containsAll(&u))
	}
}

func samplePush(t testing.TB) ([]byte, *stream) {
	t.Helper()
	s := &stream{id: 7, tenant: &tenantState{name: "acme"}, labels: labels.FromStrings("app", "a", "pod", "p"), newest: minTime}
	var e runEncoder
	for _, in := range []int{1, 2, 3} {
		entry := at(int64(in), "plain")
		e.addLocked(s, &entry)
		entry = at(int64(-in), "rich", "a", "b", "c", "")
		e.addLocked(s, &entry)
	}
	e.end()
	b := append([]byte(nil), e.buf...)
	n := len(b)
	d := definition{id: s.id, tenant: "acme", labels: s.labels}
	b = d.appendTo(b)
	return append(b, byte(len(b)-n), 0, 0, 0), s
}

func TestPushRecord(t *testing.T) {
	b, s := samplePush(t)
	var defs []definition
	var runs []run
	require.NoError(t, readPush(b, func(d definition) { defs = append(defs, d) }, func(id uint64, r run) {
		require.EqualValues(t, 7, id)
		require.NoError(t, r.scan(b[r.lo:r.hi]))
		runs = append(runs, r)
	}))
	require.Equal(t, []definition{{7, "acme", s.labels}}, defs)
	require.Len(t, runs, 6)
	builder := chunk.NewBuilder(chunk.Version4)
	var pairs []model.Pair
	for k, r := range runs {
		require.EqualValues(t, k+1, r.seq)
		require.Equal(t, 1, r.entries)
		require.NoError(t, appendRun(builder, r.kind, b[r.lo:r.hi], &pairs))
	}
	got := entriesOf(t, "acme", s.labels, builder.Chunk())
	require.Equal(t, entry{"acme", s.labels.String(), -3, "rich", "a=b;c=;"}, got[0])
	require.Len(t, got, 6)
	for k := range b {
		// Every prefix is an error or, where a run or definition ends, shorter.
		_ = readPush(b[:k], func(definition) {}, func(uint64, run) {})
	}
}

func samplePage(t testing.TB) []byte {
	t.Helper()
	s := &stream{id: 7, tenant: &tenantState{name: "acme"}, labels: labels.FromStrings("app", "a")}
	w := &spill{}
	for k := range 3 {
		p := &piece{stream: s, id: uint64(k + 1)}
		p.appendSmall(runPlain, chunk.AppendEntry(nil, int64(k), []byte("line")), 1, int64(k), int64(k))
		p.fresh.add(uint64(k + 1))
		w.takeLocked(p)
	}
	b, err := pageEncoding.AppendCompress(appendPage(nil, w), w.data)
	require.NoError(t, err)
	return b[wal.HeaderSize+1:]
}

func TestPageRecord(t *testing.T) {
	b := samplePage(t)
	var got []fragment
	size, skip, err := readPage(b, func(d definition, seqs seqSet, f fragment) {
		require.Equal(t, d.id, seqs.last())
		got = append(got, f)
	})
	require.NoError(t, err)
	require.Len(t, got, 3)
	require.EqualValues(t, size, got[2].hi)
	pg := &page{memory: b[skip:], size: size}
	data, err := pg.load()
	require.NoError(t, err)
	kind, run, _, err := readSmallRun(data[got[1].lo:got[1].hi])
	require.NoError(t, err)
	require.Equal(t, runPlain, kind)
	ts, line, _, err := chunk.ReadEntry(run)
	require.NoError(t, err)
	require.EqualValues(t, 1, ts)
	require.Equal(t, "line", string(line))
	pg.size--
	_, err = pg.load()
	require.Error(t, err)
}

func FuzzRecords(f *testing.F) {
	b, _ := samplePush(f)
	f.Add(b)
	f.Add(samplePage(f))
	s := seqSet{first: seqSpan{1, 5}, more: []seqSpan{{9, 9}}}
	d := definition{id: 1, tenant: "t", labels: labels.FromStrings("a", "b")}
	f.Add(s.appendTo(d.appendTo(nil)))
	f.Fuzz(func(t *testing.T, b []byte) {
		var pairs []model.Pair
		_ = readPush(b, func(definition) {}, func(_ uint64, r run) {
			data := b[r.lo:r.hi]
			builder := chunk.NewBuilder(chunk.Version3)
			scanned := r.scan(data)
			added := appendRun(builder, r.kind, data, &pairs)
			if scanned == nil {
				require.NoError(t, added)
				require.Equal(t, r.entries, builder.Entries())
			}
		})
		_, _, _, _ = readPart(b)
		_ = readMarks(b, func(_ uint64, s seqSet) { require.False(t, s.empty() && s.last() != 0) })
		size, skip, err := readPage(b, func(_ definition, _ seqSet, f fragment) { require.LessOrEqual(t, f.lo, f.hi) })
		if err == nil && size < 1<<20 {
			_, _ = (&page{memory: b[skip:], size: size}).load()
		}
	})
}
