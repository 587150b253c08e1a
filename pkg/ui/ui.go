package ui

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"mime"
	"path"
)

//go:embed all:dist
var dist embed.FS

// File is one file of the page. It is immutable.
type File struct {
	// Body is the content; ContentType its media type; ETag a quoted hash of the content.
	Body        []byte
	ContentType string
	ETag        string
}

// sourceHashName is the file in dist that names the source; it is no part of the page.
const sourceHashName = "source.sha256"

// Files returns the page by path below /ui/, e.g. "index.html" and "assets/index.js".
func Files() (map[string]File, error) {
	files := map[string]File{}
	err := fs.WalkDir(dist, "dist", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path.Base(name) == sourceHashName {
			return err
		}
		body, err := dist.ReadFile(name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(body)
		files[name[len("dist/"):]] = File{Body: body, ContentType: contentType(name), ETag: `"` + hex.EncodeToString(sum[:8]) + `"`}
		return nil
	})
	return files, err
}

// contentType does not ask the operating system's table, which differs from machine to machine, for what the page is made of.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	}
	if t := mime.TypeByExtension(path.Ext(name)); t != "" {
		return t
	}
	return "application/octet-stream"
}
