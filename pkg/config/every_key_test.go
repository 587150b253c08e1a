package config

import (
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// defaultOf turns a default of the table into what a file may hold.
func defaultOf(text string) *yaml.Node {
	text = strings.NewReplacer("<path_prefix>", "/loki", "<hostname>", "host-1").Replace(text)
	switch text {
	case "<block>":
		return &yaml.Node{Kind: yaml.MappingNode, Style: yaml.FlowStyle}
	case "[...]":
		return &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
	case "-":
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"}
	case "":
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Style: yaml.DoubleQuotedStyle}
	}
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil || len(doc.Content) == 0 || doc.Content[0].Kind == yaml.MappingNode && text != "{}" {
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text, Style: yaml.DoubleQuotedStyle}
	}
	return doc.Content[0]
}

// fileOf makes a file that sets one key. The keys of a period stand in a whole one.
func fileOf(t *testing.T, path string, value *yaml.Node) string {
	t.Helper()
	list, inPeriod := strings.CutPrefix(path, "schema_config.configs.")
	if inPeriod {
		path = list
	}
	n := value
	for _, name := range slices.Backward(strings.Split(path, ".")) {
		if name == "attributes_config" && n != value {
			n = &yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{n}}
		}
		n = &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{{Kind: yaml.ScalarNode, Value: name}, n}}
	}
	text, err := yaml.Marshal(n)
	require.NoError(t, err)
	if !inPeriod {
		return string(text)
	}
	const period = "schema_config:\n  configs:\n  - "
	rest := regexp.MustCompile(`(?m)^(object_store|store|schema|from|index):`)
	out := strings.ReplaceAll(strings.TrimSpace(string(text)), "\n", "\n    ")
	for key, value := range map[string]string{
		"from": "2024-01-01", "store": "boltdb-shipper", "object_store": "filesystem", "schema": "v12", "index": "{period: 24h}",
	} {
		if m := rest.FindStringSubmatch(string(text)); m == nil || m[1] != key {
			out += "\n    " + key + ": " + value
		}
	}
	if strings.HasPrefix(path, "index.") && path != "index.period" {
		out = strings.Replace(out, "index:\n", "index:\n      period: 24h\n", 1)
		out = strings.ReplaceAll(out, "        ", "      ")
	}
	return period + out
}

// Every key of every release loads with its default, and is either set or named as without effect.
func TestEveryKeyLoads(t *testing.T) {
	// These say nothing with their defaults alone: the other half of a rule is missing.
	incomplete := []string{
		"limits_config.otlp_config.resource_attributes.attributes_config.action",
		"limits_config.otlp_config.resource_attributes.attributes_config.attributes",
		"schema_config.configs", "schema_config.configs.index",
	}
	implemented, ignored := 0, 0
	for _, row := range lokiKeys(t) {
		if slices.Contains(incomplete, row.path) {
			continue
		}
		values := []string{row.new}
		if row.old != row.new {
			values = append(values, row.old)
		}
		for _, value := range values {
			text := fileOf(t, row.path, defaultOf(value))
			s := &Setup{File: "loki.yaml"}
			d, err := s.decode([]byte(text))
			require.NoError(t, err, "%s = %s\n%s", row.path, value, text)
			path := strings.Replace(row.path, "schema_config.configs.", "schema_config.configs[0].", 1)
			_, isSet := d.set[path]
			hasField := hasField(reflect.TypeFor[Config](), row.path)
			if value == "-" && !isSet {
				continue // a block without a value
			}
			named := slices.Contains(foreignKeys(s.NoEffect), path)
			require.Equal(t, hasField, isSet, "%s\n%s", row.path, text)
			require.Equal(t, !hasField, named, "%s %v\n%s", row.path, s.NoEffect, text)
		}
		if hasField(reflect.TypeFor[Config](), row.path) {
			implemented++
		} else {
			ignored++
		}
	}
	t.Logf("%d keys have a field, %d are accepted without effect", implemented, ignored)
}

func hasField(t reflect.Type, path string) bool {
	for name := range strings.SplitSeq(path, ".") {
		for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
			t = t.Elem()
		}
		if t.Kind() == reflect.Map {
			return true
		}
		if t.Kind() != reflect.Struct {
			return false
		}
		f, ok := fieldOf(t, name)
		if !ok {
			return false
		}
		t = t.FieldByIndex(f.index).Type
	}
	return true
}

// deviations are the keys whose default is not Loki's 3.7, and why.
var deviations = map[string]string{
	"common.replication_factor": "1 without gossip", "common.ring.replication_factor": "1 without gossip",
	"ingester.lifecycler.ring.replication_factor":                         "1 without gossip",
	"query_range.cache_results":                                           "results are kept because they are never wrong",
	"ingester.chunk_encoding":                                             "zstd is smaller and faster than gzip",
	"ruler.storage.type":                                                  "a folder that the API may write to",
	"ruler.wal.dir":                                                       "under path_prefix",
	"storage_config.boltdb_shipper.active_index_directory":                "under path_prefix, in any case",
	"storage_config.boltdb_shipper.cache_location":                        "under path_prefix, in any case",
	"ingester.shutdown_marker_path":                                       "path_prefix",
	"schema_config.configs":                                               "a first period that needs no file",
	"storage_config.object_store.filesystem.dir":                          "as storage_config.filesystem.directory",
	"ruler_storage.filesystem.dir":                                        "as the folder of the rules",
	"ruler_storage.local.directory":                                       "as the folder of the rules",
	"compactor.delete_request_store":                                      "that of the last period",
	"common.storage.filesystem.chunks_directory":                          "chunks instead of c, the place-holder of the table",
	"common.storage.filesystem.rules_directory":                           "rules instead of r",
	"storage_config.filesystem.directory":                                 "chunks instead of c",
	"ruler.storage.local.directory":                                       "rules instead of r",
	"tenant_limits_allow_publish":                                         "the list is not in the table",
	"ingester.lifecycler.id":                                              "the ring takes the host's name",
	"common.ring.instance_id":                                             "the ring takes the host's name",
	"limits_config.discover_service_name":                                 "the table has no items of lists",
	"limits_config.log_level_fields":                                      "the table has no items of lists",
	"distributor.otlp_config.default_resource_attributes_as_index_labels": "the table has no items of lists",
	"limits_config.otlp_config.resource_attributes.attributes_config":     "the default rule is not in the list",
}

// What the defaults of implemented keys are must be a decision.
func TestDefaultsAreLokis(t *testing.T) {
	setup, err := Load([]string{"-common.path-prefix=/loki"}, noEnv)
	require.NoError(t, err)
	v := reflect.ValueOf(setup.Config).Elem()
	used := map[string]bool{}
	compared := 0
	for _, row := range lokiKeys(t) {
		want := row.new
		if want == "-" {
			want = row.old
		}
		if want == "-" || want == "<block>" || strings.HasPrefix(row.path, "schema_config.configs.") || !hasField(v.Type(), row.path) ||
			strings.Contains(row.path, "attributes_config.") || strings.Contains(row.path, ".embedded_cache.enabled") {
			continue
		}
		if row.new == "-" && (strings.Contains(row.path, "fifocache") || strings.HasPrefix(row.path, "querier.") ||
			strings.HasPrefix(row.path, "query_range.") || row.path == "compactor.deletion_mode") {
			continue // old places of keys that have a new one
		}
		got, f := lookup(v, row.path)
		compared++
		if same := sameDefault(t, row.path, got, f, want); same == (deviations[row.path] != "") {
			t.Errorf("%s: Loki has %s, here it is %v", row.path, want, got)
		}
		used[row.path] = true
	}
	t.Logf("%d defaults compared", compared)
	require.Greater(t, compared, 500)
	for path := range deviations {
		if !used[path] {
			t.Errorf("%s is not compared", path)
		}
	}
}

func sameDefault(t *testing.T, path string, got reflect.Value, f field, want string) bool {
	t.Helper()
	want = strings.ReplaceAll(want, "<path_prefix>", "/loki")
	switch {
	case got.Kind() == reflect.Pointer || got.Kind() == reflect.Map:
		return got.IsNil() && (want == "" || want == "{}")
	case got.Kind() == reflect.Slice && got.Type().Elem().Kind() != reflect.String:
		return got.Len() == 0 && (want == "[]" || want == "{}")
	case got.Kind() == reflect.Slice:
		want = strings.Trim(strings.ReplaceAll(want, `"`, ""), "[]")
	}
	e := reflect.New(got.Type()).Elem()
	if want != "" {
		require.NoError(t, setScalar(e, f, want), path)
	}
	return scalarText(e, f) == scalarText(got, f)
}
