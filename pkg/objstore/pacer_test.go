package objstore

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPacer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p pacer
		wait := func() time.Duration {
			start := time.Now()
			require.NoError(t, p.wait(t.Context()))
			return time.Since(start)
		}
		require.Zero(t, wait())
		require.True(t, p.slowDown())
		require.False(t, p.slowDown(), "those refused together count once")
		require.Equal(t, minGap, p.gap)
		require.Zero(t, wait())
		require.Equal(t, minGap, wait())
		require.Equal(t, minGap, wait())

		for range 20 {
			time.Sleep(gapInterval)
			require.False(t, p.slowDown())
		}
		require.Equal(t, maxGap, p.gap)
		wait()
		ctx, cancel := context.WithTimeout(t.Context(), maxGap/2)
		defer cancel()
		require.ErrorIs(t, p.wait(ctx), context.DeadlineExceeded)

		successes := 0
		for ; p.gap > 0; successes++ {
			p.speedUp()
		}
		require.Less(t, successes, 100)
		require.Zero(t, wait())
		time.Sleep(gapInterval)
		require.True(t, p.slowDown(), "throttling that comes back is told again")
	})
}
