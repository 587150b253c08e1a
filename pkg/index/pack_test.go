package index

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"logstore/pkg/schema"
)

func TestPack(t *testing.T) {
	dir := t.TempDir()
	rows, want := randomRows(rand.New(rand.NewPCG(1, 2)), 3000, 20)
	path := filepath.Join(dir, "f")
	require.NoError(t, Build(path, map[string][]schema.Row{SharedBucket: rows}))
	object, err := Compress(path)
	require.NoError(t, err)

	copied := filepath.Join(dir, "copy")
	require.NoError(t, Unpack(copied, bytes.NewReader(object), true))
	require.Equal(t, map[string]map[string]string{SharedBucket: want}, contents(t, copied))
	plain, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, Unpack(copied, bytes.NewReader(plain), false))

	f := func(object []byte, compressed bool) {
		t.Helper()
		err := Unpack(copied, bytes.NewReader(object), compressed)
		require.ErrorIs(t, err, ErrCorrupt)
		_, err = os.Stat(copied)
		require.ErrorIs(t, err, os.ErrNotExist, "nothing is left of a damaged object")
	}
	for _, cut := range []int{0, 1, 9, 100, len(object) / 2, len(object) - 1} {
		f(object[:cut], true)
	}
	for _, at := range []int{0, 1, 2, 200, len(object) / 2, len(object) - 2, len(object) - 6} {
		bad := bytes.Clone(object)
		bad[at] ^= 0x40
		f(bad, true)
	}
	f(nil, false)
	f(plain[:len(plain)-5000], false)
	f(object, false)
	f(plain, true)

	// What the network does is not the object's fault.
	boom := errors.New("boom")
	err = Unpack(copied, io.MultiReader(bytes.NewReader(object[:500]), iotest.ErrReader(boom)), true)
	require.ErrorIs(t, err, boom)
	require.NotErrorIs(t, err, ErrCorrupt)
	_, err = Compress(filepath.Join(dir, "absent"))
	require.ErrorIs(t, err, os.ErrNotExist)
}
