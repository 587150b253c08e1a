package index

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	bolt "go.etcd.io/bbolt"

	"logstore/pkg/schema"
)

func row(key, value string) schema.Row { return schema.Row{Key: []byte(key), Value: []byte(value)} }

// contents returns all rows of a file by bucket, after bbolt's own check of every page.
func contents(t testing.TB, path string) map[string]map[string]string {
	t.Helper()
	db, err := bolt.Open(path, 0o666, &bolt.Options{ReadOnly: true, PreLoadFreelist: true})
	require.NoError(t, err)
	defer db.Close()
	out := map[string]map[string]string{}
	require.NoError(t, db.View(func(tx *bolt.Tx) error {
		for err := range tx.Check() {
			t.Error(err)
		}
		return tx.ForEach(func(name []byte, b *bolt.Bucket) error {
			rows := map[string]string{}
			out[string(name)] = rows
			return b.ForEach(func(k, v []byte) error {
				rows[string(k)] = string(v)
				return nil
			})
		})
	}))
	return out
}

// randomRows returns rows and what a file of them holds.
func randomRows(rng *rand.Rand, n, keyLen int) ([]schema.Row, map[string]string) {
	want := map[string]string{}
	for range n {
		key := make([]byte, rng.IntN(keyLen)+1)
		for i := range key {
			key[i] = "\x00ab:"[rng.IntN(4)]
		}
		want[string(key)] = strings.Repeat("v", rng.IntN(5)*rng.IntN(30))
	}
	rows := make([]schema.Row, 0, len(want))
	for k, v := range want {
		rows = append(rows, row(k, v))
	}
	return rows, want
}

func TestBuild(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, n := range []int{0, 1, 2, 30, 300, 5000, 60000} {
		for _, keyLen := range []int{6, 150, 9000} {
			if n*keyLen > 20<<20 {
				continue
			}
			path := filepath.Join(t.TempDir(), "f")
			rows, want := randomRows(rng, n, keyLen)
			buckets := map[string][]schema.Row{"index": rows, "empty": nil, "zz": {row("k", "")}}
			require.NoError(t, Build(path, buckets))
			require.NoError(t, Check(path))
			require.Equal(t, map[string]map[string]string{"index": want, "empty": {}, "zz": {"k": ""}}, contents(t, path))
		}
	}
}

// TestBuildManyBuckets makes the tree of buckets itself deeper than a page.
func TestBuildManyBuckets(t *testing.T) {
	buckets := map[string][]schema.Row{}
	for i := range 700 {
		buckets[fmt.Sprintf("tenant-%04d", i)] = []schema.Row{row("a", fmt.Sprint(i))}
	}
	path := filepath.Join(t.TempDir(), "f")
	require.NoError(t, Build(path, buckets))
	require.NoError(t, Check(path))
	require.Len(t, contents(t, path), 700)
	f, err := Open(path)
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, f.View("tenant-0699", func(c *Cursor) error {
		k, v := c.First()
		require.Equal(t, "a=699", string(k)+"="+string(v))
		return nil
	}))
}

func TestBuilderRefusesDisorder(t *testing.T) {
	b, err := NewBuilder(filepath.Join(t.TempDir(), "f"))
	require.NoError(t, err)
	defer b.Abort()
	require.Error(t, b.Add(row("a", "")))
	require.NoError(t, b.Bucket("b"))
	require.NoError(t, b.Add(row("b", "")))
	require.NoError(t, b.Add(row("b", "again")))
	require.Equal(t, 1, b.Rows())
	require.Error(t, b.Add(row("a", "")))
	require.Error(t, b.Add(row("", "")))
	require.Error(t, b.Bucket("a"))
	require.Error(t, b.Bucket("b"))
	require.Error(t, b.Bucket(""))
}

func TestMerge(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	dir := t.TempDir()
	want := map[string]map[string]string{}
	var files []*File
	for i := range 5 {
		buckets := map[string][]schema.Row{}
		for _, name := range []string{"a", "index", "z"}[rng.IntN(2):] {
			rows, m := randomRows(rng, 2000, 8)
			buckets[name] = rows
			if want[name] == nil {
				want[name] = map[string]string{}
			}
			for k, v := range m {
				if _, ok := want[name][k]; !ok { // The first file's row is kept.
					want[name][k] = v
				}
			}
		}
		path := filepath.Join(dir, fmt.Sprint(i))
		var f *File
		var err error
		if i%2 == 0 {
			require.NoError(t, Build(path, buckets))
			f, err = Open(path)
			require.NoError(t, err)
		} else {
			f, err = Create(path)
			require.NoError(t, err)
			require.NoError(t, f.Put(buckets))
		}
		defer f.Close()
		files = append(files, f)
	}
	path := filepath.Join(dir, "merged")
	require.NoError(t, Merge(path, files...))
	require.Equal(t, want, contents(t, path))
	_, err := os.Stat(path + tempSuffix)
	require.ErrorIs(t, err, os.ErrNotExist)
}

// TestPutAndView runs random transactions against a model, while views scan.
func TestPutAndView(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	path := filepath.Join(t.TempDir(), "sub", "f")
	f, err := Create(path)
	require.NoError(t, err)
	want := map[string]string{}
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				require.NoError(t, f.View("t", func(c *Cursor) error {
					var last []byte
					for k, _ := c.First(); k != nil; k, _ = c.Next() {
						require.Negative(t, bytes.Compare(last, k))
						last = append(last[:0], k...)
					}
					return nil
				}))
			}
		})
	}
	for range 8 {
		rows, m := randomRows(rng, rng.IntN(2000), 12)
		require.NoError(t, f.Put(map[string][]schema.Row{SharedBucket: rows}))
		maps.Copy(want, m)
	}
	close(done)
	readers.Wait()
	got := map[string]string{}
	require.NoError(t, f.View("t", func(c *Cursor) error {
		return c.Scan(nil, func(k, v []byte) error { got[string(k)] = string(v); return nil })
	}))
	require.Equal(t, want, got)

	keys := slices.Sorted(maps.Keys(want))
	for range 200 {
		seek := keys[rng.IntN(len(keys))][:1]
		prefixed := 0
		require.NoError(t, f.View("t", func(c *Cursor) error {
			return c.Scan([]byte(seek), func(k, _ []byte) error {
				require.True(t, strings.HasPrefix(string(k), seek))
				prefixed++
				return nil
			})
		}))
		n := 0
		for _, k := range keys {
			if strings.HasPrefix(k, seek) {
				n++
			}
		}
		require.Equal(t, n, prefixed)
	}
	require.NoError(t, f.Close())
	require.Equal(t, map[string]map[string]string{SharedBucket: want}, contents(t, path))
	_, err = Create(path)
	require.ErrorIs(t, err, os.ErrExist)
	reopened, err := Open(path)
	require.NoError(t, err)
	require.NoError(t, reopened.Close())
}

func TestBuckets(t *testing.T) {
	f := func(buckets map[string][]schema.Row, tenant, want string) {
		t.Helper()
		path := filepath.Join(t.TempDir(), "f")
		require.NoError(t, Build(path, buckets))
		file, err := Open(path)
		require.NoError(t, err)
		defer file.Close()
		got := ""
		require.NoError(t, file.View(tenant, func(c *Cursor) error {
			k, _ := c.First()
			got = string(k)
			return nil
		}))
		require.Equal(t, want, got)
	}
	shared := []schema.Row{row("shared", "")}
	own := []schema.Row{row("own", "")}
	f(map[string][]schema.Row{"index": shared}, "acme", "shared")
	f(map[string][]schema.Row{"acme": own, "index": shared}, "acme", "own")
	f(map[string][]schema.Row{"acme": own}, "other", "")
	f(map[string][]schema.Row{}, "acme", "")
}

func TestSortRows(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	for range 200 {
		n := rng.IntN(300)
		rows := make([]schema.Row, n)
		for i := range rows {
			key := make([]byte, rng.IntN(40))
			for j := range key {
				key[j] = byte(rng.IntN(2)) // zero bytes at the end are what a fixed width compare would miss
			}
			rows[i] = schema.Row{Key: key, Value: key}
		}
		want := slices.Clone(rows)
		sort.SliceStable(want, func(i, j int) bool { return bytes.Compare(want[i].Key, want[j].Key) < 0 })
		SortRows(rows)
		require.Equal(t, want, rows)
	}
}

func TestErrors(t *testing.T) {
	dir := t.TempDir()
	_, err := Open(filepath.Join(dir, "absent"))
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NotErrorIs(t, err, ErrCorrupt)
	require.Error(t, Build(filepath.Join(dir, "no", "folder"), nil))

	path := filepath.Join(dir, "f")
	require.NoError(t, Build(path, map[string][]schema.Row{SharedBucket: {row("a", "b")}}))
	f, err := Open(path)
	require.NoError(t, err)
	boom := errors.New("boom")
	require.ErrorIs(t, f.View("t", func(*Cursor) error { return boom }), boom)
	require.ErrorIs(t, f.View("t", func(*Cursor) error { panic("as bbolt does") }), ErrCorrupt)
	require.NoError(t, f.Close())
	require.Error(t, f.View("t", func(*Cursor) error { return nil }))
}

// TestShrunkFile cuts a file while it is mapped: the fault is an error of the view.
func TestShrunkFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	rng := rand.New(rand.NewPCG(1, 1))
	rows, _ := randomRows(rng, 50000, 30)
	require.NoError(t, Build(path, map[string][]schema.Row{SharedBucket: rows}))
	f, err := Open(path)
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, os.Truncate(path, 3*buildPageSize))
	err = f.View("t", func(c *Cursor) error { return c.Scan(nil, func(_, _ []byte) error { return nil }) })
	require.ErrorIs(t, err, ErrCorrupt)
}
