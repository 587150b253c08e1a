package tsdb

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"logstore/integration/lokibuckets"
)

// TestWorkedExample reads the file of which FORMAT.md tells: the bytes stand where the format says, and a lookup returns
// what they say.
func TestWorkedExample(t *testing.T) {
	c := lokibuckets.Open(t, "l37-tsdb-compacted")
	names, err := filepath.Glob(filepath.Join(c.Bucket, "index", "index_20464", "beta-2", "*-compactor-1768082400250-1768179600250-9c237171.tsdb.gz"))
	require.NoError(t, err)
	require.Len(t, names, 1)
	f, err := os.Open(names[0])
	require.NoError(t, err)
	defer f.Close()
	zr, err := gzip.NewReader(f)
	require.NoError(t, err)
	b, err := io.ReadAll(zr)
	require.NoError(t, err)
	require.Len(t, b, 2781)
	for at, want := range map[int]string{
		0x0000: "baaad700 03",
		0x0005: "000000f8 00000025 15" + hex.EncodeToString([]byte("<a href='x'>&amp;</a>")) + "07" + hex.EncodeToString([]byte("Zürich")),
		0x0160: "33 0e1a730a2a82e442 03 0417 0c1b 120e 01 00000012 01 01 00000000 00000001 00 f4f5a2d2f566 00 f4f5a2d2f566 00 00 01 a138c183 60078833",
		0x0634: "0000003c 0000000e 00000011 00000016",
		0x0914: "00000159 00000017 02 00 00 b40c 02 03617070 03617069 f80c",
		0x0a75: "00000014 00000001 0000000000000011 02435c5f2db1f6e7 d96e31b7",
		0x0a91: "0000000000000005 0000000000000105 00000000000004ea 0000000000000898 0000000000000634 0000000000000914" +
			" 0000000000000a75 0000019ba9ec63fa 0000019bafb78b7a 9c237171",
	} {
		text, err := hex.DecodeString(strings.ReplaceAll(want, " ", ""))
		require.NoError(t, err)
		require.True(t, bytes.HasPrefix(b[at:], text), "at %#x", at)
	}
	x, err := Open(b)
	require.NoError(t, err)
	require.NoError(t, x.Check())
	require.Equal(t, 3, x.Version())
	require.EqualValues(t, 0x9c237171, x.Checksum())
	from, through := x.Bounds()
	require.Equal(t, []int64{1768082400250, 1768179600250}, []int64{from, through})
	refs, err := x.postingsAt(x.all)
	require.NoError(t, err)
	require.Len(t, refs, 14)
	require.EqualValues(t, 17, refs[0])

	var s Series
	require.NoError(t, x.NewReader().Series(22, &s))
	lbls, tenant, err := s.Labels()
	require.NoError(t, err)
	require.Empty(t, tenant)
	require.Equal(t, `{app="only-beta", enc="snappy", job="fix"}`, lbls.String())
	require.EqualValues(t, 0x0e1a730a2a82e442, s.Fingerprint)
	var chunks []Chunk
	require.NoError(t, s.Chunks(math.MinInt64, math.MaxInt64, func(c Chunk) error {
		chunks = append(chunks, c)
		return nil
	}))
	require.Equal(t, []Chunk{{From: 0x19bad245d7a, Through: 0x19bad245d7a, Entries: 1, Checksum: 0xa138c183}}, chunks)
}
