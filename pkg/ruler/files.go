package ruler

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"logstore/pkg/tenant"
)

// files are rules in a folder. They are only read.
type files struct {
	// base is the part of the pattern without wildcards, a folder; match, if any, must match the path below it of a file
	// or of a folder around it.
	pattern, base string
	match         *regexp.Regexp
	single        bool
	cache         map[string]cachedFile
}

type cachedFile struct {
	body    string
	entries []entry
	errs    []error
}

const wildcards = "*?["

// newFiles returns the rules in a folder, which is created if it is not there, or in what a pattern such as
// /etc/rules/*/prod or /etc/rules/**/*.yaml matches.
func newFiles(pattern string, single bool) (*files, error) {
	f := &files{pattern: pattern, base: filepath.Clean(pattern), single: single, cache: map[string]cachedFile{}}
	if !strings.ContainsAny(pattern, wildcards) {
		if err := os.MkdirAll(f.base, 0o755); err != nil {
			return nil, fmt.Errorf("cannot create the folder of rules: %w", err)
		}
		return f, nil
	}
	for strings.ContainsAny(f.base, wildcards) {
		f.base = filepath.Dir(f.base)
	}
	rest, err := filepath.Rel(f.base, filepath.Clean(pattern))
	if err != nil {
		return nil, fmt.Errorf("cannot understand the folder of rules %q: %w", pattern, err)
	}
	f.match, err = regexp.Compile("^" + globRegexp(filepath.ToSlash(rest)) + "$")
	if err != nil {
		return nil, fmt.Errorf("cannot understand the folder of rules %q: %w", pattern, err)
	}
	return f, nil
}

// globRegexp translates a pattern: "*" and "?" stay within a name, "**" does not.
func globRegexp(glob string) string {
	var b strings.Builder
	for i := 0; i < len(glob); i++ {
		switch c := glob[i]; {
		case strings.HasPrefix(glob[i:], "**/"):
			b.WriteString("(?:.*/)?")
			i += 2
		case strings.HasPrefix(glob[i:], "**"):
			b.WriteString(".*")
			i++
		case c == '*':
			b.WriteString("[^/]*")
		case c == '?':
			b.WriteString("[^/]")
		case c == '[':
			end := strings.IndexByte(glob[i:], ']')
			if end < 0 {
				b.WriteString(`\[`)
				continue
			}
			b.WriteString(strings.Replace(glob[i:i+end+1], "[!", "[^", 1))
			i += end
		default:
			b.WriteString(regexp.QuoteMeta(string(c)))
		}
	}
	return b.String()
}

func (f *files) where() string {
	if f.single {
		return "folder " + f.pattern
	}
	return "folders of tenants in " + f.pattern
}

// names implements source.
func (f *files) names(ctx context.Context, id string) ([]entry, []error) { return f.load(ctx, id) }

// load implements source.
func (f *files) load(ctx context.Context, id string) ([]entry, []error) {
	var entries []entry
	var errs []error
	there := map[string]bool{}
	err := walk(f.base, "", 0, func(rel string) error {
		if !f.wants(rel) {
			return ctx.Err()
		}
		owner, namespace := f.place(rel)
		if owner == "" {
			errs = append(errs, fmt.Errorf("%s: rules must be in a folder with the name of their tenant, since auth_enabled is true", filepath.Join(f.base, rel)))
			return nil
		}
		there[rel] = true
		if id != "" && owner != id {
			return ctx.Err()
		}
		c := f.read(rel, owner, namespace)
		entries = append(entries, c.entries...)
		errs = append(errs, c.errs...)
		return ctx.Err()
	})
	if err != nil {
		errs = append(errs, unreadError{fmt.Errorf("cannot read the folder of rules: %w", err)})
	}
	for rel := range f.cache {
		if !there[rel] && err == nil {
			delete(f.cache, rel)
		}
	}
	return entries, errs
}

// wants tells whether a file is one of rules.
func (f *files) wants(rel string) bool {
	if _, _, _, ok := parseKey(rel); ok {
		return false // a group that the API wrote
	}
	named := isRuleFile(rel) || filepath.Ext(rel) == ".rules" || filepath.Ext(rel) == ""
	if f.match == nil {
		return named
	}
	if f.match.MatchString(rel) {
		return true
	}
	for dir := filepath.ToSlash(filepath.Dir(rel)); dir != "."; dir = filepath.ToSlash(filepath.Dir(dir)) {
		if f.match.MatchString(dir) {
			return named
		}
	}
	return false
}

// place returns the tenant and the namespace of a file.
func (f *files) place(rel string) (id, namespace string) {
	first, rest, nested := strings.Cut(rel, "/")
	switch {
	case f.single && nested && first == tenant.Default:
		return tenant.Default, rest
	case f.single:
		return tenant.Default, rel
	case !nested:
		return "", ""
	}
	return first, rest
}

func (f *files) read(rel, id, namespace string) cachedFile {
	path := filepath.Join(f.base, filepath.FromSlash(rel))
	body, err := os.ReadFile(path)
	old := f.cache[rel]
	if errors.Is(err, fs.ErrNotExist) {
		return cachedFile{} // it went away meanwhile
	}
	if err != nil {
		return cachedFile{entries: old.entries, errs: []error{fmt.Errorf("cannot read rules: %w", err)}}
	}
	if _, ok := f.cache[rel]; ok && old.body == string(body) {
		return old
	}
	c := cachedFile{body: string(body)}
	c.entries, c.errs = parseRules(path, id, namespace, body, old.entries)
	f.cache[rel] = c
	return c
}

// maxDepth ends folders that link to themselves.
const maxDepth = 16

// walk calls fn for each file below a folder in the order of names, with its path below. Links are followed, and hidden names
// are left out: Kubernetes keeps the versions of a mounted map in hidden folders, with links to the current one.
func walk(base, rel string, depth int, fn func(rel string) error) error {
	entries, err := os.ReadDir(filepath.Join(base, filepath.FromSlash(rel)))
	if err != nil || depth > maxDepth {
		return err
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		name := e.Name()
		if rel != "" {
			name = rel + "/" + name
		}
		info, err := os.Stat(filepath.Join(base, filepath.FromSlash(name)))
		switch {
		case errors.Is(err, fs.ErrNotExist): // it went away, or is a link to nothing
		case err != nil:
			return err
		case info.IsDir():
			if err := walk(base, name, depth+1, fn); err != nil {
				return err
			}
		case info.Mode().IsRegular():
			if err := fn(name); err != nil {
				return err
			}
		}
	}
	return nil
}
