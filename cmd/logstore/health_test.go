package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestHealth(t *testing.T) {
	status := http.StatusOK
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte("as it is\n"))
	}))
	defer srv.Close()
	ask := func() (int, string) {
		var out bytes.Buffer
		code := run([]string{"health", "-url", srv.URL + "/ready"}, &out, &out)
		return code, out.String()
	}
	code, out := ask()
	require.Equal(t, 0, code, out)
	require.Equal(t, "as it is\n", out)
	status = http.StatusServiceUnavailable
	code, out = ask()
	require.Equal(t, 1, code)
	require.Contains(t, out, "not ready: as it is")
	srv.Close()
	code, out = ask()
	require.Equal(t, 1, code)
	require.Contains(t, out, "does not answer")
}
