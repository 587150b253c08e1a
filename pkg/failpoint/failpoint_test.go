package failpoint

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

var point = New("failpoint/test", "a point of the test")

func TestOff(t *testing.T) {
	require.NoError(t, point.Hit())
	require.Zero(t, testing.AllocsPerRun(10, func() { _ = point.Hit() }))
}

func TestError(t *testing.T) {
	disable, err := Enable("failpoint/test", "3*error")
	require.NoError(t, err)
	require.NoError(t, point.Hit())
	require.NoError(t, point.Hit())
	require.ErrorIs(t, point.Hit(), ErrInjected)
	require.ErrorContains(t, point.Hit(), "at failpoint/test")
	disable()
	require.NoError(t, point.Hit())
	_, err = Enable("failpoint/test", "2*error")
	require.NoError(t, err)
	require.NoError(t, point.Hit(), "the count begins anew")
	names, err := Activate("failpoint/test=off")
	require.NoError(t, err)
	require.Equal(t, []string{"failpoint/test"}, names)
	require.NoError(t, point.Hit())
}

func TestSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disable, err := Enable("failpoint/test", "sleep(1h)")
		require.NoError(t, err)
		defer disable()
		begin := time.Now()
		require.NoError(t, point.Hit())
		require.Equal(t, time.Hour, time.Since(begin))
	})
}

func TestRefused(t *testing.T) {
	for _, text := range []string{"nowhere=kill", "failpoint/test", "failpoint/test=die", "failpoint/test=0*kill", "failpoint/test=x*kill", "failpoint/test=sleep(x)"} {
		_, err := Activate(text)
		require.Error(t, err, text)
	}
	names, err := Activate(" ; ")
	require.NoError(t, err)
	require.Empty(t, names)
}

func TestTable(t *testing.T) {
	require.Contains(t, Table(), Info{"failpoint/test", "a point of the test"})
	require.Panics(t, func() { New("failpoint/test", "again") })
}

// TestKill lets a copy of the test process kill itself.
func TestKill(t *testing.T) {
	if os.Getenv(Variable) != "" {
		_, err := Activate(os.Getenv(Variable))
		require.NoError(t, err)
		_ = point.Hit()
		t.Fatal("it lives on")
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestKill$")
	cmd.Env = append(os.Environ(), Variable+"=failpoint/test=kill")
	err := cmd.Run()
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	require.Equal(t, syscall.SIGKILL, exit.Sys().(syscall.WaitStatus).Signal())
}
