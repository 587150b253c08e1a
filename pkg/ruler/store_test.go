package ruler

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"logstore/pkg/objstore"
	"logstore/pkg/rules"
)

const oneGroup = "groups: [{name: NAME, rules: [{record: r, expr: vector(1)}]}]"

func writeRules(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	}
}

// found lists what a store holds as tenant/namespace/group.
func found(s *Store) (all []string, errs []error) {
	got := s.load(context.Background(), "")
	for id, namespaces := range got.groups {
		for ns, entries := range namespaces {
			for _, e := range entries {
				all = append(all, id+" "+ns+" "+e.group.Name)
			}
		}
	}
	slices.Sort(all)
	return all, got.errs
}

func named(name string) string { return strings.ReplaceAll(oneGroup, "NAME", name) }

func TestFilesAreFound(t *testing.T) {
	dir := t.TempDir()
	writeRules(t, dir, map[string]string{
		"root.yaml": named("root"), "fake/own.yml": named("own"), "fake/deep/er.yaml": named("deeper"), "team/a.yaml": named("a"),
		"noext": named("noext"), ".hidden.yaml": named("hidden"), "..data/x.yaml": named("x"), "notes.txt": "not rules",
		"own.yaml": "namespace: said\n" + named("said"),
	})
	require.NoError(t, os.Symlink(filepath.Join(dir, "..data/x.yaml"), filepath.Join(dir, "link.yaml")))
	for _, c := range []struct {
		pattern string
		single  bool
		want    []string
		errs    int
	}{
		{"", true, []string{"fake deep/er.yaml deeper", "fake link.yaml x", "fake noext noext", "fake own.yml own", "fake root.yaml root", "fake said said", "fake team/a.yaml a"}, 0},
		{"", false, []string{"fake deep/er.yaml deeper", "fake own.yml own", "team a.yaml a"}, 4},
		{"*/*.yaml", true, []string{"fake team/a.yaml a"}, 0},
		{"**/*.yml", true, []string{"fake own.yml own"}, 0},
		{"[ft]*", true, []string{"fake deep/er.yaml deeper", "fake own.yml own", "fake team/a.yaml a"}, 0},
		{"**", false, []string{"fake deep/er.yaml deeper", "fake own.yml own", "team a.yaml a"}, 5},
		{"?eam", false, []string{"team a.yaml a"}, 0},
	} {
		s, err := NewLocal(filepath.Join(dir, c.pattern), c.single)
		require.NoError(t, err)
		got, errs := found(s)
		require.Equal(t, c.want, got, "%q %v", c.pattern, c.single)
		require.Len(t, errs, c.errs, "%q %v", c.pattern, errs)
	}
}

func TestMissingFolderIsMade(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	s, err := NewLocal(dir, true)
	require.NoError(t, err)
	got, errs := found(s)
	require.Empty(t, got)
	require.Empty(t, errs)
	require.DirExists(t, dir)
}

func TestBadFileLeavesTheOthers(t *testing.T) {
	dir := t.TempDir()
	writeRules(t, dir, map[string]string{"bad.yaml": "groups: [", "good.yaml": named("g"), "half.yaml": "groups:\n- {name: ok, rules: []}\n- {name: no, rules: [{record: r}]}\n"})
	s, err := NewLocal(dir, true)
	require.NoError(t, err)
	got, errs := found(s)
	require.Equal(t, []string{"fake good.yaml g", "fake half.yaml ok"}, got)
	require.Len(t, errs, 2)
	require.ErrorContains(t, errs[0], filepath.Join(dir, "bad.yaml"))
	require.ErrorContains(t, errs[1], `field 'expr' must be set in rule (group "no", rule 1 "r", line 3,`)
}

func TestFileThatBecomesBadGoesOn(t *testing.T) {
	dir := t.TempDir()
	s, err := NewLocal(dir, true)
	require.NoError(t, err)
	writeRules(t, dir, map[string]string{"f.yaml": named("g")})
	got, _ := found(s)
	require.Equal(t, []string{"fake f.yaml g"}, got)
	writeRules(t, dir, map[string]string{"f.yaml": "groups: ["})
	for range 2 {
		got, errs := found(s)
		require.Equal(t, []string{"fake f.yaml g"}, got)
		require.Len(t, errs, 1)
	}
	writeRules(t, dir, map[string]string{"f.yaml": named("h")})
	got, _ = found(s)
	require.Equal(t, []string{"fake f.yaml h"}, got)
	require.NoError(t, os.Remove(filepath.Join(dir, "f.yaml")))
	got, errs := found(s)
	require.Empty(t, got)
	require.Empty(t, errs)
}

func TestFolderThatTheAPIWrites(t *testing.T) {
	dir := t.TempDir()
	b, err := objstore.NewFilesystem(objstore.FilesystemConfig{Directory: dir})
	require.NoError(t, err)
	s, err := NewFolder(dir, b, true)
	require.NoError(t, err)
	writeRules(t, dir, map[string]string{"f.yaml": named("file")})
	g := rules.Group{Name: "a/b c", Rules: []rules.Rule{{Record: "r", Expr: "vector(1)"}}}
	require.NoError(t, s.objects.set(t.Context(), "fake", "n/s", &g))
	got, errs := found(s)
	require.Empty(t, errs)
	require.Equal(t, []string{"fake f.yaml file", "fake n/s a/b c"}, got)
	// Another process has the same.
	again, err := NewFolder(dir, b, true)
	require.NoError(t, err)
	got, _ = found(again)
	require.Len(t, got, 2)
	require.NoError(t, s.objects.delete(t.Context(), "fake", "n/s", "a/b c"))
	got, _ = found(again)
	require.Len(t, got, 1)
}

func TestBucket(t *testing.T) {
	b := objstore.NewMemory()
	s := NewBucket(b, false)
	put := func(key, body string) { require.NoError(t, b.Put(t.Context(), key, []byte(body))) }
	g := rules.Group{Name: "g", Rules: []rules.Rule{{Record: "r", Expr: "vector(1)"}}}
	put(groupKey("a", "ns", "g"), string(encodeGroup("a", "ns", &g)))
	put(groupKey("a", "ns", "yaml"), "{name: yaml, rules: []}")
	put(groupKey("a", "ns", "other"), string(encodeGroup("a", "ns", &g)))
	put(groupKey("b", "ns", "bad"), "\x00\x01")
	put("rules/b/file.yaml", named("f"))
	put("index/index_1/x.gz", "something else")
	got, errs := found(s)
	require.Equal(t, []string{"a ns g", "a ns yaml", "b file.yaml f"}, got)
	require.Len(t, errs, 2)
	one := s.load(t.Context(), "a")
	require.Len(t, one.groups, 1)

	// An old object that did not change is not read again, a new one is.
	now := time.Now().Add(time.Hour)
	s.objects.now = func() time.Time { return now }
	found(s)
	require.NotEmpty(t, s.objects.cache[groupKey("a", "ns", "g")].size)
	g.Rules[0].Record = "s"
	put(groupKey("a", "ns", "g"), string(encodeGroup("a", "ns", &g)))
	after := s.load(t.Context(), "a")
	require.Equal(t, "s", after.groups["a"]["ns"][0].group.Rules[0].Record)
}

// countingBucket counts the objects that are read.
type countingBucket struct {
	objstore.Bucket
	gets atomic.Int64
}

func (b *countingBucket) Get(ctx context.Context, key string) ([]byte, error) {
	b.gets.Add(1)
	return b.Bucket.Get(ctx, key)
}

func TestNamesReadNoGroups(t *testing.T) {
	b := &countingBucket{Bucket: objstore.NewMemory()}
	s := NewBucket(b, false)
	for i := range 50 {
		g := rules.Group{Name: fmt.Sprint("g", i), Rules: []rules.Rule{{Record: "r", Expr: "vector(1)"}}}
		require.NoError(t, s.objects.set(t.Context(), "a", "ns", &g))
	}
	require.NoError(t, b.Put(t.Context(), "rules/a/file.yaml", []byte(named("f"))))
	got := s.names(t.Context(), "a")
	require.Empty(t, got.errs)
	require.Equal(t, 51, got.count)
	require.Equal(t, int64(1), b.gets.Load(), "only the file is read, which may hold any groups")
	got = s.load(t.Context(), "a")
	require.Equal(t, 51, got.count)
	require.Equal(t, int64(1+51), b.gets.Load())
}

// deadBucket answers no listing.
type deadBucket struct{ objstore.Bucket }

func (deadBucket) List(context.Context, string, func(objstore.ObjectInfo) error) error {
	return errors.New("connection refused")
}

// TestReportOfAnUnreadStore wants that a store which does not answer is not taken for one without rules, or with bad ones.
func TestReportOfAnUnreadStore(t *testing.T) {
	var log bytes.Buffer
	report := func(b objstore.Bucket) string {
		log.Reset()
		r := &Ruler{log: slog.New(slog.NewTextHandler(&log, nil)), deps: Deps{Store: NewBucket(b, false)}}
		got := r.load(t.Context(), "")
		r.report(&got)
		return log.String()
	}
	empty := report(objstore.NewMemory())
	require.Contains(t, empty, "no rule groups found")
	require.NotContains(t, empty, "level=ERROR")
	dead := report(deadBucket{objstore.NewMemory()})
	require.Contains(t, dead, `msg="cannot read rules; those that were read before are evaluated" err="cannot list rule groups in`)
	require.NotContains(t, dead, "no rule groups found")
	require.NotContains(t, dead, "bad rules")
}
