package config

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestExpandEnv(t *testing.T) {
	env := func(name string) (string, bool) {
		value, ok := map[string]string{"A": "alpha", "EMPTY": "", "_x1": "under", "DOLLAR": "$A ${A}"}[name]
		return value, ok
	}
	f := func(in, want string) {
		t.Helper()
		got, err := expandEnv(in, env)
		require.NoError(t, err, in)
		require.Equal(t, want, got, in)
	}
	f("", "")
	f("no variables", "no variables")
	f("${A}", "alpha")
	f("a: ${A}/${A}", "a: alpha/alpha")
	f("${NONE}", "")
	f("${NONE:default}", "default")
	f("${NONE:-default}", "default")
	f("${NONE:redis:6379}", "redis:6379")
	f("${NONE:}", "")
	f("${EMPTY:default}", "default")
	f("${A:default}", "alpha")
	f("$A.", "alpha.")
	f("$NONE", "$NONE")
	f("pa$word", "pa$word")
	f("$_x1", "under")
	f("$1 ${1} $", "$1 ${1} $")
	f("$$", "$$")
	f("$$A $${A}", "$A ${A}")
	f("${DOLLAR}", "$A ${A}") // values are not expanded again
	f("${A b}", "${A b}")
	f("{{ $x }}", "{{ $x }}")
	_, err := expandEnv("a\nb ${A\n}", env)
	require.EqualError(t, err, "line 2: ${ has no closing brace")
}

func TestExpandEnvOnlyWhenAsked(t *testing.T) {
	const text = "server: {http_listen_address: '${HOST:here}'}"
	setup, err := loadText(t, text)
	require.NoError(t, err)
	require.Equal(t, "${HOST:here}", setup.Config.Server.HTTPListenAddress)
	setup, err = loadText(t, text, "-config.expand-env")
	require.NoError(t, err)
	require.Equal(t, "here", setup.Config.Server.HTTPListenAddress)
	_, err = loadText(t, "a: ${", "-config.expand-env")
	require.ErrorContains(t, err, "loki.yaml: line 1: ${ has no closing brace")
}
