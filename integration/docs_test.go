package integration

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// documents are the pages that people read, by their path from the top of the checkout.
func documents(t *testing.T) map[string]string {
	t.Helper()
	pages := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md", "deploy/*/*.md", "deploy/*/*/*.md", "bench/*.md"} {
		paths, err := filepath.Glob(filepath.Join(root, pattern))
		require.NoError(t, err)
		for _, path := range paths {
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			name, err := filepath.Rel(root, path)
			require.NoError(t, err)
			pages[filepath.ToSlash(name)] = string(text)
		}
	}
	require.Contains(t, pages, "docs/README.md")
	return pages
}

// shellBlocks returns the commands of a page that are to be run, in order.
func shellBlocks(page string) []string {
	var blocks []string
	for _, m := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(page, -1) {
		blocks = append(blocks, m[1])
	}
	return blocks
}

// TestDocsCommands runs the commands of the pages in the order in which they stand there, each page in a copy of the checkout.
func TestDocsCommands(t *testing.T) {
	pages := documents(t)
	for name, want := range map[string][]string{
		"docs/getting-started.md": {
			`"level=error msg=\"card refused\" user=9 took=230ms"`, `"metric":{"app":"shop"},"value":`, "card refused", "numbers",
			`"metric":{},"value":`, "no problem found", "config is valid", "on two members",
		},
		"docs/security.md": {
			"config is valid", "pushed: 204", `{"status":"success","data":["app"`, "credentials are missing 401",
			"do not allow the tenant other 403", "do not allow this 403",
		},
		"docs/migration.md": {
			"config is valid", "1946 entries", "request 1 of acme", "let a period with store boltdb-shipper follow",
			"verified: all days have the same chunks and entries on both sides", "1947 entries",
		},
	} {
		t.Run(filepath.Base(name), func(t *testing.T) {
			t.Parallel()
			dir := copyOfSource(t)
			buckets := "integration/testdata/loki-buckets"
			require.NoError(t, os.MkdirAll(filepath.Join(dir, buckets), 0o755))
			for _, bucket := range []string{"l29-v12-compacted.tar.gz", "l37-tsdb-compacted.tar.gz"} {
				text, err := os.ReadFile(filepath.Join(root, buckets, bucket))
				require.NoError(t, err)
				writeFile(t, filepath.Join(dir, buckets), bucket, string(text))
			}
			out := inOwnNetwork(t, dir, "set -e\n"+strings.Join(shellBlocks(pages[name]), "\n"))
			for _, w := range want {
				require.Contains(t, out, w)
				_, out, _ = strings.Cut(out, w)
			}
		})
	}
}

// TestDocsLinks follows the links of the pages that lead to files, and to headings in them.
func TestDocsLinks(t *testing.T) {
	pages := documents(t)
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for name, page := range pages {
		for _, m := range link.FindAllStringSubmatch(withoutBlocks(page), -1) {
			target, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			path := filepath.Join(filepath.Dir(name), target)
			if target == "" {
				path = name
			}
			text, err := os.ReadFile(filepath.Join(root, path))
			if info, statErr := os.Stat(filepath.Join(root, path)); statErr == nil && info.IsDir() {
				continue
			}
			if err != nil {
				t.Errorf("%s: the link %s leads nowhere", name, m[1])
			} else if anchor != "" && !slices.Contains(anchors(string(text)), anchor) {
				t.Errorf("%s: the link %s leads to no heading", name, m[1])
			}
		}
	}
	for name := range pages {
		if strings.HasPrefix(name, "docs/") && name != "docs/README.md" {
			require.Contains(t, pages["docs/README.md"], "("+strings.TrimPrefix(name, "docs/")+")", "the list of documents lacks one")
		}
	}
}

func withoutBlocks(page string) string {
	return regexp.MustCompile("(?s)```.*?```").ReplaceAllString(page, "")
}

// anchors are the names that headings have in links.
func anchors(page string) (names []string) {
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(withoutBlocks(page), -1) {
		name := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(m[1]), "")
		names = append(names, strings.ReplaceAll(name, " ", "-"))
	}
	for _, m := range regexp.MustCompile(`<a id="([^"]+)">`).FindAllStringSubmatch(page, -1) {
		names = append(names, m[1])
	}
	return names
}

// output runs the binary and returns what it says, whatever it thinks of it.
func output(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command(Binary(t), args...).CombinedOutput()
	if err != nil {
		require.ErrorAs(t, err, new(*exec.ExitError))
	}
	return string(out)
}

// TestDocsNames looks up the commands, flags and configuration keys that the pages name.
func TestDocsNames(t *testing.T) {
	pages := documents(t)
	commands := commandNames(output(t, "help"))
	require.Contains(t, commands, "inspect bucket")
	known := map[string]string{"": output(t, "-help")}
	flags := func(command string) string {
		if _, ok := known[command]; !ok {
			known[command] = output(t, append(strings.Fields(command), "-help")...)
		}
		return known[command]
	}
	keys := map[string]string{}
	for name, page := range pages {
		for _, call := range calls(page) {
			command, rest := longest(commands, call)
			if len(rest) > 0 && command == "" && !strings.HasPrefix(rest[0], "-") && rest[0] != "help" && rest[0] != "COMMAND" {
				t.Errorf("%s: there is no command %q", name, strings.Join(call, " "))
			}
			for _, arg := range rest {
				flag, _, _ := strings.Cut(arg, "=")
				if strings.HasPrefix(flag, "-") && !hasFlag(flags(command), strings.TrimLeft(flag, "-")) {
					t.Errorf("%s: logstore %s has no flag %s", name, command, flag)
				}
			}
		}
		for _, m := range regexp.MustCompile("`([a-z_]+(?:\\.[a-z_0-9]+)+)(?::[^`]*)?`").FindAllStringSubmatch(withoutBlocks(page), -1) {
			keys[m[1]] = name
		}
	}
	checkKeys(t, keys)
}

// hasFlag reports whether a help text lists a flag.
func hasFlag(help, flag string) bool {
	return regexp.MustCompile(`(?m)^ +-` + regexp.QuoteMeta(flag) + `( |,|$)`).MatchString(help)
}

// commandNames are those of `logstore help`.
func commandNames(help string) (names []string) {
	_, list, _ := strings.Cut(help, "Commands:\n")
	for _, m := range regexp.MustCompile(`(?m)^  ([a-z-]+(?: [a-z-]+)?)  `).FindAllStringSubmatch(list, -1) {
		names = append(names, m[1])
	}
	return names
}

// calls are the command lines of logstore in a page: in code between backticks and in blocks.
func calls(page string) (lines [][]string) {
	code := regexp.MustCompile("(?s)```[a-z]*\n(.*?)```|`([^`\n]+)`")
	for _, m := range code.FindAllStringSubmatch(page, -1) {
		for line := range strings.Lines(strings.ReplaceAll(m[1]+m[2], "\\\n", " ")) {
			for _, call := range regexp.MustCompile(`(?:^|[ ;(])(?:\./)?logstore ([^|&;>#)]*)`).FindAllStringSubmatch(line, -1) {
				if words := strings.Fields(call[1]); len(words) > 0 && regexp.MustCompile(`^(-[a-z]|[a-z]+(-[a-z]+)?$)`).MatchString(words[0]) {
					lines = append(lines, words)
				}
			}
		}
	}
	return lines
}

// longest returns the command that a line begins with, and the rest.
func longest(commands, line []string) (string, []string) {
	for n := min(2, len(line)); n > 0; n-- {
		if name := strings.Join(line[:n], " "); slices.Contains(commands, name) {
			return name, line[n:]
		}
	}
	return "", line
}

// checkKeys writes a configuration with all keys that the pages name and no values: the store says which it does not know.
func checkKeys(t *testing.T, keys map[string]string) {
	t.Helper()
	tree := map[string]any{}
	n := 0
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		parts := strings.Split(key, ".")
		if !topLevel[parts[0]] {
			continue
		}
		n++
		at := tree
		for _, part := range parts[:len(parts)-1] {
			inner, ok := at[part].(map[string]any)
			if !ok {
				inner = map[string]any{}
				at[part] = inner
			}
			at = inner
		}
		if _, ok := at[parts[len(parts)-1]]; !ok {
			at[parts[len(parts)-1]] = nil
		}
	}
	require.Greater(t, n, 10)
	text, err := yaml.Marshal(tree)
	require.NoError(t, err)
	file := writeFile(t, t.TempDir(), "keys.yaml", string(text))
	require.NotContains(t, output(t, "-config.file="+file, "-verify-config"), "unknown key", "of these: %v", keys)
}

// topLevel are the blocks of a configuration file that the pages speak of; other words with dots are files and hosts.
var topLevel = map[string]bool{
	"common": true, "server": true, "distributor": true, "ingester": true, "ingester_client": true, "memberlist": true, "querier": true,
	"query_range": true, "frontend": true, "ruler": true, "compactor": true, "limits_config": true, "schema_config": true,
	"storage_config": true, "chunk_store_config": true, "runtime_config": true, "tracing": true, "logstore": true,
}
