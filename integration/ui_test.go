package integration

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The web page in a real browser. The tests themselves are under ui/e2e, in the language of the page. SHOTS names a folder for
// screenshots of every page.
func TestUI(t *testing.T) {
	dir, err := filepath.Abs("../ui")
	require.NoError(t, err)
	_, err = os.Stat(filepath.Join(dir, "node_modules"))
	require.NoError(t, err, "run scripts/install-test-tools.sh first")
	p := NewProcess(t, t.TempDir(), "-pattern-ingester.enabled=true")
	p.Start()
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", "--test", "--test-reporter=spec", "e2e/")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "UI_URL="+p.URL)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
}
