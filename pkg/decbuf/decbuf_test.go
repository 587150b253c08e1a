package decbuf

import (
	"encoding/binary"
	"errors"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

var errKind = errors.New("bad thing")

// sample has a value of each kind.
func sample() []byte {
	b := binary.AppendUvarint(nil, 1<<40)
	b = binary.AppendVarint(b, -77)
	b = append(b, 9)
	b = binary.LittleEndian.AppendUint32(b, 1)
	b = binary.LittleEndian.AppendUint64(b, 2)
	b = binary.BigEndian.AppendUint32(b, 3)
	b = binary.BigEndian.AppendUint64(b, 4)
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(0.5))
	b = AppendString(b, "text")
	b = AppendString(b, []byte("part"))
	return append(b, 2, 'x', 'y')
}

type values struct {
	u      uint64
	v      int64
	b      byte
	l32    uint32
	l64    uint64
	b32    uint32
	b64    uint64
	f      float64
	s      string
	part   string
	letter []byte
}

func read(d *Buf) values {
	v := values{
		u: d.Uvarint(), v: d.Varint(), b: d.Byte(), l32: d.Le32(), l64: d.Le64(), b32: d.Be32(), b64: d.Be64(), f: d.Float(),
		s: d.Text(), part: string(d.Section()),
	}
	for range d.Count(1) {
		v.letter = append(v.letter, d.Byte())
	}
	return v
}

func TestValues(t *testing.T) {
	d := Buf{B: sample()}
	require.Equal(t, values{1 << 40, -77, 9, 1, 2, 3, 4, 0.5, "text", "part", []byte("xy")}, read(&d))
	require.NoError(t, d.Err(errKind))
	require.NoError(t, d.End(errKind))
	require.True(t, d.Whole())
	require.False(t, (&Buf{B: []byte{1}}).Whole())
}

// TestShort cuts bytes at each place: the fault sticks and everything after it is zero.
func TestShort(t *testing.T) {
	b := sample()
	for n := range b {
		d := Buf{B: b[:n:n]}
		read(&d)
		require.True(t, d.Failed(), n)
		require.Empty(t, d.B)
		require.ErrorIs(t, d.Err(errKind), errKind)
		require.Equal(t, values{}, read(&d))
	}
}

func TestFirstFault(t *testing.T) {
	d := Buf{B: []byte{5, 1}}
	require.Zero(t, d.Count(1), "five things cannot be in a byte")
	d.Fail("later")
	require.EqualError(t, d.Err(errKind), "bad thing: it names more than it has")

	d = Buf{B: []byte{1}}
	require.EqualError(t, d.End(errKind), "bad thing: bytes follow its end")

	d = Buf{B: []byte{7, 8}}
	require.EqualValues(t, 7, d.Upto(7))
	require.Zero(t, d.Upto(7))
	require.EqualError(t, d.Err(errKind), "bad thing: number is too large")

	d = Buf{B: []byte{0xff}}
	require.Zero(t, d.Varint())
	require.EqualError(t, d.Err(errKind), "bad thing: bad number")
}

// TestTake wants parts of the input, to which nothing can be appended behind their end.
func TestTake(t *testing.T) {
	d := Buf{B: []byte("abcdef")}
	part := d.Take(3)
	_ = append(part, 'X')
	require.Equal(t, "def", string(d.B))
	require.NotNil(t, d.Take(0), "nothing is there, but it is not missing")
}
