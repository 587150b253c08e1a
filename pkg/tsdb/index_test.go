package tsdb

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"logstore/pkg/schema"
)

// found is what a lookup returns of a series, in a form that can be compared.
type found struct {
	Labels, Tenant string
	Fingerprint    uint64
	Chunks         []Chunk
}

func lookUp(tb testing.TB, x *Index, q Query, from, through int64) []found {
	tb.Helper()
	refs, err := x.Select(q)
	require.NoError(tb, err)
	r := x.NewReader()
	var out []found
	for _, ref := range refs {
		var s Series
		require.NoError(tb, r.Series(ref, &s))
		lbls, tenant, err := s.Labels()
		require.NoError(tb, err)
		f := found{Labels: lbls.String(), Tenant: tenant, Fingerprint: s.Fingerprint}
		require.NoError(tb, s.Chunks(from, through, func(c Chunk) error {
			f.Chunks = append(f.Chunks, c)
			return nil
		}))
		out = append(out, f)
	}
	return out
}

// randomSeries makes up to 60 series of a few labels, the first of which some lack.
func randomSeries(rng *rand.Rand, tenants int) []written {
	var out []written
	seen := map[string]bool{}
	for range 1 + rng.IntN(60) {
		b := labels.NewBuilder(labels.FromStrings("job", fmt.Sprint("j", rng.IntN(3)), "pod", fmt.Sprint("p", rng.IntN(20))))
		if rng.IntN(2) == 0 {
			b.Set("app", fmt.Sprint("a", rng.IntN(4)))
		}
		s := written{labels: b.Labels()}
		if tenants > 0 {
			s.tenant = fmt.Sprint("t", rng.IntN(tenants))
		}
		if key := s.tenant + s.labels.String(); seen[key] {
			continue
		} else {
			seen[key] = true
		}
		for range 1 + rng.IntN(40) {
			from := int64(1768003200000) + rng.Int64N(86400000)
			s.chunks = append(s.chunks, Chunk{
				From: from, Through: from + rng.Int64N(7200000), KB: rng.Uint64N(3000), Entries: rng.Uint64N(1e6), Checksum: rng.Uint32(),
			})
		}
		slices.SortFunc(s.chunks, func(a, b Chunk) int {
			return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.Through, b.Through), cmp.Compare(a.Checksum, b.Checksum))
		})
		out = append(out, s)
	}
	return out
}

// naive answers a query by asking every series.
func naive(series []written, q Query, from, through int64) []found {
	var out []found
	for _, s := range series {
		ok := q.Tenant == "" || q.Tenant == s.tenant
		for _, m := range q.Matchers {
			ok = ok && m.Matches(s.labels.Get(m.Name))
		}
		if !ok {
			continue
		}
		f := found{Labels: s.labels.String(), Tenant: s.tenant, Fingerprint: schema.Fingerprint(s.labels)}
		for _, c := range s.chunks {
			if c.Through >= from && c.From <= through {
				f.Chunks = append(f.Chunks, c)
			}
		}
		out = append(out, f)
	}
	return out
}

// TestAgainstModel asks random files random questions.
func TestAgainstModel(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	for range 200 {
		tenants := rng.IntN(3)
		series := randomSeries(rng, tenants)
		x, err := Open(build(byte(2+rng.IntN(2)), series))
		require.NoError(t, err)
		require.NoError(t, x.Check())
		for range 10 {
			q := Query{}
			if tenants > 0 {
				q.Tenant = fmt.Sprint("t", rng.IntN(tenants+1))
			}
			for range rng.IntN(4) {
				name := []string{"job", "pod", "app", "none"}[rng.IntN(4)]
				value := []string{"", "j1", "p1", "a1", "j1|j2", "p1.*", ".*", "a1|", ".+", "p3|p4|p77"}[rng.IntN(10)]
				q.Matchers = append(q.Matchers, labels.MustNewMatcher(labels.MatchType(rng.IntN(4)), name, value))
			}
			from := int64(1768003200000) + rng.Int64N(86400000)
			through := from + rng.Int64N(7200000)
			want, got := naive(series, q, from, through), lookUp(t, x, q, from, through)
			order := func(a, b found) int { return cmp.Or(cmp.Compare(a.Labels, b.Labels), cmp.Compare(a.Tenant, b.Tenant)) }
			slices.SortFunc(want, order)
			slices.SortFunc(got, order)
			require.Equal(t, want, got, "%v", q)
		}
	}
}

func TestLabels(t *testing.T) {
	x, err := Open(build(3, []written{
		{tenant: "t", labels: labels.FromStrings("b", "2", "a", "1"), chunks: []Chunk{{From: 5, Through: 9}}},
		{tenant: "u", labels: labels.FromStrings("b", "3"), chunks: []Chunk{{From: -7, Through: 2}}},
	}))
	require.NoError(t, err)
	var names, values []string
	x.LabelNames(func(name string) { names = append(names, name) })
	x.LabelValues("b", func(value []byte) { values = append(values, string(value)) })
	x.LabelValues("c", func(value []byte) { values = append(values, string(value)) })
	require.Equal(t, []string{"a", "b"}, names)
	require.Equal(t, []string{"2", "3"}, values)
	from, through := x.Bounds()
	require.Equal(t, []int64{-7, 9}, []int64{from, through})
	require.Len(t, lookUp(t, x, Query{Tenant: "u"}, math.MinInt64, math.MaxInt64)[0].Chunks, 1)
	require.Empty(t, lookUp(t, x, Query{Tenant: "v"}, math.MinInt64, math.MaxInt64))
}

func TestEmptyFile(t *testing.T) {
	for version := byte(minVersion); version <= maxVersion; version++ {
		x, err := Open(build(version, nil))
		require.NoError(t, err)
		require.NoError(t, x.Check())
		require.Empty(t, lookUp(t, x, Query{}, math.MinInt64, math.MaxInt64))
		x, err = Open(build(version, []written{{labels: labels.FromStrings("a", "b")}}))
		require.NoError(t, err)
		require.NoError(t, x.Check())
		require.Len(t, lookUp(t, x, Query{}, math.MinInt64, math.MaxInt64), 1, "a series without chunks")
	}
}

// TestDamage flips each byte of a file: whatever a lookup or Check reads of it is an error, never another answer.
func TestDamage(t *testing.T) {
	series := []written{
		{labels: labels.FromStrings("app", "x", "job", "y"), chunks: []Chunk{{From: 1, Through: 2, KB: 3, Entries: 4, Checksum: 5}}},
		{labels: labels.FromStrings("app", "z"), chunks: []Chunk{{From: 1, Through: 2, Checksum: 6}, {From: 2, Through: 8, Checksum: 7}}},
	}
	for version := byte(minVersion); version <= maxVersion; version++ {
		good := build(version, series)
		x, err := Open(good)
		require.NoError(t, err)
		want := lookUp(t, x, Query{}, 0, 10)
		silent := 0
		for i := range good {
			bad := slices.Clone(good)
			bad[i] ^= 0x40
			x, err := Open(bad)
			if err == nil {
				err = x.Check()
			}
			if err == nil {
				// Padding and what is not needed for reading may be anything.
				silent++
				require.Equal(t, want, lookUp(t, x, Query{}, 0, 10), "byte %d", i)
				continue
			}
			require.ErrorIs(t, err, ErrCorrupt, "byte %d", i)
		}
		require.Less(t, silent, 80)
		for n := range good {
			_, err := Open(good[:n])
			require.ErrorIs(t, err, ErrCorrupt, "%d bytes", n)
		}
	}
}

// FuzzOpen gives arbitrary bytes, with good checksums where a mutation broke them, to everything that reads a file.
func FuzzOpen(f *testing.F) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 4 {
		f.Add(build(2, randomSeries(rng, 0)))
		f.Add(build(3, randomSeries(rng, 2)))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<20 {
			return
		}
		mend(b)
		x, err := Open(b)
		if err != nil {
			require.True(t, errors.Is(err, ErrCorrupt), err)
			return
		}
		if err := x.Check(); err != nil {
			require.True(t, errors.Is(err, ErrCorrupt), err)
		}
		m := labels.MustNewMatcher(labels.MatchNotEqual, "app", "a1")
		_, _ = x.Select(Query{Tenant: "t1", Matchers: []*labels.Matcher{m}})
		x.LabelNames(func(name string) { x.LabelValues(name, func([]byte) {}) })
	})
}

// mend sets the checksums of the table of contents and of the sections that it names, so that a mutation gets behind them.
func mend(b []byte) {
	if len(b) < headerSize+tocSize {
		return
	}
	at := len(b) - tocSize
	set := func(start, end uint64) {
		if start <= end && end+4 <= uint64(len(b)) {
			binary.BigEndian.PutUint32(b[end:], crc32.Checksum(b[start:end], castagnoli))
		}
	}
	for i := range 7 {
		offset := binary.BigEndian.Uint64(b[at+8*i:])
		if offset < uint64(at) && offset+4 <= uint64(at) && i != 1 {
			set(offset+4, offset+4+uint64(binary.BigEndian.Uint32(b[offset:])))
		}
	}
	set(uint64(at), uint64(len(b)-4))
}
