package config

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func noEnv(string) (string, bool) { return "", false }

// loadText loads a configuration file with a text.
func loadText(t testing.TB, text string, args ...string) (*Setup, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "loki.yaml")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	setup, err := Load(append([]string{"-config.file=" + file}, args...), noEnv)
	return setup, err
}

// foreignKeys leaves out keys that have a field which nobody reads yet: those change as packages come.
func foreignKeys(keys []string) []string {
	return slices.DeleteFunc(slices.Clone(keys), func(path string) bool {
		return unread(path) && hasField(reflect.TypeFor[Config](), indexes.ReplaceAllString(path, ""))
	})
}

var indexes = regexp.MustCompile(`\[\d+\]`)

func mustLoad(t testing.TB, file string) *Setup {
	t.Helper()
	setup, err := Load([]string{"-config.file=" + file}, noEnv)
	require.NoError(t, err)
	return setup
}

// Each bad file stands beside the text of its error.
func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.bad.yml")
	require.NoError(t, err)
	require.Greater(t, len(files), 15)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			setup, err := Load([]string{"-config.file=" + file}, noEnv)
			require.Error(t, err)
			require.Nil(t, setup)
			got := strings.ReplaceAll(err.Error(), "testdata/bad/", "") + "\n"
			require.NotContains(t, got, "hush")
			golden := strings.TrimSuffix(file, ".yml") + ".txt"
			if *update {
				require.NoError(t, os.WriteFile(golden, []byte(got), 0o644))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			require.Equal(t, string(want), got)
		})
	}
}

func TestQuirks(t *testing.T) {
	setup := mustLoad(t, "testdata/good/quirks.good.yml")
	c := setup.Config
	require.False(t, c.AuthEnabled)
	require.Equal(t, 3101, c.Server.HTTPListenPort)
	require.Equal(t, 100<<20, c.Server.GRPCMaxRecvMsgSize)
	require.Equal(t, 10*time.Minute, c.Server.HTTPServerReadTimeout)
	require.Equal(t, []string{"0.0.0.0"}, c.Memberlist.BindAddr)
	require.Equal(t, []string{"loki-1", "loki-2"}, c.Memberlist.JoinMembers)
	require.Equal(t, 1500000, c.Ingester.ChunkTargetSize)
	require.Equal(t, day, c.Ingester.MaxChunkAge)
	require.True(t, c.Ingester.WAL.Enabled, "an empty block keeps its defaults")
	require.Equal(t, 7*day, c.Limits.RejectOldSamplesMaxAge)
	require.Zero(t, c.Limits.MaxQueryLength)
	require.Equal(t, 4<<20, c.Limits.MaxLineSize)
	require.Equal(t, 5000000, c.Limits.PerStreamRateLimit)
	require.Equal(t, 7*day, c.Limits.RetentionStream[0].Period)
	require.Empty(t, c.Limits.DiscoverServiceName)
	require.Equal(t, "s3://AKIA:se/cr+et@with:colon@minio.:9000/bucket", c.Storage.AWS.S3)

	require.Equal(t, 3*time.Minute, c.Limits.QueryTimeout, "from querier.engine.timeout")
	require.Equal(t, 15*time.Minute, c.Limits.SplitQueriesByInterval, "from query_range")
	require.Equal(t, "filter-and-delete", c.Limits.DeletionMode)
	cache := c.QueryRange.ResultsCache.Cache.EmbeddedCache
	require.Equal(t, EmbeddedCache{Enabled: true, MaxSizeMB: 500, TTL: day}, cache)

	require.Len(t, c.Schema.Configs, 3)
	require.Equal(t, time.Date(2024, 1, 2, 0, 0, 0, 0, time.UTC), c.Schema.Configs[1].From)
	require.Equal(t, 16, c.Schema.Configs[0].RowShards)
	require.Equal(t, "tables/", c.Schema.Configs[0].Index.PathPrefix, "from shared_store_key_prefix")
	require.Equal(t, "index/", c.Schema.Configs[1].Index.PathPrefix, "tsdb has its own")
	require.Equal(t, "v9", c.Schema.At(time.Date(2023, 1, 1, 0, 0, 0, 0, time.UTC)).Schema)
	require.Equal(t, "v13", c.Schema.At(time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)).Schema)
	require.Nil(t, c.Schema.At(time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)))

	require.Equal(t, []string{
		"ballast_bytes", "chunk_store_config.max_look_back_period", "ingester.max_transfer_retries",
		"limits_config.enforce_metric_name", "storage_config.boltdb.directory",
		"table_manager.index_tables_provisioning.inactive_write_throughput", "table_manager.retention_deletes_enabled",
		"table_manager.retention_period",
	}, foreignKeys(setup.NoEffect))
	require.Equal(t, []string{
		"limits_config.retention_period and retention_stream delete nothing while compactor.retention_enabled is false",
	}, setup.Warnings)
}

func TestMergedMappings(t *testing.T) {
	c := mustLoad(t, "testdata/good/merge.good.yml").Config
	require.Equal(t, "s3://us-east-1/rules", c.Ruler.Storage.S3.S3)
	require.True(t, c.Ruler.Storage.S3.S3ForcePathStyle)
}

func TestNamedStores(t *testing.T) {
	c := mustLoad(t, "testdata/good/named-stores.good.yml").Config
	disk, err := c.ObjectStore("disk")
	require.NoError(t, err)
	require.Equal(t, ObjectStore{Kind: KindFilesystem, Directory: "/disk"}, disk)
	cold, err := c.ObjectStore("cold")
	require.NoError(t, err)
	require.Equal(t, "cold", cold.S3.BucketNames)
	require.Equal(t, 5, cold.S3.BackoffConfig.MaxRetries, "a named store has the defaults, too")
	_, err = c.ObjectStore("gcs")
	require.ErrorContains(t, err, `the object store "gcs" is not supported`)
}

func TestCommonBlock(t *testing.T) {
	setup := mustLoad(t, "testdata/good/common-s3.good.yml")
	c := setup.Config
	require.Empty(t, foreignKeys(setup.NoEffect))
	require.Equal(t, "hush", c.Storage.AWS.SecretAccessKey)
	require.Equal(t, "hush", c.Ruler.Storage.S3.SecretAccessKey)
	require.Equal(t, "s3", c.Ruler.Storage.Type)
	require.Equal(t, "/loki/wal", c.Ingester.WAL.Dir)
	require.Equal(t, "/loki/boltdb-shipper-active", c.Storage.BoltDBShipper.ActiveIndexDirectory)
	require.Equal(t, "/loki/boltdb-shipper-cache", c.Storage.BoltDBShipper.CacheLocation)
	require.Equal(t, "/loki/compactor", c.Compactor.WorkingDirectory)
	require.Equal(t, "/loki/rules-temp", c.Ruler.RulePath)
	life := c.Ingester.Lifecycler
	require.Equal(t, 3, life.Ring.ReplicationFactor)
	require.Equal(t, RingMemberlist, life.Ring.KVStore.Store)
	require.Equal(t, RingMemberlist, c.Compactor.CompactorRing.KVStore.Store)
	require.Equal(t, 2*time.Minute, life.Ring.HeartbeatTimeout)
	require.Equal(t, "10.0.0.7", life.Address)
	require.Equal(t, "10.0.0.7", c.Memberlist.AdvertiseAddr)
	require.Equal(t, "/loki/ingester.tokens", life.TokensFilePath)
	require.Equal(t, "s3", c.Compactor.DeleteRequestStore)
}

func TestOldPlaces(t *testing.T) {
	c := mustLoad(t, "testdata/good/old-memberlist.good.yml").Config
	require.Equal(t, []string{"a"}, c.Memberlist.JoinMembers)
	require.Equal(t, 7947, c.Memberlist.BindPort)
	require.Equal(t, 30*time.Second, c.Memberlist.GossipToDeadNodesTime)
	require.Equal(t, "overrides.yaml", c.RuntimeConfig.File, "the new key beats the old one")
	require.Equal(t, 3, c.Ingester.Lifecycler.Ring.ReplicationFactor, "Loki's default with gossip")
}

func TestWithoutFile(t *testing.T) {
	setup, err := Load(nil, noEnv)
	require.NoError(t, err)
	c := setup.Config
	require.Empty(t, foreignKeys(setup.NoEffect))
	require.Empty(t, setup.Warnings)
	require.False(t, c.AuthEnabled)
	require.Equal(t, "zstd", c.Ingester.ChunkEncoding)
	require.Equal(t, []string{"data/wal", "data/index", "data/index-cache", "data/compactor", "data/chunks", "data/rules"}, []string{
		c.Ingester.WAL.Dir, c.Storage.BoltDBShipper.ActiveIndexDirectory, c.Storage.BoltDBShipper.CacheLocation,
		c.Compactor.WorkingDirectory, c.Storage.Filesystem.Directory, c.Ruler.Storage.Local.Directory,
	})
	require.Equal(t, 1, c.Ingester.Lifecycler.Ring.ReplicationFactor)
	require.Equal(t, RingInMemory, c.Ingester.Lifecycler.Ring.KVStore.Store)
	store, writable, err := c.RulerStore()
	require.NoError(t, err)
	require.True(t, writable)
	require.Equal(t, "data/rules", store.Directory)
	require.Equal(t, "v13", c.Schema.At(time.Now()).Schema)
	require.True(t, c.Limits.AllowStructuredMetadata)

	for _, file := range []string{"empty", "comment"} {
		c := mustLoad(t, "testdata/good/"+file+".good.yml").Config
		require.True(t, c.AuthEnabled, "Loki's default once there is a file")
		require.Equal(t, "v13", c.Schema.Configs[0].Schema)
	}
}

func TestFirstFileThatExists(t *testing.T) {
	setup := mustLoad(t, "testdata/none.yml,testdata/good/merge.good.yml,testdata/bad/types.bad.yml")
	require.Equal(t, "testdata/good/merge.good.yml", setup.File)
	_, err := Load([]string{"-config.file=a.yml,b.yml"}, noEnv)
	require.EqualError(t, err, "cannot read configuration: there is no file a.yml, nor b.yml")
	_, err = Load([]string{"-config.file=testdata"}, noEnv)
	require.ErrorContains(t, err, "cannot read configuration: ")
}

func TestClusterFile(t *testing.T) {
	setup, err := Load([]string{"-config.file=testdata/loki/cluster.yaml", "-config.expand-env=true"}, lokiEnv)
	require.NoError(t, err)
	require.Empty(t, foreignKeys(setup.NoEffect))
	c := setup.Config
	require.False(t, c.AuthEnabled)
	require.Equal(t, "s3://AKIAEXAMPLE:s3cr/et+with@sign=@minio.:9000/loki", c.Storage.AWS.S3)
	require.Equal(t, "redis:6379", c.ChunkStore.ChunkCacheConfig.Redis.Endpoint)
	require.False(t, c.ChunkStore.ChunkCacheConfig.EmbeddedCache.Enabled)
	require.Equal(t, 2, c.Ingester.Lifecycler.Ring.ReplicationFactor)
	require.Equal(t, RingMemberlist, c.Distributor.Ring.KVStore.Store, "there are members to join")
	require.Equal(t, []string{"0.0.0.0"}, c.Memberlist.BindAddr)
	store, writable, err := c.RulerStore()
	require.NoError(t, err)
	require.True(t, writable)
	require.True(t, store.S3.HTTPConfig.InsecureSkipVerify)
}

func TestConformanceFiles(t *testing.T) {
	c := mustLoad(t, "testdata/loki/conformance-loki.yaml").Config
	require.True(t, c.AuthEnabled)
	require.True(t, c.Querier.MultiTenantQueriesEnabled)
	require.Zero(t, c.Querier.QueryIngestersWithin)
	_, writable, err := c.RulerStore()
	require.NoError(t, err)
	require.False(t, writable)
	chunks, err := c.ObjectStore("filesystem")
	require.NoError(t, err)
	require.Equal(t, "/tmp/conform/chunks", chunks.Directory)

	c = mustLoad(t, "testdata/loki/conformance-loki-limits.yaml").Config
	store, writable, err := c.RulerStore()
	require.NoError(t, err)
	require.True(t, writable)
	require.Equal(t, ObjectStore{Kind: KindFilesystem, Directory: "/tmp/conform-limits/rules"}, store)
	require.Equal(t, "loki-limits-overrides.yaml", c.RuntimeConfig.File)
	require.Equal(t, "filesystem", c.Compactor.DeleteRequestStore)
}
