package ui

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// source is where the page's source lies in the repository.
const source = "../../ui"

// The built files must be of the source that is there: whoever changes one without the other is told how to mend it.
func TestBuiltFromSource(t *testing.T) {
	names := []string{"index.html", "package.json", "package-lock.json", "vite.config.ts"}
	err := filepath.WalkDir(filepath.Join(source, "src"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(source, path)
			names = append(names, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	h := sha256.New()
	for _, name := range names {
		body, err := os.ReadFile(filepath.Join(source, name))
		if err != nil {
			t.Fatal(err)
		}
		h.Write([]byte(name + "\x00"))
		h.Write(body)
		h.Write([]byte{0})
	}
	want, err := dist.ReadFile("dist/" + sourceHashName)
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != strings.TrimSpace(string(want)) {
		t.Errorf("pkg/ui/dist was built of another source (%s, now %s): run make ui and commit both", bytes.TrimSpace(want), got)
	}
}

// The page is to load over a slow line: all of it, compressed, stays under 400 KB.
func TestSize(t *testing.T) {
	files, err := Files()
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := files["index.html"]; !ok {
		t.Fatal("there is no index.html")
	}
	var out bytes.Buffer
	for _, f := range files {
		z, _ := gzip.NewWriterLevel(&out, gzip.BestCompression)
		z.Write(f.Body)
		z.Close()
	}
	if out.Len() > 400<<10 {
		t.Errorf("the page has %d bytes compressed, over 400 KiB", out.Len())
	}
}

// The page works without a network beyond its server: no file asks another host for anything.
func TestOffline(t *testing.T) {
	files, err := Files()
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range files {
		for _, bad := range []string{`src="http`, `href="http`, `@import "http`, `url(http`, `from"http`, `import("http`} {
			if bytes.Contains(f.Body, []byte(bad)) {
				t.Errorf("%s asks another host: it has %s", name, bad)
			}
		}
	}
}
