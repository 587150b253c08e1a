package check

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "lint and render the chart with Helm, and write what comes out")

const (
	chart    = "../helm/logstore"
	plainDir = "../kubernetes"
	sumFile  = "testdata/source.sum"
)

// cases are the names of the files of values.
func cases(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob("values/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	var out []string
	for _, p := range paths {
		out = append(out, strings.TrimSuffix(filepath.Base(p), ".yaml"))
	}
	return out
}

// sourceSum is a hash over all that the rendered files are made of.
func sourceSum(t *testing.T) string {
	t.Helper()
	h := sha256.New()
	for _, dir := range []string{chart, "values"} {
		require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || d.Name() == "README.md" {
				return err
			}
			body, err := os.ReadFile(path)
			fmt.Fprintf(h, "%s %d\n%s\n", filepath.ToSlash(path), len(body), body)
			return err
		}))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// helmPath builds Helm at the version of go.mod, if that was not done before.
var helmPath = sync.OnceValues(func() (string, error) {
	path, err := exec.Command("go", "tool", "-n", "helm").Output()
	return strings.TrimSpace(string(path)), err
})

func helm(t *testing.T, args ...string) []byte {
	t.Helper()
	out, log, err := runHelm(t, args...)
	require.NoError(t, err, "%s%s", out, log)
	return out
}

func runHelm(t *testing.T, args ...string) (out, log []byte, _ error) {
	t.Helper()
	path, err := helmPath()
	require.NoError(t, err)
	cmd := exec.Command(path, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	return stdout.Bytes(), stderr.Bytes(), err
}

// refused are values that cannot work, and what the chart says of them.
var refused = map[string][]string{
	"/metrics is guarded":              {"auth.existingSecret=users"},
	"only one of basicAuth and bearer": {"serviceMonitor.basicAuth.existingSecret=a", "serviceMonitor.bearer.existingSecret=b"},
}

func renderRefused(t *testing.T) {
	t.Helper()
	for want, values := range refused {
		set := "serviceMonitor.enabled=true," + strings.Join(values, ",")
		_, log, err := runHelm(t, "template", "logs", chart, "--set", set)
		require.Error(t, err, set)
		require.Contains(t, string(log), want)
	}
}

// TestRendered checks that what is committed was rendered from the chart as it is now.
func TestRendered(t *testing.T) {
	if *update {
		render(t)
	}
	sum, err := os.ReadFile(sumFile)
	require.NoError(t, err)
	require.Equal(t, sourceSum(t), strings.TrimSpace(string(sum)), "the chart or its values have changed: run make manifests")
	plain := splitPlain(readFile(t, "testdata/plain.yaml"))
	for name, want := range plain {
		require.Equal(t, want, readFile(t, filepath.Join(plainDir, name)), "it is not what the chart gives: run make manifests")
	}
	kustomization := readFile(t, filepath.Join(plainDir, "kustomization.yaml"))
	for name := range plain {
		require.Contains(t, kustomization, "- "+name+"\n")
	}
}

func render(t *testing.T) {
	t.Helper()
	renderRefused(t)
	for _, name := range cases(t) {
		values := "values/" + name + ".yaml"
		helm(t, "lint", "--strict", chart, "-f", values)
		release := "logs"
		if name == "plain" {
			release = "logstore" // names are not said twice
		}
		text := helm(t, "template", release, chart, "--namespace", "logs", "-f", values)
		require.NoError(t, os.WriteFile("testdata/"+name+".yaml", text, 0o644))
	}
	for name, text := range splitPlain(readFile(t, "testdata/plain.yaml")) {
		require.NoError(t, os.WriteFile(filepath.Join(plainDir, name), []byte(text), 0o644))
	}
	require.NoError(t, os.WriteFile(sumFile, []byte(sourceSum(t)+"\n"), 0o644))
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(text)
}

// helmsOwn are the lines that only make sense where Helm manages the objects, and the hash that would have to be kept by hand.
var helmsOwn = regexp.MustCompile(`(?m)^ *(helm\.sh/chart|app\.kubernetes\.io/managed-by|app\.kubernetes\.io/version|checksum/config): .*\n`)

var (
	sourceLine = regexp.MustCompile(`(?m)^# Source: \S+/templates/(\S+)\n`)
	noNotes    = regexp.MustCompile(`(?m)^ *annotations:\n( *spec:\n)`)
)

// splitPlain makes the files of deploy/kubernetes of a rendered chart: one for each template, without what is Helm's own.
func splitPlain(rendered string) map[string]string {
	files := map[string]string{}
	for doc := range strings.SplitSeq(rendered, "---\n") {
		m := sourceLine.FindStringSubmatch(doc)
		if m == nil {
			continue
		}
		text := helmsOwn.ReplaceAllString(sourceLine.ReplaceAllString(doc, ""), "")
		text = noNotes.ReplaceAllString(text, "$1")
		if files[m[1]] == "" {
			text = "# Rendered from deploy/helm/logstore by make manifests.\n" + text
		} else {
			text = "---\n" + text
		}
		files[m[1]] += text
	}
	return files
}
