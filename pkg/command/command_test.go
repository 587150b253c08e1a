package command

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// testTree has a group with two leaves and a leaf at the top.
func testTree(got *[]string) *Command {
	var loud bool
	var name string
	root := &Command{Name: "store", Summary: "a tree"}
	root.Sub = []*Command{
		{Name: "look", Summary: "look at things", Sub: []*Command{
			{
				Name: "at", Args: "THING...", Summary: "look at a thing",
				Flags: func(f *flag.FlagSet) {
					f.BoolVar(&loud, "loud", false, "say it")
					f.StringVar(&name, "config.file", "none", "`file` to read")
				},
				Run: func(_ context.Context, _ *IO, args []string) error {
					*got = append([]string{fmt.Sprint(loud), name}, args...)
					return nil
				},
			},
			{Name: "away", Summary: "look away", Run: func(context.Context, *IO, []string) error {
				return fmt.Errorf("two things: %w", ErrFindings)
			}},
		}},
		{Name: "fail", Summary: "fail", Run: func(context.Context, *IO, []string) error { return errors.New("no") }},
	}
	root.Sub = append(root.Sub, Completion(root, "store.flag"))
	return root
}

func runTree(t *testing.T, args ...string) (code int, got []string, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = testTree(&got).Main(t.Context(), &IO{Stdout: &out, Stderr: &errs}, args)
	return code, got, out.String(), errs.String()
}

func TestFlagsStandAnywhere(t *testing.T) {
	for _, args := range []string{"-loud -config.file=x a b", "a -loud b --config.file x", "a b -config.file x -loud=true"} {
		code, got, _, stderr := runTree(t, append([]string{"look", "at"}, strings.Fields(args)...)...)
		require.Equal(t, ExitOK, code, stderr)
		require.Equal(t, []string{"true", "x", "a", "b"}, got, args)
	}
	_, got, _, _ := runTree(t, "look", "at", "--", "-loud", "x")
	require.Equal(t, []string{"false", "none", "-loud", "x"}, got)
	_, got, _, _ = runTree(t, "look", "at", "a", "--", "-loud")
	require.Equal(t, []string{"false", "none", "a", "-loud"}, got)
}

func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		args string
		code int
		text string
	}{
		{"fail", ExitFailure, "store fail: no\n"},
		{"look away", ExitFindings, "store look away: two things: something is wrong\n"},
		{"look", ExitOK, ""},
		{"look up", ExitUsage, "store look: there is no command \"up\", only at, away\nSee store look -help.\n"},
		{"look at -lou", ExitUsage, "store look at: flag provided but not defined: -lou\nSee store look at -help.\n"},
		{"fail more", ExitUsage, "store fail: unexpected argument \"more\"\nSee store fail -help.\n"},
		{"-x", ExitUsage, "store: unknown flag -x: a command comes first\nSee store -help.\n"},
	} {
		code, _, _, stderr := runTree(t, strings.Fields(c.args)...)
		require.Equal(t, c.code, code, c.args)
		require.Equal(t, c.text, stderr, c.args)
	}
}

func TestHelp(t *testing.T) {
	for _, args := range []string{"look at -help", "help look at", "look help at", "look at x -h"} {
		code, got, stdout, stderr := runTree(t, strings.Fields(args)...)
		require.Equal(t, ExitOK, code, stderr)
		require.Nil(t, got)
		require.Contains(t, stdout, "Usage: store look at [flags] THING...\n\nLook at a thing.\n", args)
		require.Contains(t, stdout, "-config.file file        file to read (default none)\n")
	}
	_, _, stdout, _ := runTree(t, "help")
	require.Contains(t, stdout, "  look at                  look at a thing\n")
	require.Contains(t, stdout, "  fail ")
}

func TestCompletion(t *testing.T) {
	code, _, script, _ := runTree(t, "completion", "bash")
	require.Equal(t, ExitOK, code)
	for line, want := range map[string]string{
		"store ":           "look fail completion -help -store.flag",
		"store lo":         "look",
		"store look ":      "at away -help",
		"store look at -l": "-loud",
		"store fail -":     "-help",
		"store nothing ":   "",
		"store -s":         "-store.flag",
		// Arguments and values are no commands.
		"store look at thing -config.file x -l": "-loud",
		"store -loud look a":                    "at away",
	} {
		words := strings.Split(line, " ")
		body := script + "\nCOMP_WORDS=(" + strings.Join(words[:len(words)-1], " ") + ` "` + words[len(words)-1] + `")` +
			fmt.Sprintf("\nCOMP_CWORD=%d\n_store\necho ${COMPREPLY[@]}\n", len(words)-1)
		out, err := exec.Command("bash", "-c", body).CombinedOutput()
		require.NoError(t, err, string(out))
		require.Equal(t, want, strings.TrimSpace(string(out)), line)
	}
	for _, shell := range []string{"zsh", "fish"} {
		code, _, script, _ := runTree(t, "completion", shell)
		require.Equal(t, ExitOK, code)
		require.Contains(t, script, "-config.file")
	}
	code, _, _, _ = runTree(t, "completion", "tcsh")
	require.Equal(t, ExitUsage, code)
}

func TestProgress(t *testing.T) {
	var out bytes.Buffer
	quiet := &IO{Stderr: &out}
	p := quiet.Progress("reading", 3)
	p.Add(1)
	p.End()
	require.Empty(t, out.String(), "nothing is drawn where nobody watches")

	p = (&IO{Stderr: &out, Terminal: true}).Progress("reading", 4)
	p.Add(1)
	require.Equal(t, "\rreading: 1 of 4 (25%)", out.String())
	p.End()
	require.True(t, strings.HasSuffix(out.String(), "\r"), "the line is taken away")
}

func TestTable(t *testing.T) {
	var out bytes.Buffer
	o := &IO{Stdout: &out}
	require.NoError(t, o.Table([]string{"day", "chunks"}, []string{"2026-01-10", "3"}))
	require.Equal(t, "day         chunks\n2026-01-10  3\n", out.String())
	out.Reset()
	require.NoError(t, o.JSON(map[string]string{"a": "<b>"}))
	require.Equal(t, "{\n  \"a\": \"<b>\"\n}\n", out.String())
}
