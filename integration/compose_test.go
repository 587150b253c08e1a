package integration

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestCompose checks that what docker-compose.yaml mounts is there and that its members accept their configuration. The long
// form runs it all, and the demo of docs/fault-demo.md in it.
func TestCompose(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "docker-compose.yaml"))
	require.NoError(t, err)
	mounts := regexp.MustCompile(`\./(deploy[^:"\s]*):`).FindAllSubmatch(text, -1)
	require.Greater(t, len(mounts), 5)
	for _, m := range mounts {
		_, err := os.Stat(filepath.Join(root, string(m[1])))
		require.NoError(t, err, "it is mounted")
	}
	cmd := exec.Command(Binary(t), "-config.file="+filepath.Join(root, "deploy/logstore.yaml"), "-config.expand-env=true", "-verify-config")
	cmd.Env = append(os.Environ(), "S3_URL=s3://k:s@versitygw:7070/chunks", "S3_RULES_URL=s3://k:s@versitygw:7070/rules")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	require.Contains(t, string(out), "config is valid")

	if os.Getenv("LOGSTORE_SOAK") == "" {
		return
	}
	var log bytes.Buffer
	run := exec.Command(filepath.Join(root, "scripts/compose-test.sh"))
	run.Stdout, run.Stderr = &log, &log
	require.NoError(t, run.Run(), log.String())
	require.Contains(t, log.String(), "compose: three members are healthy")
	require.Contains(t, log.String(), "none refused")
}
