package objstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"logstore/pkg/objstore"
	"logstore/pkg/objstore/objstoretest"
)

func TestDecoratorsKeepThePromises(t *testing.T) {
	f := func(name string, b objstore.Bucket) {
		t.Run(name, func(t *testing.T) { objstoretest.AcceptanceTest(t, b) })
	}
	quiet := slog.New(slog.DiscardHandler)
	f("prefixed", objstore.Prefixed(objstore.NewMemory(), "a/prefix-"))
	f("retried", objstore.Retried(objstore.NewMemory(), objstore.DefaultBackoffConfig(), quiet, nil))
	f("limited", objstore.Limited(objstore.NewMemory(), 1))
	f("metered", objstore.Metered(objstore.NewMemory(), "memory", prometheus.NewRegistry()))
	spread, err := objstore.Spread([]objstore.Bucket{objstore.NewMemory(), objstore.NewMemory(), objstore.NewMemory()})
	require.NoError(t, err)
	f("spread", spread)
	files, _ := newFilesystem(t, false)
	all := objstore.Limited(objstore.Metered(objstore.Prefixed(files, "p/"), "filesystem", nil), 2)
	f("all", objstore.Retried(all, objstore.DefaultBackoffConfig(), quiet, nil))
}

func TestPrefixed(t *testing.T) {
	inner := objstore.NewMemory()
	require.Equal(t, objstore.Bucket(inner), objstore.Prefixed(inner, ""))
	b := objstore.Prefixed(inner, "loki/")
	require.NoError(t, inner.Put(t.Context(), "other/x", nil))
	require.NoError(t, b.Put(t.Context(), "a/b", nil))
	require.Equal(t, []string{"loki/a/b", "other/x"}, objstoretest.Keys(t, inner, ""))
	require.Equal(t, []string{"a/b"}, objstoretest.Keys(t, b, ""))
	require.Equal(t, []string{"a/"}, objstoretest.Dirs(t, b, ""))
	_, err := b.Get(t.Context(), "../other/x")
	require.ErrorIs(t, err, objstore.ErrBadKey)
	require.Equal(t, "memory under loki/", b.Name())
}

// TestSpread checks the arithmetic against FNV-1a's published values, since it decides where Loki finds its objects.
func TestSpread(t *testing.T) {
	buckets := []objstore.Bucket{objstore.NewMemory(), objstore.NewMemory(), objstore.NewMemory()}
	b, err := objstore.Spread(buckets)
	require.NoError(t, err)
	for key, hash := range map[string]uint32{"a": 0xe40c292c, "foobar": 0xbf9cf968, "b": 0xe70c2de5} {
		require.NoError(t, b.Put(t.Context(), key, nil))
		require.Equal(t, []string{key}, objstoretest.Keys(t, buckets[hash%3], key))
	}
	// A stray object in another bucket than its own can neither be got nor listed.
	require.NoError(t, buckets[(0xe40c292c+1)%3].Put(t.Context(), "a", []byte("stray")))
	require.Equal(t, []string{"a", "b", "foobar"}, objstoretest.Keys(t, b, ""))
	require.Equal(t, "memory, memory, memory", b.Name())

	one, err := objstore.Spread(buckets[:1])
	require.NoError(t, err)
	require.Equal(t, buckets[0], one)
	_, err = objstore.Spread(nil)
	require.Error(t, err)
}

// failing is a bucket whose requests meet the errors in turn.
type failing struct {
	objstore.Bucket
	errs  []error
	calls int
}

func (b *failing) next() error {
	b.calls++
	if len(b.errs) == 0 {
		return nil
	}
	err := b.errs[0]
	b.errs = b.errs[1:]
	return err
}

func (b *failing) Get(ctx context.Context, key string) ([]byte, error) {
	if err := b.next(); err != nil {
		return nil, err
	}
	return b.Bucket.Get(ctx, key)
}

// List shows one object before it fails.
func (b *failing) List(ctx context.Context, prefix string, fn func(objstore.ObjectInfo) error) error {
	err := b.next()
	listed := 0
	return errors.Join(b.Bucket.List(ctx, prefix, func(o objstore.ObjectInfo) error {
		if err != nil && listed > 0 {
			return err
		}
		listed++
		return fn(o)
	}))
}

func TestRetriedPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := &failing{Bucket: objstore.NewMemory()}
		cfg := objstore.BackoffConfig{MinPeriod: 100 * time.Millisecond, MaxPeriod: time.Second, MaxRetries: 6}
		b := objstore.Retried(inner, cfg, slog.New(slog.DiscardHandler), nil)
		for range 7 {
			inner.errs = append(inner.errs, io.ErrUnexpectedEOF)
		}
		start := time.Now()
		_, err := b.Get(t.Context(), "a")
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		require.Equal(t, 7, inner.calls)
		// 0.1, 0.2, 0.4, 0.8, 1 and 1 seconds, each less up to a half.
		require.GreaterOrEqual(t, time.Since(start), 1750*time.Millisecond)
		require.LessOrEqual(t, time.Since(start), 3500*time.Millisecond)

		// The caller's end comes first, and the last failure is told as well.
		cfg.MinPeriod, cfg.MaxPeriod, cfg.MaxRetries = time.Hour, time.Hour, 0
		b = objstore.Retried(inner, cfg, slog.New(slog.DiscardHandler), nil)
		inner.errs = []error{io.ErrUnexpectedEOF}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start = time.Now()
		_, err = b.Get(ctx, "a")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "unexpected EOF (ended after 1 attempts in 1m0s)")
		require.Equal(t, time.Minute, time.Since(start))
	})
}

func TestRetriedAsksOnce(t *testing.T) {
	for _, permanent := range []error{objstore.ErrNotFound, objstore.ErrBadKey, context.Canceled, errors.New("unknown")} {
		inner := &failing{Bucket: objstore.NewMemory(), errs: []error{fmt.Errorf("cannot: %w", permanent)}}
		b := objstore.Retried(inner, objstore.DefaultBackoffConfig(), slog.New(slog.DiscardHandler), nil)
		_, err := b.Get(t.Context(), "a")
		require.ErrorIs(t, err, permanent)
		require.Equal(t, 1, inner.calls)
	}
}

// TestRetriedListShowsOnce fails a listing in the middle.
func TestRetriedListShowsOnce(t *testing.T) {
	inner := &failing{Bucket: objstore.NewMemory(), errs: []error{io.ErrUnexpectedEOF, objstore.ErrCorrupt}}
	cfg := objstore.BackoffConfig{MinPeriod: 1, MaxPeriod: 1, MaxRetries: 2}
	b := objstore.Retried(inner, cfg, slog.New(slog.DiscardHandler), nil)
	for _, key := range []string{"a", "b", "c"} {
		require.NoError(t, inner.Put(t.Context(), key, nil))
	}
	require.Equal(t, []string{"a", "b", "c"}, objstoretest.Keys(t, b, ""))
	require.Equal(t, 3, inner.calls)
}

// blocking is a bucket whose gets wait, and count how many do.
type blocking struct {
	objstore.Bucket
	now, most atomic.Int32
}

func (b *blocking) Get(ctx context.Context, key string) ([]byte, error) {
	n := b.now.Add(1)
	defer b.now.Add(-1)
	for most := b.most.Load(); n > most && !b.most.CompareAndSwap(most, n); most = b.most.Load() {
	}
	time.Sleep(time.Second)
	return b.Bucket.Get(ctx, key)
}

func TestLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := &blocking{Bucket: objstore.NewMemory()}
		require.NoError(t, inner.Put(t.Context(), "a", nil))
		b := objstore.Limited(inner, 3)
		start := time.Now()
		errs := make(chan error)
		for range 10 {
			go func() {
				_, err := b.Get(t.Context(), "a")
				errs <- err
			}()
		}
		for range 10 {
			require.NoError(t, <-errs)
		}
		require.Equal(t, int32(3), inner.most.Load())
		require.Equal(t, 4*time.Second, time.Since(start))

		// A stream holds its place until it is closed, once.
		var readers []io.ReadCloser
		for range 3 {
			r, err := b.GetReader(t.Context(), "a")
			require.NoError(t, err)
			readers = append(readers, r)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := b.Get(ctx, "a")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "while 3 are under way")
		for _, r := range readers {
			require.NoError(t, r.Close())
			require.NoError(t, r.Close())
		}
		_, err = b.Get(t.Context(), "a")
		require.NoError(t, err)
		_, err = b.GetReader(t.Context(), "absent")
		require.ErrorIs(t, err, objstore.ErrNotFound)
	})
}

func TestMetered(t *testing.T) {
	reg := prometheus.NewRegistry()
	b := objstore.Metered(objstore.NewMemory(), "s3", reg)
	again := objstore.Metered(objstore.NewMemory(), "s3", reg)
	require.NoError(t, b.Put(t.Context(), "a", []byte("12345")))
	_, err := b.Get(t.Context(), "a")
	require.NoError(t, err)
	_, err = again.Get(t.Context(), "a")
	require.ErrorIs(t, err, objstore.ErrNotFound)
	r, err := b.GetReader(t.Context(), "a")
	require.NoError(t, err)
	_, err = io.ReadAll(r)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	require.NoError(t, testutil.GatherAndCompare(reg, bytes.NewBufferString(`
# HELP logstore_objstore_bytes_total Bytes of objects that went to and came from the object store.
# TYPE logstore_objstore_bytes_total counter
logstore_objstore_bytes_total{operation="S3.GetObject",store="s3"} 10
logstore_objstore_bytes_total{operation="S3.PutObject",store="s3"} 5
`), "logstore_objstore_bytes_total"))
	families, err := reg.Gather()
	require.NoError(t, err)
	seen := map[string]uint64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() == "loki_s3_request_duration_seconds" {
				seen[m.GetLabel()[0].GetValue()+" "+m.GetLabel()[1].GetValue()] = m.GetHistogram().GetSampleCount()
			}
		}
	}
	require.Equal(t, map[string]uint64{"S3.PutObject 200": 1, "S3.GetObject 200": 2, "S3.GetObject 404": 1}, seen)
}
