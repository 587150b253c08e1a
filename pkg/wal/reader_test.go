package wal

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// sample writes three segments of four records each and returns them with the bytes of the files.
func sample(t testing.TB) (dir string, want []string) {
	t.Helper()
	dir = t.TempDir()
	l := open(t, dir, OS)
	for i := range 12 {
		p := fmt.Sprintf("record %02d %s", i, bytes.Repeat([]byte{byte('a' + i)}, 20+i))
		if i > 0 && i%4 == 0 {
			l.Cut()
		}
		add(t, l, p)
		want = append(want, p)
	}
	require.NoError(t, l.Close())
	return dir, want
}

// TestEveryBitFlip flips each bit of each segment: at most the record that holds it is missing, nothing else appears, and
// the damage is reported with its file and an offset range that covers the bit.
func TestEveryBitFlip(t *testing.T) {
	dir, want := sample(t)
	for seg := uint64(1); seg <= 3; seg++ {
		name := segmentName(dir, seg)
		good, err := os.ReadFile(name)
		require.NoError(t, err)
		for i := range len(good) * 8 {
			bad := bytes.Clone(good)
			bad[i/8] ^= 1 << (i % 8)
			require.NoError(t, os.WriteFile(name, bad, 0o644))
			got, damages := read(t, dir)
			missing := len(want) - len(got)
			require.LessOrEqual(t, missing, 1, "segment %d bit %d", seg, i)
			if missing == 1 {
				k := 0
				for k < len(got) && got[k] == want[k] {
					k++
				}
				require.Equal(t, append(slices.Clone(want[:k]), want[k+1:]...), got)
			} else {
				require.Equal(t, want, got)
			}
			require.Len(t, damages, 1)
			require.Equal(t, name, damages[0].File)
			require.LessOrEqual(t, damages[0].Offset, int64(i/8))
			require.Greater(t, damages[0].Offset+damages[0].Length, int64(i/8))
			require.Contains(t, damages[0].Error(), fmt.Sprint(damages[0].Offset))
		}
		require.NoError(t, os.WriteFile(name, good, 0o644))
	}
}

// TestEveryTruncation cuts each segment at each length: the records before are kept, later segments too.
func TestEveryTruncation(t *testing.T) {
	dir, want := sample(t)
	for seg := uint64(1); seg <= 3; seg++ {
		name := segmentName(dir, seg)
		good, err := os.ReadFile(name)
		require.NoError(t, err)
		ends := []int64{segmentHeaderSize}
		for i := range 4 {
			ends = append(ends, ends[i]+HeaderSize+int64(len(want[int(seg-1)*4+i])))
		}
		for size := range len(good) {
			require.NoError(t, os.WriteFile(name, good[:size], 0o644))
			got, damages := read(t, dir)
			whole := 0
			for whole < 4 && ends[whole+1] <= int64(size) {
				whole++
			}
			first := int(seg-1) * 4
			require.Equal(t, slices.Concat(want[:first+whole], want[first+4:]), got, "segment %d size %d", seg, size)
			clean := int64(size) == ends[whole] || seg == 3 && size < segmentHeaderSize
			if clean {
				require.Empty(t, damages)
			} else {
				require.Len(t, damages, 1)
			}
			if seg == 3 && size > segmentHeaderSize {
				again, damages := read(t, dir)
				require.Equal(t, got, again)
				require.Empty(t, damages, "the torn tail was cut by the first open")
			}
		}
		require.NoError(t, os.WriteFile(name, good, 0o644))
	}
}

func TestTailOfZeros(t *testing.T) {
	dir, want := sample(t)
	name := segmentName(dir, 3)
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
	require.NoError(t, err)
	_, err = f.Write(make([]byte, 5000))
	require.NoError(t, err)
	require.NoError(t, f.Close())
	got, damages := read(t, dir)
	require.Equal(t, want, got)
	require.Len(t, damages, 1)
	require.EqualValues(t, 5000, damages[0].Length)
	_, damages = read(t, dir)
	require.Empty(t, damages)
}

// TestPayloadCannotForgeRecords puts a whole record inside a record and damages the outer header.
func TestPayloadCannotForgeRecords(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, OS)
	inner := record("forged")
	sealPayload(inner)
	sealHeader(inner, 0)
	add(t, l, "first", string(inner), "last")
	require.NoError(t, l.Close())
	b, err := os.ReadFile(segmentName(dir, 1))
	require.NoError(t, err)
	b[segmentHeaderSize+HeaderSize+5] ^= 1
	require.NoError(t, os.WriteFile(segmentName(dir, 1), b, 0o644))
	got, damages := read(t, dir)
	require.Equal(t, []string{"first", "last"}, got)
	require.Len(t, damages, 1)
}

func TestForeignFilesAreLeftAlone(t *testing.T) {
	dir, want := sample(t)
	for _, name := range []string{"README", "0000001.wal", "00000000.wal", "abcdefgh.wal", "000000001.wal"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o644))
	}
	got, damages := read(t, dir)
	require.Equal(t, want, got)
	require.Empty(t, damages)
}

func TestGolden(t *testing.T) {
	b := encodeSegmentHeader(7, 0x01020304)
	require.Equal(t, "4c5357414c000001"+"0700000000000000"+"04030201"+"04030201"+"5c4a1e0c", fmt.Sprintf("%x", b))
	r := record("hi")
	sealPayload(r)
	sealHeader(r, 0x01020304)
	require.Equal(t, "02000000"+"c2d99df5"+"6ea9e141"+"6869", fmt.Sprintf("%x", r))
}

func FuzzReader(f *testing.F) {
	dir, _ := sample(f)
	for seg := uint64(1); seg <= 3; seg++ {
		b, err := os.ReadFile(segmentName(dir, seg))
		require.NoError(f, err)
		f.Add(b)
		f.Add(b[:len(b)-3])
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(segmentName(dir, 1), b, 0o644))
		require.NoError(t, os.WriteFile(segmentName(dir, 2), b, 0o644))
		l, err := Open(Config{Dir: dir, SegmentSize: 4096}, OS)
		require.NoError(t, err)
		r := l.Reader()
		var sum int64
		for r.Next() {
			sum += int64(len(r.Record())) + HeaderSize
		}
		require.NoError(t, r.Err())
		for _, d := range r.Damages() {
			sum += d.Length
		}
		_, total := r.Progress()
		require.LessOrEqual(t, sum, total, "bytes were counted twice")
		require.GreaterOrEqual(t, sum+2*segmentHeaderSize, total, "bytes were lost without a report")
		_, err = l.Append(record("works"), AnySegment)
		require.NoError(t, err)
		require.NoError(t, l.Close())
	})
}
