package integration

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestShutdownRequest ends a process by /ingester/shutdown; the next one finds everything.
func TestShutdownRequest(t *testing.T) {
	p := NewProcess(t, t.TempDir())
	p.Start()
	w := newWorkload(2)
	pushFor(w, p.URL, 200*time.Millisecond)
	post := func(query string) int {
		resp, err := http.Post(p.URL+"/ingester/shutdown"+query, "", nil)
		require.NoError(t, err)
		resp.Body.Close()
		return resp.StatusCode
	}
	require.Equal(t, http.StatusBadRequest, post("?flush=perhaps"))
	require.Equal(t, http.StatusNoContent, post("?terminate=false"))
	require.Equal(t, http.StatusServiceUnavailable, post(""), "it is shut down already")
	w.check(t, p.URL)
	require.NoError(t, p.Stop())
	p.Start()
	require.Equal(t, http.StatusNoContent, post("?flush=false"))
	require.Zero(t, p.Wait(30*time.Second), p.Log())
	p.Start()
	w.check(t, p.URL)
}
