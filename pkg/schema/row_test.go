package schema

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"logstore/pkg/model"
)

func period(v Version) PeriodConfig {
	p := DefaultPeriod
	p.Schema = v
	return p
}

// rowsOf returns all rows of a chunk as "hash|range = value", with a bar for each zero byte.
func rowsOf(ps Periods, c ChunkName, lbls labels.Labels) map[string]string {
	out := map[string]string{}
	id := SeriesIDOf(lbls)
	var b RowBuffer
	for _, span := range ps.Spans(c.From, c.Through) {
		ps[span.Period].AppendSeries(&b, c.Tenant, span.Day, id, lbls)
		ps[span.Period].AppendChunk(&b, span, id, c)
	}
	for _, r := range b.Rows {
		out[strings.ReplaceAll(string(r.Key), "\x00", "|")] = string(r.Value)
	}
	return out
}

const rawSID = "DnDpvv+bLRsbnfT7NrYc7qrN0fsRbp6G5NxXraljIO8"

// TestRowsV9 is the worked example of a chunk that Loki 2.9 wrote: its last line is the last nanosecond of a day, so that
// it has rows in two tables.
func TestRowsV9(t *testing.T) {
	lbls := labels.FromStrings("app", "edge", "at", "last-ns", "enc", "none", "job", "fix")
	c, err := ParseChunkKey("acme/39f314664f94044d:19baa5a3fff:19baa5a4000:a2bd1dff")
	require.NoError(t, err)
	rows := rowsOf(Periods{period(9)}, c, lbls)
	require.Len(t, rows, 12)
	require.Equal(t, "-", rows["acme:d20463:logs|"+rawSID+"|||7|"])
	require.Equal(t, "last-ns", rows["acme:d20463:logs:at|xiuD8/gH1z8bUR48z/Q22x0y9MRdLE1T2YmUO4VoUS0|"+rawSID+"||8|"])
	for _, key := range []string{
		"acme:d20463:" + rawSID + "|05265c00||acme/39f314664f94044d:19baa5a3fff:19baa5a4000:a2bd1dff|3|",
		"acme:d20464:" + rawSID + "|00000000||acme/39f314664f94044d:19baa5a3fff:19baa5a4000:a2bd1dff|3|",
	} {
		require.Contains(t, rows, key)
		require.Empty(t, rows[key])
	}
	for _, day := range []string{"20463", "20464"} {
		for _, name := range []string{"app", "at", "enc", "job"} {
			found := 0
			for key, value := range rows {
				if strings.HasPrefix(key, "acme:d"+day+":logs:"+name+"|") {
					found++
					require.Equal(t, lbls.Get(name), value)
				}
			}
			require.Equal(t, 1, found)
		}
	}
}

func TestRowsV12(t *testing.T) {
	lbls := labels.FromStrings("app", "edge", "at", "last-ns", "enc", "flate", "job", "fix")
	c, err := ParseChunkKey("acme/fb2802c894ff950c/19baa5a3fff:19baa5a4000:1098adf6")
	require.NoError(t, err)
	require.Equal(t, Nested, c.Layout)
	const sid = "CmVCYIpmQpLkN4u+JtMnTucPDIGeWGmQ3VBoaMJyOcs"
	for _, v := range []Version{11, 12, 13} {
		rows := rowsOf(Periods{period(v)}, c, lbls)
		require.Len(t, rows, 13) // The label names are one row for both days.
		require.Equal(t, "-", rows["03:acme:d20463:logs|"+sid+"|||7|"])
		require.Equal(t, "flate", rows["03:acme:d20463:logs:enc|RG/UkemgBzwx9uHzlhCXGB/uRsOJ60EjC8MNdWyDCtI|"+sid+"||8|"])
		require.Equal(t, `["app","at","enc","job"]`, rows[sid+"||||9|"])
		require.Equal(t, "-", rows["acme:d20463:"+sid+"|05265c00||acme/fb2802c894ff950c/19baa5a3fff:19baa5a4000:1098adf6|3|"])
	}
	require.Len(t, rowsOf(Periods{period(10)}, c, lbls), 12)
}

// TestRowsOverPeriods checks that bounds are cut to the period for days and ends, while the key stays that of the start.
func TestRowsOverPeriods(t *testing.T) {
	early, late := period(9), period(12)
	late.From = late.From.AddDate(6, 0, 10) // 2026-01-11, day 20464
	ps := Periods{early, late}
	require.NoError(t, ps.Validate())
	lbls := labels.FromStrings("app", "edge", "at", "last-ns", "enc", "none", "job", "fix")
	from := int64(20463*MillisPerDay + 5)
	c := ChunkName{ChunkRef: model.ChunkRef{Tenant: "acme", Fingerprint: 1, From: from, Through: from + MillisPerDay, Checksum: 2}}
	c.Layout = ps.LayoutOf(c.From)
	require.Equal(t, Flat, c.Layout)
	rows := rowsOf(ps, c, lbls)
	key := c.Key()
	require.Contains(t, rows, "acme:d20463:"+rawSID+"|05265bff||"+key+"|3|")
	require.Contains(t, rows, "acme:d20464:"+rawSID+"|00000005||"+key+"|3|")
	require.Equal(t, "-", rows["acme:d20464:"+rawSID+"|00000005||"+key+"|3|"])
	require.Equal(t, "-", rows["00:acme:d20464:logs|"+rawSID+"|||7|"])
	require.NotContains(t, rows, "acme:d20464:logs|"+rawSID+"|||7|")
}

func TestSeriesID(t *testing.T) {
	f := func(want string, pairs ...string) {
		t.Helper()
		require.Equal(t, want, SeriesIDOf(labels.FromStrings(pairs...)).String())
	}
	f(rawSID, "app", "edge", "at", "last-ns", "enc", "none", "job", "fix")
	f(rawSID, "__name__", "logs", "app", "edge", "at", "last-ns", "enc", "none", "job", "fix")
	f("mPOPEtsiGoz4ynqt/c11mwHVLrTrs+7bstl+koBcaWA")

	require.Equal(t, `logs{a="x\x7fy", b="a\u00a0b", c="Zürich 🚀", d="\"\\\n"}`, string(appendMetric(nil, labels.FromStrings(
		"a", "x\x7fy", "b", "a\u00a0b", "c", "Zürich 🚀", "d", "\"\\\n"))))
	id, ok := ParseSeriesID([]byte("CmVCYIpmQpLkN4u+JtMnTucPDIGeWGmQ3VBoaMJyOcs"))
	require.True(t, ok)
	require.Equal(t, uint32(3), id.Shard(16))
	require.Equal(t, uint32(0x436d5643%7), id.Shard(7))
	_, ok = ParseSeriesID([]byte("short"))
	require.False(t, ok)
}

func TestFingerprint(t *testing.T) {
	lbls := labels.FromStrings("app", "edge", "at", "last-ns", "enc", "none", "job", "fix")
	require.Equal(t, uint64(0x39f314664f94044d), Fingerprint(lbls))
}

func TestParseRow(t *testing.T) {
	for v := MinVersion; v <= MaxVersion; v++ {
		p := period(v)
		lbls := labels.FromStrings("app", "a:b/c", "host", "7")
		id := SeriesIDOf(lbls)
		c := ChunkName{ChunkRef: model.ChunkRef{Tenant: "12", Fingerprint: 9, From: 86400000, Through: 86400001, Checksum: 3}, Layout: v.Layout()}
		var b RowBuffer
		p.AppendSeries(&b, c.Tenant, 1, id, lbls)
		p.AppendChunk(&b, (Periods{p}).Spans(c.From, c.Through)[0], id, c)
		kinds := ""
		for _, r := range b.Rows {
			got, err := p.ParseRow(r.Key, r.Value)
			require.NoError(t, err)
			require.Equal(t, id, got.Series)
			kinds += string(got.Kind)
			if got.Kind != KindLabelNames {
				require.Equal(t, "12", string(got.Tenant))
				require.Equal(t, int64(1), got.Day)
			}
			switch got.Kind {
			case KindLabel:
				require.Equal(t, lbls.Get(string(got.Label)), string(got.Value))
			case KindChunk:
				require.Equal(t, c.Key(), string(got.Chunk))
				require.Equal(t, uint32(1), got.End)
				rng := r.Key[bytes.IndexByte(r.Key, 0)+1:]
				key, ok := ChunkKeyOfRange(rng)
				require.True(t, ok)
				require.Equal(t, c.Key(), string(key))
			}
		}
		want := "7883"
		if v.HasLabelNames() {
			want = "78893"
		}
		require.Equal(t, want, kinds)
	}
}

// TestPrefixes checks that lookups begin where the rows are.
func TestPrefixes(t *testing.T) {
	for _, v := range []Version{9, 12} {
		p := period(v)
		lbls := labels.FromStrings("app", "edge")
		id := SeriesIDOf(lbls)
		var b RowBuffer
		p.AppendSeries(&b, "acme", 5, id, lbls)
		matched := 0
		for _, prefix := range p.SeriesPrefixes("acme", 5) {
			for _, r := range b.Rows {
				if bytes.HasPrefix(r.Key, prefix) {
					matched++
				}
			}
		}
		require.Equal(t, 2, matched)
		for through, from := range map[int64][2]int64{ // a chunk's end: a start that finds it and one that does not
			5*MillisPerDay + 10: {5*MillisPerDay + 10, 5*MillisPerDay + 11},
		} {
			c := ChunkName{ChunkRef: model.ChunkRef{Tenant: "acme", From: 5 * MillisPerDay, Through: through}}
			b.Reset()
			p.AppendChunk(&b, (Periods{p}).Spans(c.From, c.Through)[0], id, c)
			seek := AppendChunkSeek(AppendChunkPrefix(nil, "acme", 5, id), 5, from[0])
			require.LessOrEqual(t, bytes.Compare(seek, b.Rows[0].Key), 0)
			seek = AppendChunkSeek(AppendChunkPrefix(nil, "acme", 5, id), 5, from[1])
			require.Positive(t, bytes.Compare(seek, b.Rows[0].Key))
		}
	}
}

// TestRowBufferKeepsRows checks that rows stay as they are while others are appended, over many arenas.
func TestRowBufferKeepsRows(t *testing.T) {
	p := period(13)
	var b RowBuffer
	var want []string
	long := strings.Repeat("x", arenaSize)
	for i := range 3000 {
		value := strings.Repeat("v", i%200+1)
		if i == 1500 {
			value = long
		}
		lbls := labels.FromStrings("a", value, "b<>", "z")
		p.AppendSeries(&b, "t", 1, SeriesIDOf(lbls), lbls)
		for _, r := range b.Rows[len(want):] {
			want = append(want, string(r.Key)+"="+string(r.Value))
		}
	}
	for i, r := range b.Rows {
		require.Equal(t, want[i], string(r.Key)+"="+string(r.Value))
	}
}

func FuzzParseRow(f *testing.F) {
	p9, p13 := period(9), period(13)
	c, _ := ParseChunkKey("acme/39f314664f94044d:19baa5a3fff:19baa5a4000:a2bd1dff")
	for _, p := range []PeriodConfig{p9, p13} {
		var b RowBuffer
		lbls := labels.FromStrings("app", "edge")
		p.AppendSeries(&b, "acme", 20463, SeriesIDOf(lbls), lbls)
		p.AppendChunk(&b, (Periods{p}).Spans(c.From, c.Through)[0], SeriesIDOf(lbls), c)
		for _, r := range b.Rows {
			f.Add(r.Key, r.Value)
		}
	}
	f.Fuzz(func(t *testing.T, key, value []byte) {
		for _, p := range []PeriodConfig{p9, p13} {
			row, err := p.ParseRow(key, value)
			if err != nil {
				require.ErrorIs(t, err, ErrRow)
				continue
			}
			require.Contains(t, []Kind{KindChunk, KindSeries, KindLabel, KindLabelNames}, row.Kind)
		}
		if i := bytes.IndexByte(key, 0); i >= 0 {
			if chunk, ok := ChunkKeyOfRange(key[i+1:]); ok {
				_, _ = ParseChunkKey(string(chunk))
				sameParsed(t, chunk, "acme")
			}
		}
		sameParsed(t, key, "acme")
		if c, err := ParseChunkKey(string(key)); err == nil {
			sameParsed(t, key, c.Tenant)
			require.Equal(t, string(key), c.Key())
			path := ChunkPath(c.ChunkRef, c.Layout)
			back, err := ParseChunkPath(path)
			require.NoError(t, err, "%q", base64.StdEncoding.EncodeToString(key))
			require.Equal(t, c, back)
		}
	})
}

func BenchmarkAppendSeries(b *testing.B) {
	p := period(13)
	lbls := labels.FromStrings("app", "app-1", "cluster", "prod", "container", "main", "level", "info", "namespace", "ns-1",
		"pod", "app-1-6f7c9d-x2x4z", "region", "eu-west-1", "stream", "stderr")
	var buf RowBuffer
	b.ReportAllocs()
	for b.Loop() {
		buf.Reset()
		p.AppendSeries(&buf, "fake", 20464, SeriesIDOf(lbls), lbls)
	}
}
