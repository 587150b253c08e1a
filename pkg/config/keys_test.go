package config

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write keys.txt and the expected texts anew")

// lokiKey is a row of testdata/config-keys.tsv.
type lokiKey struct {
	path     string
	old, new string // the defaults of 2.9 and of 3.7; "-": not in that release
}

func lokiKeys(t testing.TB) []lokiKey {
	t.Helper()
	text, err := os.ReadFile("testdata/config-keys.tsv")
	require.NoError(t, err)
	var rows []lokiKey
	for i, line := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n") {
		columns := strings.Split(line, "\t")
		require.Len(t, columns, 4, line)
		if i > 0 {
			rows = append(rows, lokiKey{path: columns[0], old: columns[2], new: columns[3]})
		}
	}
	require.Len(t, rows, 3658)
	return rows
}

// documentedKeys are keys that Loki's documentation, or Prometheus' for remote write, names beside those of the table.
var documentedKeys = []string{
	"overrides_exporter.ring", "profiling.block_profile_rate", "profiling.cpu_profile_rate", "profiling.mutex_profile_fraction",
	"ruler.remote_write.client.metadata_config", "ruler.remote_write.client.oauth2", "ruler.remote_write.client.azuread",
	"ruler.remote_write.client.google_iam", "ruler.remote_write.client.enable_http2", "ruler.remote_write.client.no_proxy",
	"ruler.remote_write.client.proxy_from_environment", "ruler.remote_write.client.proxy_connect_header",
	"ruler.remote_write.client.protobuf_message", "ruler.remote_write.client.round_robin_dns",
	"ruler.remote_write.client.send_exemplars", "ruler.remote_write.client.send_native_histograms",
	"ruler.remote_write.client.tls_config.ca", "ruler.remote_write.client.tls_config.cert",
	"ruler.remote_write.client.tls_config.key", "ruler.remote_write.client.tls_config.min_version",
	"ruler.remote_write.client.tls_config.max_version", "ruler.remote_write.client.queue_config.sample_age_limit",
}

func TestKeysText(t *testing.T) {
	root := &key{children: map[string]*key{}}
	paths := slices.Clone(documentedKeys)
	for _, row := range lokiKeys(t) {
		paths = append(paths, row.path)
	}
	for _, path := range paths {
		k := root
		for part := range strings.SplitSeq(path, ".") {
			if k.children[part] == nil {
				k.children[part] = &key{children: map[string]*key{}}
			}
			k = k.children[part]
		}
	}
	text := compactKeys(root)
	if *update {
		require.NoError(t, os.WriteFile("keys.txt", []byte(text), 0o644))
	}
	require.True(t, keysText == text, "keys.txt is not current: go test -run TestKeysText -update, and test again")

	for _, row := range lokiKeys(t) {
		k := knownKeys()
		for part := range strings.SplitSeq(row.path, ".") {
			k = k.child(part)
			require.NotNil(t, k, row.path)
		}
	}
}

// compactKeys writes keys as keys.txt has them.
func compactKeys(root *key) string {
	body := map[string]string{} // a block's keys in full, to its number
	count := map[string]int{}
	full := map[*key]string{}
	var measure func(k *key) string
	measure = func(k *key) string {
		var s strings.Builder
		for _, name := range k.names() {
			s.WriteString(name + "{" + measure(k.children[name]) + "}")
		}
		full[k] = s.String()
		count[s.String()]++
		return s.String()
	}
	measure(root)

	var head strings.Builder
	var write func(out *strings.Builder, k *key, indent int)
	ref := func(k *key) string {
		if len(k.children) < 3 || count[full[k]] < 2 {
			return ""
		}
		if number, ok := body[full[k]]; ok {
			return number
		}
		var out strings.Builder
		write(&out, k, 1)
		number := fmt.Sprintf("@%d", len(body)+1)
		body[full[k]] = number
		head.WriteString(number + "\n" + out.String())
		return number
	}
	write = func(out *strings.Builder, k *key, indent int) {
		for _, name := range k.names() {
			child := k.children[name]
			out.WriteString(strings.Repeat(" ", indent) + name)
			if number := ref(child); number != "" {
				out.WriteString(" " + number + "\n")
				continue
			}
			out.WriteString("\n")
			write(out, child, indent+1)
		}
	}
	var out strings.Builder
	write(&out, root, 0)
	return "# The keys of Loki's configuration, see keys.go. Written by TestKeysText.\n" + head.String() + out.String()
}

func TestParseKeysRefusesBadText(t *testing.T) {
	for _, text := range []string{"a\n   b", "a @1", "@1\n  a"} {
		_, err := parseKeys(text)
		require.Error(t, err, text)
	}
}

func TestNearest(t *testing.T) {
	f := func(name, want string, candidates ...string) {
		t.Helper()
		require.Equal(t, want, nearest(name, candidates))
	}
	f("http_listen_prot", "http_listen_port", "http_listen_address", "http_listen_port", "grpc_listen_port")
	f("retention", "retention_period", "retention_period")
	f("xyz", "", "http_listen_port", "abc")
	f("", "", "abcdefg")
	require.Equal(t, 1, editDistance("prot", "port", 9))
	require.Equal(t, 3, editDistance("kitten", "sitting", 9))
	require.True(t, slices.Contains(knownKeys().findEverywhere("retention_period", 9), "limits_config.retention_period"))
}
