package config

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestFlagBeatsFileBeatsDefault(t *testing.T) {
	const text = "server: {http_listen_port: 1, grpc_listen_port: 2}\nlimits_config: {max_line_size: 1MB}\nmemberlist: {join_members: [x]}"
	setup, err := loadText(t, text, "-server.http-listen-port=3", "-distributor.max-line-size", "2MB", "-memberlist.join=a,b",
		"-memberlist.join=c", "-auth.enabled=false", "-querier.multi-tenant-queries-enabled", "-ingester.chunk-idle-period=1d",
		"-log.level=debug", "-log.format=json", "-target=all")
	require.NoError(t, err)
	c := setup.Config
	require.Equal(t, 3, c.Server.HTTPListenPort)
	require.Equal(t, 2, c.Server.GRPCListenPort)
	require.Equal(t, 30*time.Second, c.Server.HTTPServerReadTimeout)
	require.Equal(t, 2<<20, c.Limits.MaxLineSize)
	require.Equal(t, []string{"a", "b", "c"}, c.Memberlist.JoinMembers)
	require.False(t, c.AuthEnabled)
	require.True(t, c.Querier.MultiTenantQueriesEnabled)
	require.Equal(t, day, c.Ingester.ChunkIdlePeriod)
	require.Equal(t, "debug", c.Server.LogLevel)
	require.Equal(t, "json", c.Server.LogFormat)
}

func TestFlagsTakePartInWhatFollows(t *testing.T) {
	setup, err := Load([]string{"-common.path-prefix=/data", "-common.storage.s3.buckets=b", "-memberlist.join=a"}, noEnv)
	require.NoError(t, err)
	require.Equal(t, "/data/wal", setup.Config.Ingester.WAL.Dir)
	require.Equal(t, "b", setup.Config.Storage.AWS.BucketNames)
	require.Equal(t, RingMemberlist, setup.Config.Ingester.Lifecycler.Ring.KVStore.Store)
}

func TestBadCommandLines(t *testing.T) {
	f := func(want string, args ...string) {
		t.Helper()
		_, err := Load(args, noEnv)
		require.EqualError(t, err, want)
	}
	f(`flag -target: target: the target "read" is not supported, only all: each member does everything; start as many equal members as you need`, "-target=read")
	f("unknown flag -server.http-listen-prot, did you mean -server.http-listen-port?", "-server.http-listen-prot=1")
	f("unknown flag -zzzzzzzzzz, see -help", "-zzzzzzzzzz")
	f(`unexpected argument "extra": only flags are allowed, see -help`, "-log.level=info", "extra")
	f(`flag -server.http-listen-port: server.http_listen_port: "x" is not allowed, only an integer`, "-server.http-listen-port=x")
	f(`flag -log.level: server.log_level: "loud" is not allowed, only one of debug, info, warn, error`, "-log.level=loud")
	f(`flag -server.http-listen-port: server.http_listen_port: 99999 is no port (0 to 65535)`, "-server.http-listen-port=99999")
	f("flag -ring.store: ingester.lifecycler.ring.kvstore.store: a ring in \"etcd\" is not supported, only memberlist (several members) "+
		"or inmemory (one member)", "-ring.store=etcd")
	_, err := Load([]string{"-config.file"}, noEnv)
	require.ErrorContains(t, err, "flag needs an argument: -config.file")
}

func TestCommands(t *testing.T) {
	for _, c := range []struct {
		arg string
		get func(*Setup) bool
	}{
		{"-help", func(s *Setup) bool { return s.Help }},
		{"-h", func(s *Setup) bool { return s.Help }},
		{"-version", func(s *Setup) bool { return s.Version }},
		{"-list-targets", func(s *Setup) bool { return s.ListTargets }},
		{"-verify-config", func(s *Setup) bool { return s.VerifyOnly }},
		{"-print-config-stderr", func(s *Setup) bool { return s.PrintConfig }},
	} {
		setup, err := Load([]string{c.arg}, noEnv)
		require.NoError(t, err)
		require.True(t, c.get(setup), c.arg)
	}
	setup, err := Load([]string{"-help", "-config.file=none"}, noEnv)
	require.NoError(t, err, "help never fails")
	require.Nil(t, setup.Config)
}

// Every key that is not within a list or a map has a flag, but for keys that stand for others.
func TestEveryFieldHasAFlag(t *testing.T) {
	has := map[string]bool{}
	flags := map[string]bool{}
	for _, def := range flagDefs() {
		require.False(t, has[def.key], "%s stands twice", def.key)
		has[def.key] = true
		require.NotEmpty(t, def.group, def.key)
		require.NotEmpty(t, def.help, def.key)
		for _, name := range def.flags {
			require.False(t, flags[name], "flag %s stands twice", name)
			flags[name] = true
		}
	}
	old := []string{
		"fifocache", "enable_tls", "sse_encryption", "querier.engine.timeout", "querier.query_timeout", "compactor.deletion_mode",
		"query_range.split_queries_by_interval", "per_tenant_override",
	}
	var walk func(v reflect.Type, path string)
	walk = func(v reflect.Type, path string) {
		for _, f := range fieldsOf(v) {
			p, e := joinPath(path, f.name), v.FieldByIndex(f.index).Type
			isOld := false
			for _, part := range old {
				isOld = isOld || strings.Contains(p, part)
			}
			switch {
			case isBlock(e):
				walk(e, p)
			case isOld, e.Kind() == reflect.Map, e.Kind() == reflect.Pointer, e.Kind() == reflect.Slice && e.Elem().Kind() != reflect.String:
			default:
				require.True(t, has[p], "%s has no flag", p)
			}
		}
	}
	walk(reflect.TypeFor[Config](), "")
}

func TestUsage(t *testing.T) {
	var out strings.Builder
	require.NoError(t, Usage(&out))
	text := out.String()
	for _, want := range []string{
		"-config.file ", "Limits: push:\n", "-server.http-listen-port   Port of the HTTP API. (default 3100)",
		"-PREFIXredis.endpoint", "frontend.volume-results-cache.",
	} {
		require.Contains(t, text, want)
	}
	for line := range strings.SplitSeq(text, "\n") {
		require.LessOrEqual(t, len(line), 125, line)
	}
	require.Equal(t, 1, strings.Count(text, "redis.sentinels")+strings.Count(text, "redis.master-name"))
}

func TestParseFlagDefsRefusesBadText(t *testing.T) {
	for _, text := range []string{"use nothing a.", "key flag"} {
		_, err := parseFlagDefs(text)
		require.Error(t, err, text)
	}
}
