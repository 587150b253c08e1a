package chunk

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"logstore/pkg/compress"
	"logstore/pkg/model"
)

var update = flag.Bool("update", false, "write testdata/chunks.golden anew")

// golden is a chunk object that Loki wrote (version 1 and 2: one that Loki read).
type golden struct {
	name string
	ref  model.ChunkRef
	data []byte
}

// goldens reads testdata/chunks. A file's name is <version>-<encoding>-<stream>,<tenant>,<fingerprint>,<from>,<through>,<sum>.
func goldens(t testing.TB) []golden {
	files, err := filepath.Glob("testdata/chunks/*.chunk")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	all := make([]golden, 0, len(files))
	for _, file := range files {
		parts := strings.Split(strings.TrimSuffix(filepath.Base(file), ".chunk"), ",")
		require.Len(t, parts, 6)
		number := func(s string) uint64 {
			n, err := strconv.ParseUint(s, 16, 64)
			require.NoError(t, err)
			return n
		}
		g := golden{name: parts[0], ref: model.ChunkRef{
			Tenant: parts[1], Fingerprint: number(parts[2]), From: int64(number(parts[3])), Through: int64(number(parts[4])), Checksum: uint32(number(parts[5])),
		}}
		g.data, err = os.ReadFile(file)
		require.NoError(t, err)
		all = append(all, g)
	}
	return all
}

func goldenNamed(t testing.TB, name string) golden {
	for _, g := range goldens(t) {
		if g.name == name {
			return g
		}
	}
	t.Fatalf("no golden chunk %s", name)
	return golden{}
}

// dump writes all entries of a chunk as text, block after block.
func dump(c *Chunk) (string, error) {
	var out strings.Builder
	b := GetBatch()
	defer PutBatch(b)
	for i := range c.Blocks {
		if err := b.Load(&c.Blocks[i]); err != nil {
			return "", err
		}
		if err := b.Walk(); err != nil {
			return "", err
		}
		for k := range b.Len() {
			fmt.Fprintf(&out, "%d %q %q\n", b.Ts[k], b.Line(k), b.Metadata(k, nil))
		}
	}
	return out.String(), nil
}

// TestGolden compares labels, shape and content of every chunk with what was recorded; the record was compared with the answers
// of Loki itself.
func TestGolden(t *testing.T) {
	var got strings.Builder
	contents := map[string]string{}
	for _, g := range goldens(t) {
		c, err := OpenRef(g.data, g.ref)
		require.NoError(t, err, g.name)
		parts := strings.SplitN(g.name, "-", 2)
		require.Equal(t, parts[0], fmt.Sprintf("v%d", c.Version))
		require.True(t, strings.HasPrefix(parts[1], c.Encoding.String()+"-"), g.name)
		text, err := dump(c)
		require.NoError(t, err, g.name)
		sum := sha256.Sum256([]byte(text))
		fmt.Fprintf(&got, "%s %s blocks=%d entries=%d bytes=%d %s\n", g.name, c.Labels, len(c.Blocks), c.Entries(), c.Bytes(), hex.EncodeToString(sum[:8]))
		if stream := parts[1][len(c.Encoding.String())+1:]; stream == "api" && c.Version < Version4 || stream == "edge" && g.ref.From != g.ref.Through && c.Version != Version2 {
			// The same lines went into these streams, whatever the encoding.
			text = strings.ReplaceAll(text, `[{"attempt" "0"}]`, "[]")
			require.Equal(t, contents[stream] == "" || contents[stream] == text, true, g.name)
			contents[stream] = text
		}
		h, err := OpenHeader(g.data)
		require.NoError(t, err)
		require.Equal(t, *c.header(), h)
		short, err := OpenHeader(g.data[:len(g.data)/2])
		if err == nil {
			require.Equal(t, h, short)
		}
	}
	const file = "testdata/chunks.golden"
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(got.String()), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), got.String())
}

// TestGoldenAgain marshals what was opened: sealed blocks are copied, so that the object comes out as Loki wrote it.
func TestGoldenAgain(t *testing.T) {
	same := 0
	for _, g := range goldens(t) {
		c, err := Open(g.data)
		require.NoError(t, err)
		out, ref, err := Marshal(c, Options{Encoding: c.Encoding, BlockSize: 4096})
		if len(c.Blocks) == 0 {
			require.ErrorIs(t, err, ErrEmpty)
			continue
		}
		require.NoError(t, err, g.name)
		again, err := OpenRef(out, ref)
		require.NoError(t, err, g.name)
		if c.Version >= Version3 {
			require.Equal(t, c.Version, again.Version)
		}
		before, err := dump(c)
		require.NoError(t, err)
		after, err := dump(again)
		require.NoError(t, err)
		require.Equal(t, before, after, g.name)
		if bytes.Equal(out, g.data) {
			require.Equal(t, g.ref, ref)
			same++
		} else {
			// Version 1 and 2 become 3; a symbol table or a header of many labels is compressed by another snappy or zstd.
			require.True(t, c.Version != Version3 || strings.HasSuffix(g.name, "-many"), g.name)
		}
	}
	require.GreaterOrEqual(t, same, 20)
}

// TestGoldenFromEntries writes a chunk of three blocks from its entries and gets Loki's bytes.
func TestGoldenFromEntries(t *testing.T) {
	g := goldenNamed(t, "v3-none-api")
	c, err := Open(g.data)
	require.NoError(t, err)
	b := NewBuilder(Version3)
	for it := Iterate(c); it.Next(); {
		require.NoError(t, b.Append(it.Timestamp(), it.Line(), nil))
		if b.HeadSize() >= 4096 {
			b.Cut()
		}
	}
	mine := b.Chunk()
	mine.Tenant, mine.Fingerprint, mine.Labels = c.Tenant, c.Fingerprint, c.Labels
	out, ref, err := Marshal(mine, Options{Encoding: compress.None, BlockSize: 4096})
	require.NoError(t, err)
	require.Equal(t, g.ref, ref)
	require.Equal(t, g.data, out)
}

// TestWorkedExampleV3 is the first example of FORMAT.md, byte for byte in both directions.
func TestWorkedExampleV3(t *testing.T) {
	object := unhex(t, `000000d6 ff060000734e61507059 01 c40000 17408968`) +
		`{"fingerprint":4175703709156901965,"userID":"acme","from":1768089599.999,"through":1768089600,"metric":` +
		`{"__name__":"logs","app":"edge","at":"last-ns","enc":"none","job":"fix"},"encoding":129}` + "\n" +
		unhex(t, `00000052 012ee56a 03 00 feffffb0f387c28931 1b`) + "last nanosecond of the 10th" +
		unhex(t, `97a24915 01 01 feffffb0f387c28931 feffffb0f387c28931 06 1b 25 b5625418 000000000000002f`)
	ref := model.ChunkRef{Tenant: "acme", Fingerprint: 0x39f314664f94044d, From: 0x19baa5a3fff, Through: 0x19baa5a4000, Checksum: 0xa2bd1dff}
	set := labels.FromStrings("app", "edge", "at", "last-ns", "enc", "none", "job", "fix")

	c, err := OpenRef([]byte(object), ref)
	require.NoError(t, err)
	require.Equal(t, set, c.Labels)
	text, err := dump(c)
	require.NoError(t, err)
	require.Equal(t, `1768089599999999999 "last nanosecond of the 10th" []`+"\n", text)

	b := NewBuilder(Version3)
	require.NoError(t, b.Append(1768089599999999999, []byte("last nanosecond of the 10th"), nil))
	c = b.Chunk()
	c.Tenant, c.Fingerprint, c.Labels = ref.Tenant, ref.Fingerprint, set
	out, got, err := Marshal(c, Options{Encoding: compress.None})
	require.NoError(t, err)
	require.Equal(t, ref, got)
	require.Equal(t, object, string(out))
}

// TestWorkedExampleV4 is the second one: its compressed parts are compared after decompression.
func TestWorkedExampleV4(t *testing.T) {
	symbols := "\x07attempt\x010\x08trace_id\x104a967a3175ddc48f\x011\x0asame-trace\x012"
	block := unhex(t, "80c2fcc1c2b5ae8931 09") + "pod 3 k=0" + unhex(t, "05 02 00 01 02 03") +
		unhex(t, "80a2b7c681b9ae8931 09") + "pod 3 k=1" + unhex(t, "05 02 00 04 02 05") +
		unhex(t, "8082f2cac0bcae8931 09") + "pod 3 k=2" + unhex(t, "05 02 00 06 02 05")
	check := func(data []byte, ref model.ChunkRef) *Chunk {
		t.Helper()
		c, err := OpenRef(data, ref)
		require.NoError(t, err)
		require.Len(t, c.Blocks, 1)
		blk := c.Blocks[0]
		require.Equal(t, 0x4b, blk.Size)
		raw, err := compress.Snappy.AppendDecompress(nil, blk.Symbols.section[1:], 0, 1000)
		require.NoError(t, err)
		require.Equal(t, byte(7), blk.Symbols.section[0])
		require.Equal(t, symbols, string(raw))
		require.Equal(t, 7, blk.Symbols.Len())
		var b Batch
		require.NoError(t, b.Load(&blk))
		require.Equal(t, block, string(b.Buf))
		text, err := dump(c)
		require.NoError(t, err)
		require.Equal(t, `1768046403250000000 "pod 3 k=0" [{"attempt" "0"} {"trace_id" "4a967a3175ddc48f"}]`, strings.Split(text, "\n")[0])
		return c
	}
	g := goldenNamed(t, "v4-snappy-worked")
	c := check(g.data, g.ref)

	b := NewBuilder(Version3)
	for i, trace := range []string{"4a967a3175ddc48f", "same-trace", "same-trace"} {
		// Pushed in another order: it is stored sorted by name.
		meta := []model.Pair{{Name: "trace_id", Value: trace}, {Name: "attempt", Value: strconv.Itoa(i)}}
		require.NoError(t, b.Append(1768046403250000000+int64(i)*60e9, fmt.Appendf(nil, "pod 3 k=%d", i), meta))
	}
	mine := b.Chunk()
	mine.Tenant, mine.Fingerprint, mine.Labels = c.Tenant, c.Fingerprint, c.Labels
	out, ref, err := Marshal(mine, Options{Encoding: compress.Snappy})
	require.NoError(t, err)
	require.Equal(t, g.ref.From, ref.From)
	require.Equal(t, g.ref.Through, ref.Through)
	check(out, ref)
}

func unhex(t *testing.T, s string) string {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	require.NoError(t, err)
	return string(b)
}
