package compactor

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"logstore/pkg/failpoint"
	"logstore/pkg/limits"
	"logstore/pkg/model"
)

// TestFailpoints stops the work at each named place, the first and the second time that it passes there, throws away what the
// compactor knew, and wants the same answers and a clean bucket in the end.
func TestFailpoints(t *testing.T) {
	for _, point := range failpoint.Table() {
		if !strings.HasPrefix(point.Name, "compactor/") && point.Name != "deletes/table" && point.Name != "deletes/folded" {
			continue
		}
		for _, action := range []string{"error", "2*error"} {
			t.Run(point.Name+"="+action, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { stopAt(t, point.Name, action) })
			})
		}
	}
}

func stopAt(t *testing.T, name, action string) {
	w := newWorld(t, func(cfg *Config, l *limits.Limits) {
		cfg.RetentionEnabled, cfg.MergeAfter, cfg.DeleteDelay = true, 24*time.Hour, time.Minute
		l.RetentionPeriod = 20 * 24 * time.Hour
	})
	time.Sleep(12 * time.Hour)
	now := time.Now()
	var wide []model.Entry
	for i := range 48 {
		wide = append(wide, line(now.Add(-time.Duration(72+i)*time.Hour), fmt.Sprintf("n=%d", i)))
	}
	w.put("acme", app("wide"), wide...)
	w.fill("acme", "small", now.Add(-5*24*time.Hour), 9)
	w.fill("acme", "old", now.Add(-30*24*time.Hour), 6)
	w.delete("acme", `{app="wide"} |= "n=2"`, now.Add(-20*24*time.Hour), now)
	w.delete("acme", `{app="small"}`, now.Add(-5*24*time.Hour), now.Add(-5*24*time.Hour+2*time.Minute))
	want := 48 - 11 + 6
	disable, err := failpoint.Enable(name, action)
	require.NoError(t, err)
	defer disable()
	failed := false
	time.Sleep(25 * time.Hour)
	for range 60 {
		if err := w.comp.RunOnce(t.Context()); err != nil {
			require.ErrorIs(t, err, failpoint.ErrInjected)
			failed = true
			break
		}
		time.Sleep(time.Minute)
	}
	require.True(t, failed, "the point was never passed")
	disable()
	require.NoError(t, w.deletes.Refresh(t.Context()))
	w.restart()
	visible := func() int {
		n := 0
		for _, l := range w.lines("acme") {
			if !strings.Contains(l, "of old") {
				n++
			}
		}
		return n
	}
	require.Equal(t, want, visible())
	for range 30 {
		w.run()
		require.Equal(t, want, visible())
		time.Sleep(time.Minute)
	}
	w.settle()
	w.run()
	w.run()
	require.Len(t, w.lines("acme"), want)
	require.NotContains(t, w.status("acme"), "received")
	w.openReaders()
	require.Len(t, linesOf(t, w.store, "acme"), want)
	w.check()
	require.Empty(t, w.keys(marksPrefix))
	require.Empty(t, w.keys(manifestPrefix))
}
