package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"logstore/integration/testservers"
)

// TestConfigCheckTriesServers has a file checked that names a bucket, two Redis servers and an Alertmanager, while they run and
// while something is wrong with each.
func TestConfigCheckTriesServers(t *testing.T) {
	t.Parallel()
	s3 := testservers.StartVersityGW(t, "logs", "rules")
	redis := testservers.StartRedis(t, "--requirepass", testservers.RedisPassword)
	other := testservers.StartRedis(t)
	am := testservers.StartAlertmanager(t)
	sh := newShell(t)
	file := sh.dir + "/loki.yaml"
	write := func(bucket, secret, password string) {
		text := fmt.Sprintf(`auth_enabled: false
common: {path_prefix: %[1]s}
storage_config:
  aws: {endpoint: %[2]q, insecure: true, s3forcepathstyle: true, region: us-east-1, bucketnames: %[3]s, access_key_id: %[4]q, secret_access_key: %[5]q}
schema_config:
  configs:
  - {from: 2024-01-01, store: boltdb-shipper, object_store: s3, schema: v13, index: {prefix: index_, period: 24h}}
chunk_store_config:
  chunk_cache_config: {redis: {endpoint: %[6]q, password: %[7]q}}
query_range:
  results_cache: {cache: {redis: {endpoint: %[6]q, password: %[7]q}}}
  series_results_cache: {cache: {redis: {endpoint: %[8]q}}}
ruler:
  alertmanager_url: %[9]s
  storage: {type: s3, s3: {endpoint: %[2]q, insecure: true, s3forcepathstyle: true, region: us-east-1, bucketnames: rules, access_key_id: %[4]q, secret_access_key: %[5]q}}
`, sh.dir, s3.Address, bucket, s3.AccessKeyID, secret, redis.Address, password, other.Address, am.URL)
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	}
	type result struct {
		What, Where, Error, Advice string
		Steps                      []struct{ Name string }
	}
	check := func(code int) map[string]result {
		t.Helper()
		r := sh.run("config", "check", "-json", file)
		require.Equal(t, code, r.code, "%s\n%s", r.stderr, r.stdout)
		var report struct{ Tried []result }
		require.NoError(t, json.Unmarshal([]byte(r.stdout), &report))
		out := map[string]result{}
		for _, one := range report.Tried {
			where, _, _ := strings.Cut(one.Where, " ")
			out[one.What+" "+strings.TrimSuffix(where, ",")] = one
		}
		require.NotContains(t, r.stdout+r.stderr, testservers.RedisPassword)
		require.NotContains(t, r.stdout+r.stderr, s3.SecretAccessKey)
		return out
	}
	const chunkCache, seriesCache = "redis chunk_store_config.chunk_cache_config", "redis query_range.series_results_cache.cache"

	write("logs", s3.SecretAccessKey, testservers.RedisPassword)
	tried := check(0)
	require.Len(t, tried, 5)
	require.Len(t, tried["bucket s3"].Steps, 4)
	require.Len(t, tried["bucket rules"].Steps, 4)
	require.Len(t, tried[chunkCache].Steps, 3)
	require.Contains(t, tried[chunkCache].Where, "query_range.results_cache.cache", "one server is tried once")
	require.Len(t, tried[seriesCache].Steps, 3)
	require.Len(t, tried["alertmanager "+am.URL].Steps, 1)
	text := sh.ok("config", "check", file)
	require.Regexp(t, `ok   bucket s3 \(chunks, index\) at .*: put [0-9.]+ ms, get [0-9.]+ ms, list [0-9.]+ ms, delete [0-9.]+ ms`, text)
	require.Regexp(t, `ok   redis chunk.*: SET [0-9.]+ ms, GET [0-9.]+ ms, DEL [0-9.]+ ms`, text)
	require.Equal(t, "0\n", redis.CLI(t, "-a", testservers.RedisPassword, "--no-auth-warning", "DBSIZE")+"\n", "nothing is left behind")
	for _, bucket := range []string{"logs", "rules"} {
		left, err := os.ReadDir(s3.Folder(bucket))
		require.NoError(t, err)
		for _, e := range left {
			require.NotContains(t, e.Name(), "logstore-config-check")
		}
	}

	write("nosuch", s3.SecretAccessKey, "wrong")
	other.Kill()
	am.Kill()
	tried = check(3)
	require.Contains(t, tried["bucket s3"].Advice, "create the bucket")
	require.Empty(t, tried["bucket rules"].Error)
	require.Contains(t, tried[chunkCache].Advice, "redis.password")
	require.Contains(t, tried[seriesCache].Advice, "nothing answers")
	require.Contains(t, tried["alertmanager "+am.URL].Advice, "alertmanager_url")
	write("logs", "wrong", testservers.RedisPassword)
	require.Contains(t, check(3)["bucket s3"].Advice, "secret_access_key")
	require.Equal(t, 0, sh.run("config", "check", "-offline", file).code)
}
