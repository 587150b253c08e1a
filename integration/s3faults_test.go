package integration

import (
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"logstore/integration/faultproxy"
)

// TestS3Faults reads a bucket through each of the faults of S3 in turn: a process that has nothing but the bucket answers
// rightly, and so do the tools.
func TestS3Faults(t *testing.T) {
	_, proxy, url := startS3(t, 1)
	dir := t.TempDir()
	p := NewProcess(t, dir, "-config.file="+writeConfig(t, dir, onS3, "{{S3}}", url))
	p.Start()
	w := newWorkload(3)
	for range 4 { // several tables' files
		pushFor(w, p.URL, 200*time.Millisecond)
		waitFlushed(t, p, time.Minute)
	}
	require.NoError(t, p.Stop(), p.Log())

	// A fault hits the first request for each object, so that a run does not depend on luck.
	first := func(want func(r *http.Request) bool) func(r *http.Request) bool {
		seen := map[string]bool{}
		return func(r *http.Request) bool {
			hit := want(r) && !seen[r.Method+r.RequestURI]
			seen[r.Method+r.RequestURI] = seen[r.Method+r.RequestURI] || hit
			return hit
		}
	}
	list := func(r *http.Request) bool { return r.Method == http.MethodGet && r.URL.Query().Has("list-type") }
	object := func(r *http.Request) bool { return r.Method == http.MethodGet && !r.URL.Query().Has("list-type") }
	all := func(*http.Request) bool { return true }
	resync := strings.Replace(onS3, "boltdb_shipper:", "boltdb_shipper:\n    resync_interval: 100ms", 1)
	for name, rule := range map[string]faultproxy.Rule{
		"stale listing":  {Match: list, Fault: faultproxy.StaleListing()},
		"slow down":      {Match: first(all), Fault: faultproxy.SlowDown()},
		"time-out":       {Match: first(all), Count: 4, Fault: faultproxy.Hang()},
		"truncated body": {Match: first(object), Fault: faultproxy.Truncate(100)},
		"short length":   {Match: first(object), Fault: faultproxy.ShortLength(9)},
		"long length":    {Match: first(object), Fault: faultproxy.LongLength(9)},
		"damaged body":   {Match: first(object), Fault: faultproxy.Damage()},
		"reset":          {Match: first(all), Fault: faultproxy.Reset()},
	} {
		t.Run(name, func(t *testing.T) {
			proxy.Heal()
			dir := t.TempDir()
			config := strings.Replace(resync, "max_retries: 3", "max_retries: 10", 1)
			args := "-config.file=" + writeConfig(t, dir, config, "{{S3}}", url)
			p := NewProcess(t, dir, args)
			p.Start()
			if name == "stale listing" {
				w.check(t, p.URL) // what was never listed cannot be missed
			}
			proxy.Requests()
			proxy.Break(rule)
			for range 3 {
				w.check(t, p.URL)
				time.Sleep(150 * time.Millisecond) // the listing is too old then
			}
			files, err := filepath.Glob(filepath.Join(dir, "index-cache", "*", "*"))
			require.NoError(t, err)
			require.NotEmpty(t, files)
			peak := p.PeakMemory() >> 20
			require.Less(t, peak, int64(250))
			require.NoError(t, p.Stop(), p.Log())
			_, broken := proxy.Requests()
			require.Greater(t, broken, 3)
			if name != "stale listing" {
				proxy.Heal()
				if rule.Match = first(object); strings.Contains("slow down, time-out, reset", name) {
					rule.Match = first(all)
				}
				proxy.Break(rule)
				out, err := exec.Command(Binary(t), "check", args, "-grace=0").CombinedOutput()
				require.NoError(t, err, string(out))
				require.Contains(t, string(out), "no problem found")
			}
			t.Logf("%d requests broken, peak memory %d MiB", broken, peak)
		})
	}
}
