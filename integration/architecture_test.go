package integration

import (
	"bufio"
	"bytes"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	root   = ".."
	module = "logstore/"
	// maxLines is how long a source file may be before it is split.
	maxLines = 800
)

// sources calls fn for each Go file below the folders of code, with its package's path in the module. Like the go command it
// passes over testdata, which has modules of its own.
func sources(t *testing.T, fn func(path, pkg string, imports []string)) {
	t.Helper()
	for _, top := range []string{"cmd", "pkg", "integration"} {
		err := filepath.WalkDir(filepath.Join(root, top), func(path string, d fs.DirEntry, err error) error {
			if d != nil && d.IsDir() && d.Name() == "testdata" {
				return fs.SkipDir
			}
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
				return err
			}
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
			if err != nil {
				return err
			}
			var imports []string
			for _, spec := range f.Imports {
				name, err := strconv.Unquote(spec.Path.Value)
				if err != nil {
					return err
				}
				imports = append(imports, name)
			}
			pkg, err := filepath.Rel(root, filepath.Dir(path))
			fn(path, filepath.ToSlash(pkg), imports)
			return err
		})
		require.NoError(t, err)
	}
}

// table returns the rows of the Markdown table that stands under a heading of ARCHITECTURE.md.
func table(t *testing.T, heading string) [][]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "ARCHITECTURE.md"))
	require.NoError(t, err)
	_, text, ok := bytes.Cut(text, []byte("\n## "+heading+"\n"))
	require.True(t, ok, "no heading %q", heading)
	var rows [][]string
	sc := bufio.NewScanner(bytes.NewReader(text))
	for sc.Scan() {
		line := sc.Text()
		if strings.HasPrefix(line, "## ") {
			break
		}
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|---") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		rows = append(rows, cells)
	}
	require.Greater(t, len(rows), 1)
	return rows[1:]
}

func floors(t *testing.T) map[string]int {
	t.Helper()
	floors := map[string]int{}
	for _, row := range table(t, "Floors") {
		n, err := strconv.Atoi(row[0])
		require.NoError(t, err)
		floors[packagePath(row[1])] = n
	}
	return floors
}

func packagePath(name string) string {
	if strings.HasPrefix(name, "cmd/") || name == "integration" {
		return name
	}
	return "pkg/" + name
}

// owner finds the row that a package belongs to: itself, or the nearest folder above it.
func owner(floors map[string]int, pkg string) (string, bool) {
	for p := pkg; p != "."; p = filepath.Dir(p) {
		if _, ok := floors[p]; ok {
			return p, true
		}
	}
	return "", false
}

func TestFloors(t *testing.T) {
	floors := floors(t)
	seen := map[string]bool{}
	sources(t, func(path, pkg string, imports []string) {
		from, ok := owner(floors, pkg)
		if !ok {
			t.Errorf("%s: package %s stands on no floor of ARCHITECTURE.md", path, pkg)
			return
		}
		seen[from] = true
		if strings.HasSuffix(path, "_test.go") {
			return
		}
		for _, imp := range imports {
			target, ok := strings.CutPrefix(imp, module)
			if !ok {
				continue
			}
			to, ok := owner(floors, target)
			if !ok || to == from {
				continue
			}
			if floors[to] >= floors[from] {
				t.Errorf("%s: %s (floor %d) imports %s (floor %d)", path, from, floors[from], to, floors[to])
			}
		}
	})
	for pkg := range floors {
		if !seen[pkg] {
			t.Errorf("ARCHITECTURE.md names %s, which has no code", pkg)
		}
	}
}

func TestDoors(t *testing.T) {
	doors := table(t, "Doors")
	sources(t, func(path, pkg string, imports []string) {
		if strings.HasSuffix(path, "_test.go") {
			return
		}
		for _, imp := range imports {
			for _, door := range doors {
				if imp != door[0] && !strings.HasPrefix(imp, door[0]+"/") {
					continue
				}
				allowed := false
				for name := range strings.SplitSeq(door[1], ",") {
					allowed = allowed || pkg == "pkg/"+strings.TrimSpace(name)
				}
				if !allowed {
					t.Errorf("%s imports %s: only %s may", path, imp, door[1])
				}
			}
		}
	})
}

// TestHouseRules checks what keeps packages readable: a doc.go each, no file too long, no drawer for everything.
func TestHouseRules(t *testing.T) {
	junk := map[string]bool{"util": true, "utils": true, "common": true, "helpers": true, "types": true, "base": true, "v2": true}
	packages := map[string]bool{}
	sources(t, func(path, pkg string, _ []string) {
		packages[pkg] = true
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		if n := bytes.Count(text, []byte("\n")); n > maxLines {
			t.Errorf("%s has %d lines; split it, %d is the most", path, n, maxLines)
		}
	})
	for pkg := range packages {
		if junk[filepath.Base(pkg)] {
			t.Errorf("package %s: a name that says nothing", pkg)
		}
		if _, err := os.Stat(filepath.Join(root, pkg, "doc.go")); err != nil && !strings.HasPrefix(pkg, "cmd/") {
			t.Errorf("package %s has no doc.go", pkg)
		}
	}
}
