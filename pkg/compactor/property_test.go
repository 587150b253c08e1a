package compactor

import (
	"fmt"
	"math/rand/v2"
	"sort"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"logstore/pkg/limits"
	"logstore/pkg/model"
)

// modelLine is a line as the naive model has it.
type modelLine struct {
	tenant, app string
	at          time.Time
	text        string
}

// TestModel does random things to a store and to a list of lines, and compares the answers after each.
func TestModel(t *testing.T) {
	now := uint64(time.Now().UnixNano())
	// The first found a chunk over two midnights that was deleted from and that the first day's table still named.
	for _, seed := range []uint64{1795538108682558960, now, now + 1, now + 2, now + 3} {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { runModel(t, rand.New(rand.NewPCG(seed, 0))) })
		})
	}
}

func runModel(t *testing.T, rng *rand.Rand) {
	const d = 24 * time.Hour
	w := newWorld(t, func(cfg *Config, l *limits.Limits) {
		cfg.RetentionEnabled, cfg.MergeAfter, cfg.DeleteDelay = true, 2*d, time.Minute
	})
	tenants, apps := []string{"acme", "beta"}, []string{"a", "b", "c"}
	var lines []modelLine
	compare := func() {
		t.Helper()
		for _, tenant := range tenants {
			want := []string{}
			for _, l := range lines {
				if l.tenant == tenant {
					want = append(want, fmt.Sprintf("%s %d %s", app(l.app), l.at.UnixNano(), l.text))
				}
			}
			sort.Strings(want)
			require.Equal(t, want, w.lines(tenant))
		}
	}
	serial := 0
	push := func() {
		tenant, name := tenants[rng.IntN(2)], apps[rng.IntN(3)]
		begin := time.Now().Add(-time.Duration(rng.IntN(6*24*60)) * time.Minute)
		var entries []model.Entry
		for range 1 + rng.IntN(5) {
			at := begin.Add(time.Duration(rng.IntN(36*60)) * time.Minute)
			if at.After(time.Now()) {
				continue
			}
			serial++
			text := fmt.Sprintf("%s n=%d", []string{"info", "warn"}[rng.IntN(2)], serial)
			entries = append(entries, line(at, text))
			lines = append(lines, modelLine{tenant, name, at, text})
		}
		if len(entries) > 0 {
			w.put(tenant, app(name), entries...)
			if rng.IntN(3) == 0 { // a replica's copy
				w.put(tenant, app(name), entries[:1+rng.IntN(len(entries))]...)
			}
		}
	}
	remove := func() {
		tenant, name := tenants[rng.IntN(2)], apps[rng.IntN(3)]
		start := time.Now().Add(-time.Duration(1+rng.IntN(6*24)) * time.Hour)
		end := start.Add(time.Duration(1+rng.IntN(48)) * time.Hour)
		if end.After(time.Now()) {
			end = time.Now()
		}
		filter := []string{"", ` |= "warn"`}[rng.IntN(2)]
		w.delete(tenant, `{app="`+name+`"}`+filter, start, end)
		kept := lines[:0]
		for _, l := range lines {
			inside := l.tenant == tenant && l.app == name && l.at.UnixMilli() >= start.UnixMilli() && !l.at.After(time.UnixMilli(end.UnixMilli()))
			if !inside || filter != "" && !strings.HasPrefix(l.text, "warn") {
				kept = append(kept, l)
			}
		}
		lines = kept
		// The model deletes at once and for good, so that nothing more may come into the span before the request is processed.
		time.Sleep(d + time.Hour)
		for i := 0; w.pendingRequests() && i < 100; i++ {
			w.run()
			compare()
			time.Sleep(time.Minute)
		}
		require.False(t, w.pendingRequests())
		time.Sleep(time.Hour)
		require.NoError(t, w.deletes.Refresh(t.Context()))
	}
	for range 60 {
		switch rng.IntN(10) {
		case 0, 1, 2, 3:
			push()
		case 4, 5:
			w.flush()
		case 6:
			w.flush()
			w.run()
		case 7:
			w.flush()
			remove()
		case 8:
			time.Sleep(time.Duration(rng.IntN(600)) * time.Minute)
		case 9:
			w.flush()
			w.restart()
			w.run()
			time.Sleep(time.Minute)
		}
		compare()
	}
	w.flush()
	w.settle()
	compare()
	w.check()
	w.openReaders()
	compare()

	// Retention takes whole chunks: what is left is everything that is young enough, and nothing of chunks that are old.
	l := limits.DefaultLimits()
	l.RetentionPeriod = 2 * d
	require.NoError(t, w.limits.Set("acme", l))
	w.settle()
	cutoff := time.Now().Add(-2 * d)
	young := map[string]bool{}
	for _, l := range lines {
		if l.tenant == "acme" && l.at.After(cutoff) {
			young[fmt.Sprintf("%s %d %s", app(l.app), l.at.UnixNano(), l.text)] = true
		}
	}
	for _, line := range w.lines("acme") {
		delete(young, line)
	}
	require.Empty(t, young, "young lines that are gone")
	w.check()
}

// pendingRequests reports whether a delete request is not processed.
func (w *world) pendingRequests() bool {
	for _, tenant := range []string{"acme", "beta"} {
		if strings.Contains(w.status(tenant), "received") || strings.Contains(w.status(tenant), "Complete") {
			return true
		}
	}
	return false
}
