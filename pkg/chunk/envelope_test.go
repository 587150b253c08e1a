package chunk

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"logstore/pkg/compress"
	"logstore/pkg/model"
)

const usualHeader = `{"fingerprint":7840255910950188686,"userID":"acme","from":1768089599.999,"through":1768089600,"metric":{"__name__":"logs","app":"edge","b":"c"},"encoding":129}` + "\n"

func TestParseHeader(t *testing.T) {
	want := Header{Tenant: "acme", Fingerprint: 7840255910950188686, From: 1768089599999, Through: 1768089600000, Labels: labels.FromStrings("app", "edge", "b", "c")}
	good := func(text string, usual bool) {
		t.Helper()
		h, err := parseHeader([]byte(text))
		require.NoError(t, err)
		require.Equal(t, want, h)
		_, ok := parseUsualHeader([]byte(text))
		require.Equal(t, usual, ok)
	}
	good(usualHeader, true)
	good(strings.Replace(usualHeader, "129", "128", 1), true)
	// Old writers: spaces, unsorted labels, another order of keys, no line feed, an exponent, keys that nobody knows.
	good(strings.ReplaceAll(usualHeader, ":", ": "), false)
	good(strings.Replace(usualHeader, `"app":"edge","b":"c"`, `"b":"c","app":"edge"`, 1), false)
	good(`{"encoding":129,"userID":"acme","metric":{"b":"c","app":"ed\u0067e","__name__":"logs"},"fingerprint":7840255910950188686,"through":1.7680896e9,"from":1768089599.999,"more":{"x":[1]}}`, false)
	good(strings.Replace(usualHeader, "1768089599.999", "1768089599.9990001", 1), false)

	bad := func(text, what string) {
		t.Helper()
		_, err := parseHeader([]byte(text))
		require.ErrorIs(t, err, ErrCorrupt)
		require.ErrorContains(t, err, what)
	}
	bad("", "end of JSON")
	bad("{}", "encoding 0")
	bad(strings.Replace(usualHeader, "129", "4", 1), "encoding 4")
	bad(strings.Replace(usualHeader, "1768089600", "1e400", 1), "1e400")
	bad(strings.Replace(usualHeader, "7840255910950188686", "99999999999999999999", 1), "99999999999999999999")
	bad(usualHeader[:80], "unexpected end")
	bad(usualHeader+"x", "invalid character")
}

func TestHeaderRoundTrip(t *testing.T) {
	f := func(from, through int64, pairs ...string) {
		t.Helper()
		want := Header{Tenant: "t-1", Fingerprint: 1<<64 - 1, From: from, Through: through, Labels: labels.FromStrings(pairs...)}
		data, err := appendEnvelope(nil, &want)
		require.NoError(t, err)
		h, err := OpenHeader(data)
		require.NoError(t, err)
		require.Equal(t, want, h)
		require.Equal(t, len(data), int(binary.BigEndian.Uint32(data)))
	}
	f(0, 0)
	f(1, 999, "a", "b")
	f(-1, 1001, "a", "b")
	f(-1001, -1000, "A", "1", "a", "2", "zz", "3")
	f(1768089599050, 1768089599005, "nl", "two\nlines", "q", `"\`, "ctl", "\x00\x1f\x7f\t\r", "uni", "é\u2028🚀", "html", "<&>")
}

// TestHeaderLength takes a length that does not count itself, as some writers had it.
func TestHeaderLength(t *testing.T) {
	g := goldenNamed(t, "v3-none-edge")
	data := append([]byte(nil), g.data...)
	binary.BigEndian.PutUint32(data, binary.BigEndian.Uint32(data)-4)
	c, err := Open(data)
	require.NoError(t, err)
	require.Equal(t, 1, c.Entries())
	binary.BigEndian.PutUint32(data, binary.BigEndian.Uint32(data)-1)
	_, err = Open(data)
	require.ErrorIs(t, err, ErrCorrupt)
}

// TestOpenRef refuses a chunk that is not the key's.
func TestOpenRef(t *testing.T) {
	g := goldenNamed(t, "v4-snappy-worked")
	f := func(change func(*model.ChunkRef), want error) {
		t.Helper()
		ref := g.ref
		change(&ref)
		_, err := OpenRef(g.data, ref)
		require.ErrorIs(t, err, want)
	}
	f(func(r *model.ChunkRef) { r.Checksum++ }, ErrChecksum)
	f(func(r *model.ChunkRef) { r.Checksum++ }, ErrCorrupt)
	f(func(r *model.ChunkRef) { r.Tenant = "beta" }, ErrForeign)
	f(func(r *model.ChunkRef) { r.Fingerprint-- }, ErrForeign)
	f(func(r *model.ChunkRef) { r.From-- }, ErrForeign)
	f(func(r *model.ChunkRef) { r.Through++ }, ErrForeign)
}

// tinyObject is a chunk of two blocks in no compression, with the offsets of its parts.
func tinyObject(t testing.TB) (data []byte, payload int) {
	b := build(t, entry(10, "first"), entry(20, "second"))
	b.Cut()
	require.NoError(t, b.Append(30, []byte("third"), nil))
	data, _, err := Marshal(b.Chunk(), Options{BlockSize: 8})
	require.NoError(t, err)
	return data, int(binary.BigEndian.Uint32(data)) + 4
}

// TestBadBlock damages the second block: the first one is still read, the second is an error that says where.
func TestBadBlock(t *testing.T) {
	data, payload := tinyObject(t)
	c, err := Open(data)
	require.NoError(t, err)
	require.Len(t, c.Blocks, 2)
	at := strings.Index(string(data), "third")
	data[at] ^= 1
	var b Batch
	require.NoError(t, b.Load(&c.Blocks[0]))
	require.NoError(t, b.Walk())
	require.Equal(t, "second", string(b.Line(1)))
	err = b.Load(&c.Blocks[1])
	require.ErrorIs(t, err, ErrChecksum)
	require.ErrorContains(t, err, fmt.Sprintf("offset %d", at-payload-2))
	require.Empty(t, b.Buf)
	it := Iterate(c)
	n := 0
	for it.Next() {
		n++
	}
	require.Equal(t, 2, n)
	require.ErrorIs(t, it.Err(), ErrChecksum)
	_, err = Merge(MergeOptions{}, c)
	require.ErrorIs(t, err, ErrChecksum)
}

// TestBlockAtAnotherPlace has a table of blocks that gives a wrong offset for the second one, which really stands behind the first.
func TestBlockAtAnotherPlace(t *testing.T) {
	data, payload := tinyObject(t)
	c, err := Open(data)
	require.NoError(t, err)
	metas := int(binary.BigEndian.Uint64(data[len(data)-8:]))
	table := data[payload+metas : len(data)-12]
	at := strings.LastIndex(string(table), string([]byte{byte(c.Blocks[1].offset)}))
	table[at]--
	binary.BigEndian.PutUint32(data[len(data)-12:], Sum(table))
	c, err = Open(data)
	require.NoError(t, err)
	require.Equal(t, []model.Entry{entry(10, "first"), entry(20, "second"), entry(30, "third")}, collect(t, c))
}

// TestBadTables changes numbers of the tables and makes their checksums right again: nothing is believed that the data cannot hold.
func TestBadTables(t *testing.T) {
	f := func(what string, table func() []byte) {
		t.Helper()
		p := []byte{0x01, 0x2e, 0xe5, 0x6a, 3, 0}
		p = append(p, "0123456789"...)
		at := len(p)
		m := table()
		p = appendSum(append(p, m...), m)
		p = binary.BigEndian.AppendUint64(p, uint64(at))
		_, _, err := readPayload(p)
		require.ErrorIs(t, err, ErrCorrupt)
		require.ErrorContains(t, err, what)
	}
	row := func(numbers ...uint64) []byte {
		var m []byte
		for _, n := range numbers {
			m = binary.AppendUvarint(m, n)
		}
		return m
	}
	f("bad row", func() []byte { return row(1, 1, 2, 3, 6, 1) })
	f("table of 9223372036854775808 blocks", func() []byte { return row(1<<63, 1, 1, 1, 1, 1) })
	f("table of 2 blocks", func() []byte { return row(2, 1, 1, 1, 6) })
	f("behind the table", func() []byte { return row(1, 1, 2, 3, 6, 1, 1, 9) })
	f("block 0", func() []byte { return row(1, 1, 2, 3, 1<<63, 1, 1<<63) })
	f("block 0", func() []byte { return row(1, 1, 2, 3, 6, 1, 1000) })
	f("block 0", func() []byte { return row(1, 1<<40, 2, 3, 6, 1, 1) })
	f("block 0", func() []byte { return row(1, 1, 2, 3, 6, 1<<40, 1) })
}

func TestBadSymbols(t *testing.T) {
	f := func(what string, count uint64, table string) {
		t.Helper()
		for _, enc := range []compress.Encoding{compress.None, compress.Zstd} {
			section, err := enc.AppendCompress(binary.AppendUvarint(nil, count), []byte(table))
			require.NoError(t, err)
			_, err = readSymbols(section, Sum(section), enc)
			require.ErrorIs(t, err, ErrCorrupt)
			require.ErrorContains(t, err, what)
			_, err = readSymbols(section, Sum(section)+1, enc)
			require.ErrorIs(t, err, ErrChecksum)
		}
	}
	f("symbols in", 1<<40, "\x01a")
	f("length of symbol 1", 2, "\x01a")
	f("length of symbol 0", 1, "\x05a")
	f("behind the last", 1, "\x01a\x01b")
}
