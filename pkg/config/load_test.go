package config

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// lokiEnv is an environment for the files of testdata/loki.
func lokiEnv(name string) (string, bool) {
	value, ok := map[string]string{
		"S3_ACCESS_KEY": "AKIAEXAMPLE", "S3_SECRET_KEY": "s3cr/et+with@sign=", "S3_URL": "minio.:9000", "S3_BUCKET": "loki",
		"S3_RULES_BUCKET": "rules", "ALERTMANAGER_URL": "http://alert:9093", "HTTP_PORT": "13100", "GRPC_PORT": "19095",
		"PORT": "13100", "DATA_DIR": "/tmp/x", "DATA": "/tmp/x", "S3_HOST": "127.0.0.1:9000",
	}[name]
	return value, ok
}

func TestRealFilesLoad(t *testing.T) {
	files, err := filepath.Glob("testdata/loki/*.yaml")
	require.NoError(t, err)
	require.Greater(t, len(files), 25)
	for _, file := range files {
		if strings.Contains(file, "overrides") {
			continue
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			_, err := Load([]string{"-config.file=" + file, "-config.expand-env=true"}, lokiEnv)
			require.NoError(t, err)
		})
	}
}
