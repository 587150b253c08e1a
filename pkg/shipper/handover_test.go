package shipper

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"logstore/pkg/objstore"
)

// TestHandOver ends a process while the bucket takes nothing: another one has its rows at once, also after a crash, and uploads
// them once when the bucket takes them.
func TestHandOver(t *testing.T) {
	w := newWorld(t)
	staying := w.open(w.config())
	leaving, err := New(w.config(), Deps{
		Periods: w.periods, Bucket: func(int) objstore.Bucket { return w.bucket },
		HandOver: func(_ context.Context, h Handed) error {
			h, err := ParseHanded(h.Append(nil))
			require.NoError(t, err)
			require.NoError(t, staying.Accept(h))
			return staying.Accept(h) // an answer that was lost
		},
	})
	require.NoError(t, err)
	put(t, leaving, chunkOf("acme", 1, stream(1)), chunkOf("acme", 2, stream(2)))
	put(t, staying, chunkOf("acme", 3, stream(3)))
	w.bucket.failPut.Store(true)
	require.NoError(t, leaving.shutdown(t.Context()))
	require.Empty(t, filesIn(t, leaving), "they are somebody else's now")
	all := []string{"1 1", "2 2", "3 3"}
	require.Equal(t, all, find(t, staying, "acme", wholeDay))

	require.NoError(t, staying.pool.close())
	staying = w.open(staying.cfg)
	require.Equal(t, all, find(t, staying, "acme", wholeDay))
	w.bucket.failPut.Store(false)
	require.NoError(t, staying.Flush(t.Context()))
	require.Len(t, w.keys(), 2)
	require.Equal(t, all, find(t, w.open(w.config()), "acme", wholeDay))
}

// TestHandOverFails keeps what nobody takes, and waits for the bucket.
func TestHandOverFails(t *testing.T) {
	w := newWorld(t)
	cfg := w.config()
	cfg.ShutdownTimeout = 50 * time.Millisecond
	s, err := New(cfg, Deps{
		Periods: w.periods, Bucket: func(int) objstore.Bucket { return w.bucket },
		HandOver: func(context.Context, Handed) error { return errors.New("no") },
	})
	require.NoError(t, err)
	put(t, s, chunkOf("acme", 1, stream(1)))
	w.bucket.failPut.Store(true)
	require.Error(t, s.shutdown(t.Context()))
	w.bucket.failPut.Store(false)
	s = w.open(cfg)
	require.Equal(t, []string{"1 1"}, find(t, s, "acme", wholeDay))
	require.NoError(t, s.shutdown(t.Context()))
	require.ErrorIs(t, s.Accept(Handed{Table: "index_20464", Name: "x"}), ErrClosed)
}

// filesIn returns the table files in the active index directory.
func filesIn(t *testing.T, s *Shipper) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(s.cfg.ActiveIndexDirectory, "index_*", "*"))
	require.NoError(t, err)
	return files
}

func TestAcceptRefuses(t *testing.T) {
	w := newWorld(t)
	s := w.open(w.config())
	for _, h := range []Handed{
		{Table: "elsewhere", Name: "x"}, {Table: "../index_20464", Name: "x"}, {Table: "index_20464"}, {Table: "index_20464", Name: "../x"},
		{Table: "index_20464", Name: "."}, {Table: "index_20464", Name: "x", Object: []byte("no gzip")},
	} {
		require.Error(t, s.Accept(h), "%+v", h)
	}
	require.Empty(t, filesIn(t, s))
	_, err := os.Stat(filepath.Join(s.cfg.ActiveIndexDirectory, "..", "x"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

func FuzzParseHanded(f *testing.F) {
	f.Add(Handed{Table: "index_20464", Name: "me-1-2", Object: []byte("abc")}.Append(nil))
	f.Add([]byte{255, 255, 255, 255, 255, 255, 255, 255, 255, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ParseHanded(b)
		if err != nil {
			return
		}
		again, err := ParseHanded(h.Append(nil))
		require.NoError(t, err)
		require.Equal(t, h.Table+h.Name, again.Table+again.Name)
		require.True(t, bytes.Equal(h.Object, again.Object))
	})
}
