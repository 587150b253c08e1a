package config

import (
	_ "embed"
	"regexp"
	"strings"
	"sync"
)

//go:embed describe.txt
var describeText string

//go:embed noeffect.txt
var noEffectText string

// lokiText is a table of the keys of Loki's releases: key, releases, default of 2.9 and of 3.7.
//
//go:embed testdata/config-keys.tsv
var lokiText string

// texts reads lines of a key and a text.
func texts(text string) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(text) {
		key, rest, ok := strings.Cut(strings.TrimSpace(line), " ")
		if ok && line[0] != '#' {
			out[key] = strings.TrimSpace(rest)
		}
	}
	return out
}

var (
	descriptions = sync.OnceValue(func() map[string]string {
		out := texts(describeText)
		for _, def := range flagDefs() {
			out[def.key] = def.help
		}
		return out
	})
	reasons = sync.OnceValue(func() map[string]string { return texts(noEffectText) })
	element = regexp.MustCompile(`\[[^\]]*\]`)
)

// sameAs are blocks whose keys are described with another block: what a path begins with or holds, and the other.
var sameAs = []struct {
	path *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`^.*\.kvstore\.memberlist\.`), "memberlist."},
	{regexp.MustCompile(`^storage_config\.named_stores\.aws\[\]\.`), "storage_config.aws."},
	{regexp.MustCompile(`^limits_config\.ruler_alertmanager_config\.`), "ruler."},
}

// plainPath writes elements of lists and maps as [], and the elements of maps of blocks, which have names, too.
func plainPath(path string) string {
	path = element.ReplaceAllString(path, "[]")
	for _, m := range []string{"storage_config.named_stores.aws.", "storage_config.named_stores.filesystem.", "ruler.remote_write.clients.", "limits_config.ruler_remote_write_config."} {
		if rest, ok := strings.CutPrefix(path, m); ok {
			_, below, found := strings.Cut(rest, ".")
			path = strings.TrimSuffix(m, ".") + "[]"
			if found {
				path += "." + below
			}
		}
	}
	return path
}

// Describe says what a key does, or "" for one that nobody has described.
func Describe(path string) string {
	path = plainPath(path)
	if text := descriptions()[path]; text != "" {
		return text
	}
	for _, s := range sameAs {
		if at := s.path.FindString(path); at != "" {
			if text := descriptions()[s.with+path[len(at):]]; text != "" {
				return text
			}
		}
	}
	for i := range len(path) {
		if text := descriptions()["*"+path[i:]]; text != "" {
			return text
		}
	}
	return ""
}

// whyNoEffect says why a key of Loki has no effect here.
func whyNoEffect(path string) string {
	path = plainPath(path)
	for end := len(path); end > 0; end-- {
		// A key ends at a dot, or where a listed beginning such as tsdb_ ends.
		if end == len(path) || path[end] == '.' || path[end-1] == '_' {
			if text := reasons()[path[:end]]; text != "" {
				return text
			}
		}
	}
	return "It is accepted and not needed here."
}

// lokiRow is what the releases of Loki know of a key.
type lokiRow struct {
	releases []string
	// old and new are the defaults of 2.9 and of 3.7; "-" where the release has no such key.
	old, new string
}

var lokiRows = sync.OnceValue(func() map[string]lokiRow {
	out := map[string]lokiRow{}
	for i, line := range strings.Split(strings.TrimSpace(lokiText), "\n") {
		columns := strings.Split(line, "\t")
		if i > 0 && len(columns) == 4 {
			out[columns[0]] = lokiRow{releases: strings.Split(columns[1], ","), old: columns[2], new: columns[3]}
		}
	}
	return out
})

// Releases says in which releases of Loki there is a key: "2.2 to 3.7", "since 3.7", or "" for a key of our own.
func Releases(path string) string {
	row, ok := lokiRows()[strings.ReplaceAll(plainPath(path), "[]", "")]
	if !ok {
		return ""
	}
	if path == "auth_enabled" {
		return "2.2 to 3.7" // later releases have it and do not print it, which the table was made from
	}
	short := func(release string) string { return release[:strings.LastIndexByte(release, '.')] }
	first, last := short(row.releases[0]), short(row.releases[len(row.releases)-1])
	if first == last {
		return first
	}
	return first + " to " + last
}
