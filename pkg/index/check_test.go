package index

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	bolt "go.etcd.io/bbolt"

	"logstore/pkg/schema"
)

// sampleFiles returns files of both writers: with inline buckets, overflow pages, branches, free pages, an odd page size.
func sampleFiles(t testing.TB) [][]byte {
	t.Helper()
	rng := rand.New(rand.NewPCG(11, 12))
	dir := t.TempDir()
	var out [][]byte
	add := func(path string) {
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		out = append(out, b)
	}
	rows, _ := randomRows(rng, 400, 40)
	big := append(rows, row("zbig", string(make([]byte, 9000))))
	built := filepath.Join(dir, "built")
	require.NoError(t, Build(built, map[string][]schema.Row{"a": {row("k", "v")}, SharedBucket: big}))
	add(built)
	for i, pageSize := range []int{1024, 4096} {
		path := filepath.Join(dir, string(rune('a'+i)))
		db, err := bolt.Open(path, 0o666, &bolt.Options{PageSize: pageSize})
		require.NoError(t, err)
		for range 3 {
			rows, _ := randomRows(rng, 120, 20)
			require.NoError(t, db.Update(func(tx *bolt.Tx) error {
				small, err := tx.CreateBucketIfNotExists([]byte("acme"))
				require.NoError(t, err)
				require.NoError(t, small.Put([]byte("k"), []byte("v")))
				b, err := tx.CreateBucketIfNotExists([]byte(SharedBucket))
				require.NoError(t, err)
				for _, r := range rows {
					require.NoError(t, b.Put(r.Key, r.Value))
				}
				return b.Put([]byte("zbig"), make([]byte, 9000))
			}))
		}
		require.NoError(t, db.Close())
		add(path)
	}
	return out
}

// scan reads all of a file as every reader may, and returns the number of rows.
func scan(path string) (n int, err error) {
	f, err := Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	err = f.ViewBuckets(func(_ string, c *Cursor) error {
		for k, _ := c.First(); k != nil; k, _ = c.Next() {
			n++
		}
		c.Seek([]byte("a"))
		return nil
	})
	return n, err
}

func TestCheckAccepts(t *testing.T) {
	for _, b := range sampleFiles(t) {
		require.NoError(t, check(bytes.NewReader(b), int64(len(b))))
		path := filepath.Join(t.TempDir(), "f")
		require.NoError(t, os.WriteFile(path, b, 0o666))
		n, err := scan(path)
		require.NoError(t, err)
		require.Greater(t, n, 100)
	}
}

// TestCheckTorn cuts files at each kilobyte and tears pages out of them.
func TestCheckTorn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	for _, b := range sampleFiles(t) {
		// The last pages may be free ones that the file does not need.
		refused := 0
		for cut := 0; cut < len(b); cut += 1024 {
			require.NoError(t, os.WriteFile(path, b[:cut], 0o666))
			_, err := scan(path)
			if err != nil {
				require.ErrorIs(t, err, ErrCorrupt)
				refused++
			}
			torn := bytes.Clone(b)
			clear(torn[cut:min(cut+4096, len(b))])
			require.NoError(t, os.WriteFile(path, torn, 0o666))
			if _, err := scan(path); err != nil {
				require.ErrorIs(t, err, ErrCorrupt)
			}
		}
		require.Greater(t, refused, len(b)/1024/2)
	}
}

// TestCheckBitFlips flips bits and bytes all over the files. Whatever Check lets pass must be read without a panic or fault;
// the error of a panic that was caught would say so.
func TestCheckBitFlips(t *testing.T) {
	rng := rand.New(rand.NewPCG(13, 14))
	path := filepath.Join(t.TempDir(), "f")
	for _, b := range sampleFiles(t) {
		refused := 0
		const tries = 300
		for range tries {
			bad := bytes.Clone(b)
			for range rng.IntN(3) + 1 {
				at := rng.IntN(len(b))
				if rng.IntN(2) == 0 { // page and element headers, where it hurts
					at = min(at/512*512+rng.IntN(48), len(b)-1)
				}
				bad[at] ^= 1 << rng.IntN(8)
			}
			if err := check(bytes.NewReader(bad), int64(len(bad))); err != nil {
				require.ErrorIs(t, err, ErrCorrupt)
				refused++
				continue
			}
			require.NoError(t, os.WriteFile(path, bad, 0o666))
			_, err := scan(path)
			require.NoError(t, err)
		}
		require.Greater(t, refused, tries/30)
	}
}

func FuzzCheck(f *testing.F) {
	for _, b := range sampleFiles(f) {
		f.Add(b[:min(len(b), 64<<10)])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := check(bytes.NewReader(b), int64(len(b))); err != nil {
			require.ErrorIs(t, err, ErrCorrupt)
			return
		}
		path := filepath.Join(t.TempDir(), "f")
		require.NoError(t, os.WriteFile(path, b, 0o666))
		_, err := scan(path)
		require.NoError(t, err)
	})
}
