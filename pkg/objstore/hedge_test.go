package objstore_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"logstore/pkg/objstore"
	"logstore/pkg/objstore/objstoretest"
)

// slowBucket answers the n-th read after its delay; those beyond the list at once.
type slowBucket struct {
	objstore.Bucket
	delays    []time.Duration
	fail      error
	reads     atomic.Int32
	cancelled atomic.Int32
}

func (b *slowBucket) Get(ctx context.Context, key string) ([]byte, error) {
	n := int(b.reads.Add(1)) - 1
	if n < len(b.delays) {
		select {
		case <-time.After(b.delays[n]):
		case <-ctx.Done():
			b.cancelled.Add(1)
			return nil, ctx.Err()
		}
		if b.fail != nil {
			return nil, b.fail
		}
	}
	return b.Bucket.Get(ctx, key)
}

func TestHedgedKeepsThePromises(t *testing.T) {
	objstoretest.AcceptanceTest(t, objstore.Hedged(objstore.NewMemory(), objstore.HedgeConfig{At: time.Millisecond, UpTo: 3}, nil))
}

func TestHedged(t *testing.T) {
	cfg := objstore.HedgeConfig{At: 100 * time.Millisecond, UpTo: 3, MaxPerSecond: 2}
	get := func(t *testing.T, b *slowBucket, cfg objstore.HedgeConfig) (time.Duration, error) {
		b.Bucket = objstore.NewMemory()
		require.NoError(t, b.Put(t.Context(), "key", []byte("value")))
		begin := time.Now()
		body, err := objstore.Hedged(b, cfg, nil).Get(t.Context(), "key")
		took := time.Since(begin)
		synctest.Wait()
		if err == nil {
			require.Equal(t, "value", string(body))
		}
		return took, err
	}
	f := func(name string, b *slowBucket, cfg objstore.HedgeConfig, want time.Duration, reads int32, wantErr error) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				took, err := get(t, b, cfg)
				require.ErrorIs(t, err, wantErr)
				require.Equal(t, want, took)
				require.Equal(t, reads, b.reads.Load())
			})
		})
	}
	broken := errors.New("broken")
	const ms = time.Millisecond
	f("a fast read is sent once", &slowBucket{delays: []time.Duration{50 * ms}}, cfg, 50*ms, 1, nil)
	f("a slow one twice", &slowBucket{delays: []time.Duration{time.Hour}}, cfg, 100*ms, 2, nil)
	f("and no more often than allowed", &slowBucket{delays: []time.Duration{time.Second, time.Second, time.Second, 0}}, cfg, time.Second, 3, nil)
	f("the first answer counts", &slowBucket{delays: []time.Duration{150 * ms, time.Hour}}, cfg, 150*ms, 2, nil)
	f("the rate is bounded", &slowBucket{delays: []time.Duration{time.Second, time.Second}},
		objstore.HedgeConfig{At: 100 * ms, UpTo: 9, MaxPerSecond: 1}, time.Second, 2, nil)
	f("failures of all", &slowBucket{delays: []time.Duration{150 * ms, 150 * ms}, fail: broken}, objstore.HedgeConfig{At: 100 * ms, UpTo: 2}, 250*ms, 2, broken)
	f("off", &slowBucket{delays: []time.Duration{time.Hour}}, objstore.HedgeConfig{UpTo: 3}, time.Hour, 1, nil)
}

func TestHedgedCancelsTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &slowBucket{Bucket: objstore.NewMemory(), delays: []time.Duration{time.Hour, 0}}
		require.NoError(t, b.Put(t.Context(), "key", []byte("value")))
		_, err := objstore.Hedged(b, objstore.HedgeConfig{At: time.Second, UpTo: 2}, nil).Get(t.Context(), "key")
		require.NoError(t, err)
		synctest.Wait()
		require.Equal(t, int32(1), b.cancelled.Load())
	})
}
