package store

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// TestFlight loads once for all who wait, and anew where the first one went away.
func TestFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f flight[int]
		var loads atomic.Int32
		first, cancel := context.WithCancel(t.Context())
		gate := make(chan struct{})
		load := func(ctx context.Context) func() (int, error) {
			return func() (int, error) {
				n := int(loads.Add(1))
				select {
				case <-ctx.Done():
					return 0, ctx.Err()
				case <-gate:
					return n, errors.New("as it is")
				}
			}
		}
		go func() {
			_, err := f.do(first, load(first))
			if !errors.Is(err, context.Canceled) {
				t.Errorf("first: %v", err)
			}
		}()
		synctest.Wait()
		var right atomic.Int32
		for range 5 {
			go func() {
				if n, err := f.do(t.Context(), load(t.Context())); n == 2 && err != nil && err.Error() == "as it is" {
					right.Add(1)
				}
			}()
		}
		synctest.Wait()
		require.Equal(t, int32(1), loads.Load())
		cancel()
		synctest.Wait()
		require.Equal(t, int32(2), loads.Load())
		_, err := f.do(first, load(first))
		require.ErrorIs(t, err, context.Canceled)
		close(gate)
		synctest.Wait()
		require.Equal(t, int32(5), right.Load())
		require.Equal(t, int32(2), loads.Load())
		n, _ := f.do(t.Context(), load(t.Context()))
		require.Equal(t, 3, n, "nothing is kept")
	})
}
