package config

import (
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// readHere are keys and blocks that this package reads itself, to fill others.
var readHere = []string{
	"common", "http_prefix", "querier.query_timeout", "querier.engine.timeout", "query_range.split_queries_by_interval",
	"distributor.otlp_config", "limits_config.otlp_config", "limits_config.per_tenant_override_config",
	"limits_config.per_tenant_override_period", "runtime_config", "schema_config", "ruler.storage", "ruler_storage",
	"storage_config.use_thanos_objstore", "storage_config.object_store", "storage_config.named_stores", "storage_config.aws",
	"storage_config.filesystem", "storage_config.boltdb_shipper.shared_store_key_prefix", "storage_config.boltdb_shipper.mode",
	"storage_config.tsdb_shipper.shared_store_key_prefix", "storage_config.tsdb_shipper.mode", "storage_config.object_prefix",
	"compactor.deletion_mode", "compactor.shared_store", "compactor.shared_store_key_prefix",
	"compactor.delete_request_store_db_type", "ingester.lifecycler.interface_names", "ingester.lifecycler.ring.kvstore", "distributor.ring.kvstore",
	"ruler.ring.kvstore", "compactor.compactor_ring.kvstore", "server.log_level", "server.log_format", "target", "logstore.auth.reload_period",
}

// readHereInCaches are the keys below each cache that this package reads itself.
var readHereInCaches = []string{".redis.enable_tls", ".enable_fifocache", ".fifocache"}

// selectors returns the names after a dot in the code of other packages, and in that of pkg/app alone.
func selectors(t *testing.T) (all, app map[string]bool) {
	t.Helper()
	all, app = map[string]bool{}, map[string]bool{}
	selector := regexp.MustCompile(`\.([A-Z]\w*)`)
	err := filepath.WalkDir("..", func(path string, _ fs.DirEntry, err error) error {
		own := strings.HasPrefix(path, "../config/") || strings.HasPrefix(path, "../limits/")
		if err != nil || own || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range selector.FindAllStringSubmatch(string(text), -1) {
			all[m[1]] = true
			if strings.HasPrefix(path, "../app/") {
				app[m[1]] = true
			}
		}
		return err
	})
	require.NoError(t, err)
	return all, app
}

// A key is taken as read if its fields' names occur in other packages, that of its top block in pkg/app. That can be
// wrong for a name like Enabled, so it finds forgotten keys rather than proves anything.
func TestUnreadText(t *testing.T) {
	all, app := selectors(t)
	if len(app) == 0 {
		t.Log("there is no pkg/app beside this package: nothing to compare with")
		return
	}
	isReadHere := func(path string) bool {
		for _, p := range readHere {
			if path == p || strings.HasPrefix(path, p+".") {
				return true
			}
		}
		for _, suffix := range readHereInCaches {
			if strings.HasSuffix(path, suffix) || strings.Contains(path, suffix+".") {
				return true
			}
		}
		return false
	}
	var lines []string
	var walk func(typ reflect.Type, path string) (found []string, whole bool)
	walk = func(typ reflect.Type, path string) (found []string, whole bool) {
		whole = true
		for _, f := range fieldsOf(typ) {
			p, sf := joinPath(path, f.name), typ.FieldByIndex(f.index)
			known := all
			if path == "" {
				known = app
			}
			switch {
			case isReadHere(p):
				whole = false
			case !known[sf.Name]:
				found = append(found, p)
			case isBlock(sf.Type):
				sub, all := walk(sf.Type, p)
				if all {
					sub = []string{p}
				}
				found, whole = append(found, sub...), whole && all
			default:
				whole = false
			}
		}
		return found, whole
	}
	lines, _ = walk(reflect.TypeFor[Config](), "")
	if *update {
		text := "# Keys and blocks that nobody reads yet, see unread.go. Written by TestUnreadText.\n" + strings.Join(lines, "\n") + "\n"
		require.NoError(t, os.WriteFile("unread.txt", []byte(text), 0o644))
		return
	}
	listed := map[string]bool{}
	for _, path := range lines {
		listed[path] = true
		if !unread(path) {
			t.Errorf("%s is read nowhere, and setting it is not reported: go test -run TestUnreadText -update", path)
		}
	}
	for path := range unreadKeys() {
		if !listed[path] && !isReadHere(path) {
			t.Logf("%s may be read now: go test -run TestUnreadText -update", path)
		}
	}
}

func TestUnreadKeysAreReported(t *testing.T) {
	for path := range unreadKeys() {
		require.True(t, hasField(reflect.TypeFor[Config](), path), path)
		require.True(t, unread(path+".x"))
	}
	require.False(t, unread("server.http_listen_port"))
	if path := strings.TrimSpace(firstUnreadScalar()); path != "" {
		s := &Setup{File: "loki.yaml"}
		_, err := s.decode([]byte(fileOf(t, path, defaultOf("1"))))
		require.NoError(t, err)
		require.Equal(t, []string{path}, s.NoEffect)
	}
	require.False(t, unread(""))
}

// firstUnreadScalar returns the first integer of the list, or "".
func firstUnreadScalar() string {
	for line := range strings.Lines(unreadText) {
		if line[0] == '#' {
			continue
		}
		c := Default()
		if v, _ := lookup(reflect.ValueOf(&c).Elem(), strings.TrimSpace(line)); v.Kind() == reflect.Int {
			return line
		}
	}
	return ""
}
