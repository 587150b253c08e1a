package config

import (
	"cmp"
	"fmt"
	"sort"
	"strings"
)

// Error is one mistake in the configuration: where it stands, the key, and what is wrong.
type Error struct {
	At      position
	Path    string
	Message string
}

func (e *Error) Error() string {
	var parts []string
	if at := e.At.String(); at != "" {
		parts = append(parts, at)
	}
	if e.Path != "" {
		parts = append(parts, e.Path)
	}
	return strings.Join(append(parts, e.Message), ": ")
}

// Errors are all mistakes that were found, each on a line of its own.
type Errors []*Error

func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, err := range e {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}

// sorted puts the mistakes in the order in which they stand in the file, those of flags first.
func (e Errors) sorted() Errors {
	sort.SliceStable(e, func(i, j int) bool {
		a, b := e[i], e[j]
		return cmp.Or(cmp.Compare(a.At.line, b.At.line), cmp.Compare(a.At.column, b.At.column), cmp.Compare(a.Path, b.Path)) < 0
	})
	return e
}

// addError takes a mistake that belongs to a key.
type addError func(path, format string, args ...any)

// collect returns an addError that looks up where a key was set. A key whose value was not understood before keeps its
// default, so what follows from that is not reported.
func collect(errs *Errors, set map[string]position, file string) addError {
	before := (*errs)[:len(*errs):len(*errs)]
	return func(path, format string, args ...any) {
		for _, e := range before {
			if e.Path == path || strings.HasPrefix(e.Path, path+".") || e.Path != "" && strings.HasPrefix(path, e.Path+".") {
				return
			}
		}
		*errs = append(*errs, &Error{At: locate(set, path, file), Path: path, Message: fmt.Sprintf(format, args...)})
	}
}

// locate finds where a key, or else the block around it, was set.
func locate(set map[string]position, path, file string) position {
	for p := path; p != ""; {
		if at, ok := set[p]; ok {
			return at
		}
		i := strings.LastIndexAny(p, ".[")
		if i < 0 {
			break
		}
		p = p[:i]
	}
	return position{file: file}
}
