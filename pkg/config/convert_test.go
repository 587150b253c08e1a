package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

var convertDay = time.Date(2026, 2, 3, 12, 0, 0, 0, time.UTC)

func convert(t *testing.T, text string) *Conversion {
	t.Helper()
	c, err := Convert("loki.yaml", []byte(text), false, nil, convertDay)
	require.NoError(t, err, text)
	return c
}

// requireClean wants nothing of a file but keys that are used under their names.
func requireClean(t *testing.T, text []byte) *Explanation {
	t.Helper()
	e := explain("loki.yaml", text)
	require.Empty(t, e.Errors, string(text))
	for _, k := range e.Keys {
		require.Equal(t, KeyUsed, k.State, "%s\n%s", k.Path, text)
	}
	return e
}

// Every file that a release of Loki took becomes one without anything to complain about, and means the same.
func TestConvertFilesOfLoki(t *testing.T) {
	env := func(name string) (string, bool) {
		if strings.HasSuffix(name, "PORT") {
			return "9999", true
		}
		if strings.Contains(name, "URL") || strings.Contains(name, "ALERTMANAGER") {
			return "http://host", true
		}
		return "/data", true
	}
	files, err := filepath.Glob("testdata/loki/*.yaml")
	require.NoError(t, err)
	require.Greater(t, len(files), 20)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		if strings.Contains(file, "overrides") {
			continue // limits of tenants and no configuration
		}
		c, err := Convert(file, text, true, env, convertDay)
		require.NoError(t, err, file)
		require.Empty(t, c.Problems, file)
		expanded, err := expandEnv(string(c.Text), env)
		require.NoError(t, err)
		after := requireClean(t, []byte(expanded))
		before, err := expandEnv(string(text), env)
		require.NoError(t, err)
		was := explain(file, []byte(before))
		require.NotNil(t, was.Config, file)
		for _, d := range Diff(was.Config, after.Config) {
			if strings.HasPrefix(d.Path, "schema_config.configs[") && d.A == "" || unread(d.Path) {
				continue // the period that was added
			}
			t.Errorf("%s: %s was %q and is %q", file, d.Path, d.A, d.B)
		}
		last := after.Config.Schema.Configs[len(after.Config.Schema.Configs)-1]
		require.Equal(t, StoreBoltDBShipper, last.Store, file)
	}
}

// Every key of every release, with its default there, is taken or goes. Those of a block stand in one file if that is no mistake.
func TestConvertEveryKey(t *testing.T) {
	blocks := map[string]map[string]*yaml.Node{}
	for _, row := range lokiKeys(t) {
		if row.old == "<block>" || row.new == "<block>" || strings.Contains(row.path, "named_stores") || strings.HasPrefix(row.path, "schema_config.") {
			continue
		}
		value := row.new
		if value == "-" {
			value = row.old
		}
		i := max(0, strings.LastIndexByte(row.path, '.'))
		if blocks[row.path[:i]] == nil {
			blocks[row.path[:i]] = map[string]*yaml.Node{}
		}
		blocks[row.path[:i]][row.path] = defaultOf(value)
	}
	files := 0
	try := func(root *yaml.Node) bool {
		text, err := yaml.Marshal(root)
		require.NoError(t, err)
		if len(explain("loki.yaml", text).Errors) > 0 {
			return false
		}
		requireClean(t, convert(t, string(text)).Text)
		files++
		return true
	}
	for _, keys := range blocks {
		all := &converter{root: &yaml.Node{Kind: yaml.MappingNode}}
		for path, value := range keys {
			all.put(path, text("", ""), value)
		}
		if try(all.root) {
			continue
		}
		for path, value := range keys {
			one := &converter{root: &yaml.Node{Kind: yaml.MappingNode}}
			one.put(path, text("", ""), value)
			try(one.root) // the table writes some values as no file does
		}
	}
	require.Greater(t, files, 200)
}

func TestConvertOldNames(t *testing.T) {
	c := convert(t, `# mine
http_prefix: /p # why
target: read,write
common: {ring: {kvstore: {store: consul}}}
memberlist: {join_members: [a]}
chunk_store_config:
  chunk_cache_config:
    redis: &redis {endpoint: "r:6379", enable_tls: true}
    enable_fifocache: true
    fifocache: {max_size_bytes: 64MB, ttl: 2h}
  write_dedupe_cache_config: {redis: {<<: *redis, db: 3}}
storage_config:
  aws: {s3: "s3://k:s@h/b", sse_encryption: true}
querier: {engine: {timeout: 3m, max_look_back_period: 30s}, query_timeout: 2m}
schema_config:
  configs:
  - {from: 2026-05-01, store: tsdb, object_store: aws, schema: v13, index: {prefix: i_, period: 24h}}
`)
	require.Empty(t, c.Problems)
	text := string(c.Text)
	e := requireClean(t, c.Text)
	cfg := e.Config
	require.Contains(t, text, "# mine")
	require.Contains(t, text, "/p # why")
	require.Contains(t, text, "# target: removed.")
	require.Equal(t, "/p", cfg.Server.HTTPPathPrefix)
	require.Equal(t, 2*time.Minute, cfg.Limits.QueryTimeout)
	require.Equal(t, RingMemberlist, cfg.Common.Ring.KVStore.Store)
	cache := cfg.ChunkStore.ChunkCacheConfig
	require.True(t, cache.Redis.TLSEnabled)
	dedupe := cfg.ChunkStore.WriteDedupeCacheConfig.Redis
	require.True(t, dedupe.TLSEnabled)
	require.Equal(t, 3, dedupe.DB)
	require.Equal(t, 64, cache.EmbeddedCache.MaxSizeMB)
	require.Equal(t, 2*time.Hour, cache.EmbeddedCache.TTL)
	require.Equal(t, "SSE-S3", cfg.Storage.AWS.SSE.Type)
	require.Len(t, cfg.Schema.Configs, 1, "a period of the future is changed in place")
	require.Equal(t, StoreBoltDBShipper, cfg.Schema.Configs[0].Store)
	again := convert(t, text)
	require.Empty(t, again.Changes, "what is converted needs no change")
}

func TestConvertSaysWhatIsLeft(t *testing.T) {
	c := convert(t, "common: {storage: {gcs: {bucket_name: b}}}\nserver: {http_listen_port: many}\n")
	require.Len(t, c.Problems, 2)
	_, err := Convert("f", []byte("a: [b\n"), false, nil, convertDay)
	require.ErrorContains(t, err, "f:")
	_, err = Convert("f", []byte("- a\n"), false, nil, convertDay)
	require.ErrorContains(t, err, "no mapping")
}

func TestExplainShowsNoSecret(t *testing.T) {
	e := explain("f", []byte("storage_config: {aws: {secret_access_key: hunter2, s3: \"s3://key:hunter2@h/b\"}}\nruler: {alertmanager_url: \"http://u:hunter2@am\"}\n"))
	require.Empty(t, e.Errors)
	other := explain("f", []byte("storage_config: {aws: {secret_access_key: hunter3}}\n"))
	found := false
	for _, d := range Diff(e.Config, other.Config) {
		require.NotContains(t, d.A+d.B, "hunter")
		found = found || d.Path == "storage_config.aws.secret_access_key" && d.B == d.A+" (another)"
	}
	require.True(t, found)
	for _, k := range e.Keys {
		require.NotContains(t, k.Value, "hunter2")
		require.True(t, k.Differs, k.Path)
		require.Equal(t, 1+strings.Count(k.Path, "ruler"), k.Line)
	}
}
