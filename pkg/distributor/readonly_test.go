package distributor

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"logstore/pkg/model"
	"logstore/pkg/tenant"
	"logstore/pkg/wire"
)

// TestReadOnly refuses entries of days that cannot be written: for good where they lie in the past, and to be tried again where
// the days are those of now.
func TestReadOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lim := conformanceLimits()
		lim.RejectOldSamples = false
		d, m, _, _ := newTestDistributor(t, lim)
		now := time.Now()
		day := 24 * time.Hour
		d.readOnly = []ReadOnly{{Interval: model.Interval{Start: now.Add(-2 * day).UnixNano(), End: now.UnixNano()}, Why: "do something"}}
		bad := now.UnixNano() - 1
		status, text := push(d, "u", stream(`{a="b"}`, at(bad, "late"), at(bad+1, "good"), at(bad, "later")))
		require.Equal(t, 400, status)
		require.Equal(t, `2 errors like: cannot store an entry for stream '{a="b"}' at 1999-12-31T23:59:59Z: do something`, text)
		require.Len(t, m.streams, 1)
		for _, entries := range m.streams {
			require.Len(t, entries, 1)
			require.Equal(t, "good", entries[0].line)
		}

		d.readOnly[0].Interval.End = now.Add(day).UnixNano()
		err := d.Push(tenant.Inject(t.Context(), "u"), &wire.PushRequest{Streams: []wire.PushStream{stream(`{a="b"}`, "x")}})
		var refused *PushError
		require.True(t, errors.As(err, &refused))
		require.Equal(t, 503, refused.Status)
		require.Positive(t, refused.RetryAfter)
	})
}
