package integration

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// notTexts are the things between backticks that have spaces and are no texts of the store: command lines, requests, keys with a
// value, and queries.
var notTexts = regexp.MustCompile(`^(logstore [a-z-]|(GET|POST|DELETE) /|[a-z_.]+: \S+$|[a-z_]+\()`)

// TestDocsTexts looks up the log lines and error texts that the page of operations quotes: who sees one searches for it there.
func TestDocsTexts(t *testing.T) {
	texts := sourceTexts(t)
	require.Greater(t, len(texts), 1000)
	quoted := 0
	for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(withoutBlocks(documents(t)["docs/operations.md"]), -1) {
		text := strings.Join(strings.Fields(m[1]), " ")
		if !strings.Contains(text, " ") || notTexts.MatchString(text) {
			continue
		}
		quoted++
		if !said(texts, text) {
			t.Errorf("docs/operations.md quotes %q, which nothing says", text)
		}
	}
	require.Greater(t, quoted, 20)
}

// TestDocsAlerts holds the alerts that the page of operations names against the rules: none is made up, and none left out.
func TestDocsAlerts(t *testing.T) {
	rules, err := os.ReadFile(filepath.Join(root, "deploy/helm/logstore/files/alerts.yaml"))
	require.NoError(t, err)
	alerts := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^ +- alert: (\w+)$`).FindAllStringSubmatch(string(rules), -1) {
		alerts[m[1]] = false
	}
	require.NotEmpty(t, alerts)
	for _, m := range regexp.MustCompile("`(Logstore[A-Z]\\w+)`").FindAllStringSubmatch(documents(t)["docs/operations.md"], -1) {
		if _, ok := alerts[m[1]]; !ok {
			t.Errorf("docs/operations.md names the alert %s, which is not in the rules", m[1])
		}
		alerts[m[1]] = true
	}
	for name, named := range alerts {
		if !named {
			t.Errorf("docs/operations.md does not say what to do about the alert %s", name)
		}
	}
}

// sourceTexts are the string literals of the program, those that are put together with + as one, with what they give as formats.
func sourceTexts(t *testing.T) map[string]*regexp.Regexp {
	t.Helper()
	texts := map[string]*regexp.Regexp{}
	for _, top := range []string{"cmd", "pkg"} {
		require.NoError(t, filepath.WalkDir(filepath.Join(root, top), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			ast.Inspect(f, func(n ast.Node) bool {
				if e, ok := n.(ast.Expr); ok {
					if text := literal(e); text != "" {
						text = strings.TrimPrefix(strings.TrimSuffix(text, "\n"), "%w: ")
						texts[text] = pattern(text)
						return false
					}
				}
				return true
			})
			return nil
		}))
	}
	return texts
}

// literal returns the text of a string literal or of several with + between them; "" is anything else.
func literal(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if text, err := strconv.Unquote(e.Value); err == nil && e.Kind == token.STRING {
			return text
		}
	case *ast.BinaryExpr:
		if x, y := literal(e.X), literal(e.Y); e.Op == token.ADD && x != "" && y != "" {
			return x + y
		}
	}
	return ""
}

// verb finds what a format replaces.
var verb = regexp.MustCompile(`%[-+# 0]*[0-9.]*[a-zA-Z]`)

// said reports whether one of the texts can have made a line: it is the line, is a format that gives it, or, where the line ends
// with three dots, begins like it. What a text wraps in front (%w) may be left out.
func said(texts map[string]*regexp.Regexp, line string) bool {
	start, more := strings.CutSuffix(line, "...")
	for text, pattern := range texts {
		if text == line || more && strings.HasPrefix(text, start) {
			return true
		}
		// A format that is little but verbs, such as "%s: %s", gives any line.
		if pattern != nil && len(verb.ReplaceAllString(text, "")) >= len(line)/2 && pattern.MatchString(line) {
			return true
		}
	}
	return false
}

// pattern returns the regular expression of what a format gives, or nil for a text without verbs.
func pattern(format string) *regexp.Regexp {
	if !verb.MatchString(format) {
		return nil
	}
	percent := "\x00"
	text := regexp.QuoteMeta(strings.ReplaceAll(format, "%%", percent))
	text = verb.ReplaceAllStringFunc(text, func(v string) string {
		switch v[len(v)-1] {
		case 'd', 'f', 'g', 'x':
			return `[-+0-9a-fx.]+`
		case 'T', 'c':
			return `\S+`
		}
		return `.+`
	})
	return regexp.MustCompile("^" + strings.ReplaceAll(text, percent, "%") + "$")
}
