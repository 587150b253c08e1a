package testservers_test

import (
	"net/http"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"logstore/integration/testservers"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

func TestVersityGW(t *testing.T) {
	var s *testservers.VersityGW
	t.Run("server", func(t *testing.T) {
		s = testservers.StartVersityGW(t, "a", "b")
		s.CreateBucket(t, "c")
		resp, err := http.Get("http://" + s.Address + "/a")
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.GreaterOrEqual(t, resp.StatusCode, 400, "unsigned requests are refused")
		http.DefaultClient.CloseIdleConnections()
	})
	process, err := os.FindProcess(s.PID())
	if err == nil {
		err = process.Signal(syscall.Signal(0))
	}
	require.Error(t, err, "the server must end with its test")
	_, err = http.Get("http://" + s.Address + "/a")
	require.Error(t, err)
}
