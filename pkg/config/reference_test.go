package config

import (
	"bytes"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// docs/configuration.md is what the code says: go test ./pkg/config -run TestReference -update writes it anew.
func TestReference(t *testing.T) {
	const file = "../../docs/configuration.md"
	var out bytes.Buffer
	require.NoError(t, WriteReference(&out))
	if *update {
		require.NoError(t, os.WriteFile(file, out.Bytes(), 0o644))
	}
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.True(t, bytes.Equal(text, out.Bytes()), "docs/configuration.md is not current: go test ./pkg/config -run TestReference -update")
	for path, row := range lokiRows() {
		k := knownKeys()
		for part := range strings.SplitSeq(path, ".") {
			k = k.child(part)
		}
		if row.new == "<block>" || row.old == "<block>" || !k.open() {
			continue
		}
		if !strings.Contains(out.String(), "`"+path+".") { // else it is a block here
			require.Contains(t, out.String(), path[strings.LastIndexByte(path, '.')+1:]+"`", path)
		}
	}
	require.NotContains(t, out.String(), "redacted")
}

// A key that is read has a sentence about what it does; one that is not has a reason.
func TestEveryKeyIsDescribed(t *testing.T) {
	var walk func(typ reflect.Type, path string)
	walk = func(typ reflect.Type, path string) {
		for _, f := range fieldsOf(typ) {
			p, inner := joinPath(path, f.name), typ.FieldByIndex(f.index).Type
			if inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			if isBlock(inner) {
				walk(inner, p)
				continue
			}
			if unread(p) {
				require.NotEmpty(t, whyNoEffect(p), p)
			} else if Describe(p) == "" {
				t.Errorf("%s is read, and neither flags.txt nor describe.txt says what it does", p)
			}
			if (inner.Kind() == reflect.Slice || inner.Kind() == reflect.Map) && isBlock(inner.Elem()) {
				walk(inner.Elem(), p+"[]")
			}
		}
	}
	walk(reflect.TypeFor[Config](), "")
	for key := range reasons() {
		require.NotNil(t, knownPrefix(key), "noeffect.txt: no key begins with %s", key)
	}
	require.Equal(t, "2.9 to 3.7", Releases("server.http_tls_config.cert_file"))
	require.Equal(t, Describe("storage_config.aws.region"), Describe("storage_config.named_stores.aws.mine.region"))
	require.Empty(t, Releases("logstore.memory_limit"))
}

// knownPrefix returns a key of Loki that begins with a text, or nil.
func knownPrefix(prefix string) *string {
	for path := range lokiRows() {
		if strings.HasPrefix(path, prefix) {
			return &path
		}
	}
	for _, path := range documentedKeys {
		if strings.HasPrefix(path, prefix) {
			return &path
		}
	}
	return nil
}
