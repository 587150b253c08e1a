package config

import (
	_ "embed"
	"strings"
	"sync"
)

// unreadText lists keys, or blocks with all of their keys, that have a field in Config which no package reads yet. Setting
// one has no effect, and is reported like other keys without effect. The test of this file compares the list with the
// packages: go test -run TestUnreadText -update ./pkg/config writes it anew when more is read.
//
//go:embed unread.txt
var unreadText string

var unreadKeys = sync.OnceValue(func() map[string]bool {
	keys := map[string]bool{}
	for line := range strings.Lines(unreadText) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			keys[line] = true
		}
	}
	return keys
})

// unread tells whether nobody reads a key: it is listed, or a block around it is.
func unread(path string) bool {
	for {
		if unreadKeys()[path] {
			return true
		}
		i := strings.LastIndexAny(path, ".[")
		if i < 0 {
			return false
		}
		path = path[:i]
	}
}
