package config

import (
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// keysText holds the keys of Loki's configuration from 2.2 to 3.7, one a line, indented under their blocks. A line
// "name @n" has the keys of the block n, which stands at the head of the file, since most blocks occur many times.
// It is written by the test of this file from testdata/config-keys.tsv: go test -run TestKeysText -update.
//
//go:embed keys.txt
var keysText string

// key is a key that Loki knows, with the keys beneath it.
type key struct {
	children map[string]*key
}

// child returns the key beneath, or nil.
func (k *key) child(name string) *key {
	if k == nil {
		return nil
	}
	return k.children[name]
}

// open tells whether anything may stand beneath a key: a map, or a list of what has no keys of its own.
func (k *key) open() bool { return len(k.children) == 0 }

// knownKeys are the keys of Loki's configuration.
var knownKeys = sync.OnceValue(func() *key {
	root, err := parseKeys(keysText)
	if err != nil {
		panic("BUG: keys.txt: " + err.Error())
	}
	return root
})

func parseKeys(text string) (*key, error) {
	shared := map[string]*key{}
	root := &key{children: map[string]*key{}}
	path := []*key{root} // from the root, or from a shared block, whose keys are indented once
	base := 0
	for number, line := range strings.Split(text, "\n") {
		name := strings.TrimLeft(line, " ")
		if name == "" || name[0] == '#' {
			continue
		}
		depth := len(line) - len(name)
		switch {
		case depth == 0 && name[0] == '@':
			shared[name] = &key{children: map[string]*key{}}
			path, base = []*key{shared[name]}, 1
			continue
		case depth == 0:
			path, base = []*key{root}, 0
		}
		level := depth - base
		if level >= len(path) {
			return nil, fmt.Errorf("line %d is indented too far", number+1)
		}
		path = path[:level+1]
		name, ref, isRef := strings.Cut(name, " ")
		k := &key{children: map[string]*key{}}
		if isRef {
			if k = shared[ref]; k == nil {
				return nil, fmt.Errorf("line %d: no block %s", number+1, ref)
			}
		}
		path[level].children[name] = k
		path = append(path, k)
	}
	return root, nil
}

// names returns the keys beneath in ascending order.
func (k *key) names() []string {
	if k == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(k.children))
}

// findEverywhere returns the paths of all keys with a name, in ascending order, at most limit.
func (k *key) findEverywhere(name string, limit int) []string {
	var found []string
	var walk func(k *key, path string)
	walk = func(k *key, path string) {
		for _, child := range k.names() {
			if len(found) >= limit {
				return
			}
			p := joinPath(path, child)
			if child == name {
				found = append(found, p)
			}
			walk(k.children[child], p)
		}
	}
	walk(k, "")
	return found
}

func joinPath(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// nearest returns the candidate with the least edit distance from a name, else the first that goes on where the name
// ends, or "" if none is near.
func nearest(name string, candidates []string) string {
	best, bestDistance := "", max(1, len(name)/3)+1
	for _, c := range candidates {
		if len(name) >= 4 && strings.HasPrefix(c, name) && best == "" {
			best = c
		}
	}
	for _, c := range candidates {
		if d := editDistance(name, c, bestDistance); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

// editDistance counts the insertions, deletions, replacements and swaps of neighbours that make a into b; from limit on
// it stops counting.
func editDistance(a, b string, limit int) int {
	if abs(len(a)-len(b)) >= limit || len(a) > 200 {
		return limit
	}
	before, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], before[j-2]+1)
			}
		}
		before, prev, cur = prev, cur, before
	}
	return prev[len(b)]
}

func abs(n int) int {
	if n < 0 {
		return -n
	}
	return n
}
