package config

import (
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"logstore/pkg/limits"
)

// fillSecrets puts a marker into every field that may hold a secret, in every list and map, and counts them.
func fillSecrets(v reflect.Value, f field) int {
	switch {
	case v.Kind() == reflect.Pointer && isBlock(v.Type().Elem()):
		v.Set(reflect.New(v.Type().Elem()))
		return fillSecrets(v.Elem(), f)
	case isBlock(v.Type()):
		n := 0
		for _, f := range fieldsOf(v.Type()) {
			n += fillSecrets(v.FieldByIndex(f.index), f)
		}
		return n
	case v.Kind() == reflect.Map:
		e := reflect.New(v.Type().Elem()).Elem()
		n := fillSecrets(e, f)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("name"), e)
		return n
	case v.Kind() == reflect.Slice && isBlock(v.Type().Elem()):
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		return fillSecrets(v.Index(0), f)
	case v.Kind() == reflect.String && f.secret:
		v.SetString("hush")
		return 1
	case v.Kind() == reflect.String:
		// An address in any other field must not show its password either.
		v.SetString("redis://user:hu@sh/hush@host:1/x?password=hush&token=hush")
		if f.url {
			v.SetString("user:hu@sh/hush@host:1")
		}
		return 1
	}
	return 0
}

func TestSecretsAreNeverShown(t *testing.T) {
	var c Config
	require.Greater(t, fillSecrets(reflect.ValueOf(&c).Elem(), field{}), 200)
	for _, mode := range []string{ModeEffective, ModeDiff} {
		var out strings.Builder
		require.NoError(t, c.WriteYAML(&out, mode))
		for line := range strings.SplitSeq(out.String(), "\n") {
			if strings.Contains(line, "hush") || strings.Contains(line, "//user:") || strings.Contains(line, " user:") {
				t.Fatalf("mode %q shows a secret: %s", mode, line)
			}
		}
		require.True(t, strings.Contains(out.String(), "secret_access_key: <redacted>"))
		require.True(t, strings.Contains(out.String(), "s3: <redacted>@host:1"))
	}
}

// A field whose name says that it is secret must have the option.
func TestSecretsAreMarked(t *testing.T) {
	var walk func(t reflect.Type, path string)
	walk = func(typ reflect.Type, path string) {
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice || typ.Kind() == reflect.Map {
			typ = typ.Elem()
		}
		if !isBlock(typ) {
			return
		}
		for _, f := range fieldsOf(typ) {
			p := joinPath(path, f.name)
			sounds := false
			for _, word := range []string{"password", "secret", "credentials", "bearer_token", "session_token", "headers"} {
				sounds = sounds || strings.Contains(f.name, word)
			}
			sounds = sounds && !strings.HasSuffix(f.name, "_file")
			require.Equal(t, sounds || strings.HasSuffix(p, "tls_config.key"), f.secret, p)
			if strings.HasSuffix(f.name, "url") || f.name == "endpoint" {
				require.True(t, f.url, p)
			}
			walk(typ.FieldByIndex(f.index).Type, p)
		}
	}
	walk(reflect.TypeFor[Config](), "")
}

func TestSecretsInErrorsAndFlags(t *testing.T) {
	f := func(text string, args ...string) {
		t.Helper()
		_, err := loadText(t, text, args...)
		require.Error(t, err)
		require.NotContains(t, err.Error(), "hush", text)
	}
	f("storage_config: {aws: {secret_access_key: [hush]}}")
	f("storage_config: {aws: {secret_access_key: *hush}}")
	f("storage_config: {aws: {secret_access_key: 'hush}}")
	f("storage_config: {aws: {secret_access_key: @hush}}")
	f("storage_config: {aws: {secret_access_key: %hush}}")
	f("storage_config: {aws: {secret_access_key: \"\\hush\"}}")
	f("storage_config: {aws: {s3: s3://k:hush@h/b, insecure: s3://k:hush@h/b}}")
	f("ruler: {remote_write: {clients: {a: {headers: hush}}}}")
	f("ruler: {remote_write: {clients: {a: {basic_auth: 'user:hush'}}}}")
	f("limits_config: {ruler_remote_write_headers: hush}")
	f("ruler: {alertmanager_url: 'http://u:hush@h:1:2'}")
	f("", "-ruler.alertmanager-url=ftp://u:hush@h")
	f("", "-server.http-listen-port=redis://u:hush@h")
}

func TestWriteYAMLCanBeReadBack(t *testing.T) {
	for _, file := range []string{"testdata/good/quirks.good.yml", "testdata/good/named-stores.good.yml", "testdata/loki/conformance-loki.yaml"} {
		c := mustLoad(t, file).Config
		c.Storage.AWS.S3 = "s3://us-east-1/bucket" // its secret would be missing
		c.HTTPPrefix = ""
		var out, again strings.Builder
		require.NoError(t, c.WriteYAML(&out, ModeEffective))
		setup, err := loadText(t, out.String())
		require.NoError(t, err, out.String())
		require.Empty(t, foreignKeys(setup.NoEffect))
		require.NoError(t, setup.Config.WriteYAML(&again, ModeEffective))
		require.Equal(t, out.String(), again.String())
	}
}

func TestModes(t *testing.T) {
	setup, err := Load([]string{"-server.http-listen-port=1", "-distributor.max-line-size=1KB"}, noEnv)
	require.NoError(t, err)
	write := func(mode string) string {
		var out strings.Builder
		require.NoError(t, setup.Config.WriteYAML(&out, mode))
		return out.String()
	}
	require.Equal(t, "server:\n  http_listen_port: 1\nlimits_config:\n  max_line_size: 1KB\n", write(ModeDiff))
	require.Contains(t, write(ModeDefaults), "  http_listen_port: 3100\n")
	require.Contains(t, write(ModeEffective), "  http_listen_port: 1\n")
	require.ErrorContains(t, setup.Config.WriteYAML(&strings.Builder{}, "dif"), `unknown mode "dif"`)

	setup, err = Load(nil, noEnv)
	require.NoError(t, err)
	require.Equal(t, "{}\n", write(ModeDiff))
	require.NotEqual(t, limits.Limits{}, setup.Config.Limits.Limits)
}
