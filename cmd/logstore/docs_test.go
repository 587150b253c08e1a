package main

import (
	"bytes"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write docs/command-line.md anew")

const commandLineHead = "# Command line\n\n" +
	"<!-- Written by go test ./cmd/logstore -run TestCommandLineDocument -update; do not edit. -->\n\n" +
	"`logstore` without a command runs the store; its flags are in [configuration.md](configuration.md). With a command it is a tool: it asks a\n" +
	"running store, whichever speaks Loki's API, with the flags and variables of logcli; or it works on a bucket and on local folders.\n" +
	"Flags begin with one dash or two and stand before or behind the arguments. `logstore COMMAND -help` shows what is below.\n\n" +
	"Results go to the standard output; notes, progress and errors go to the standard error. Exit codes: 0 done, whether something was found\n" +
	"or not; 1 it could not be done; 2 bad command line or configuration; 3 done, and something is wrong: findings of a check, differences,\n" +
	"lines that a store refused, nothing found with `-fail-if-empty`.\n\n" +
	"```sh\nexport LOKI_ADDR=http://localhost:3100\n" +
	"echo 'level=info msg=\"it works\" took=12ms' | logstore push -label app=hello\n" +
	"logstore query '{app=\"hello\"} | logfmt | took > 10ms'\n" +
	"logstore query -output=table -step=1m 'sum by (app) (count_over_time({app=~\".+\"}[1m]))'\n" +
	"logstore tail '{app=\"hello\"}'\n```\n\n" +
	"Words are completed by `source <(logstore completion bash)`, or zsh, or `logstore completion fish | source`.\n\n"

// docs/command-line.md is what -help says.
func TestCommandLineDocument(t *testing.T) {
	const file = "../../docs/command-line.md"
	var out bytes.Buffer
	out.WriteString(commandLineHead)
	require.NoError(t, commands().WriteMarkdown(&out))
	if *update {
		require.NoError(t, os.WriteFile(file, out.Bytes(), 0o644))
	}
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.True(t, bytes.Equal(text, out.Bytes()), "docs/command-line.md is not current: go test ./cmd/logstore -run TestCommandLineDocument -update")
	for _, word := range []string{"logstore query", "logstore config convert", "-bearer-token-file", "$LOKI_ADDR"} {
		require.Contains(t, string(text), word)
	}
}

func TestVersionAndCompletion(t *testing.T) {
	var command, flags bytes.Buffer
	require.Equal(t, 0, run([]string{"version"}, &command, &command))
	require.Equal(t, 0, run([]string{"-version"}, &flags, &flags))
	require.Equal(t, flags.String(), command.String())
	for _, shell := range []string{"bash", "zsh", "fish"} {
		var out bytes.Buffer
		require.Equal(t, 0, run([]string{"completion", shell}, &out, &out))
		for _, word := range []string{"detected-fields", "config convert", "-parallel-max-workers", "-server.http-listen-port", "-config.file"} {
			require.Contains(t, out.String(), word, shell)
		}
	}
	var help bytes.Buffer
	require.Equal(t, 0, run([]string{"-help"}, &help, &help))
	for _, name := range []string{"query", "tail", "push", "config check"} {
		require.True(t, strings.Contains(help.String(), "\n  "+name+" "), name)
	}
}
