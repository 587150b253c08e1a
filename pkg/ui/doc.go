// Package ui holds the web page that the binary serves under /ui: the files that Vite built from ui/ at the top of the
// repository, embedded. They are committed, so that go install needs no Node; SourceHash, written by the build, says of which
// source they are, and a test holds it against the source.
package ui
