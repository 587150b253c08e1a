package config

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"

	"logstore/pkg/limits"
)

// What becomes of a key of a file.
const (
	KeyUsed     = "used"
	KeyOld      = "old name"  // used, and better written under another name
	KeyNoEffect = "no effect" // known and accepted
	KeyRefused  = "refused"   // the store does not start
)

// KeyReport says what becomes of a key of a file.
type KeyReport struct {
	Path   string `json:"key"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
	State  string `json:"state"`
	// Value and Default are as WriteYAML shows them, without secrets. A list or map of blocks has none.
	Value   string `json:"value,omitempty"`
	Default string `json:"default,omitempty"`
	// Differs tells that the value is not the default.
	Differs bool `json:"differs"`
	// Text says what the key does, why it has no effect, or why it is refused.
	Text string `json:"text,omitempty"`
}

// Explanation is what there is to say of a file.
type Explanation struct {
	File string `json:"file"`
	// Keys are in the order of the file.
	Keys     []KeyReport `json:"keys"`
	Warnings []string    `json:"warnings,omitempty"`
	// Errors are all mistakes; with one, Config is nil.
	Errors []string `json:"errors,omitempty"`
	Config *Config  `json:"-"`
}

// Explain reads a file and says what becomes of each of its keys. An error means that it cannot be read at all.
func Explain(file string, expand bool, env LookupEnv) (*Explanation, error) {
	text, err := readExpanded(file, expand, env)
	if err != nil {
		return nil, err
	}
	return explain(file, text), nil
}

func readExpanded(file string, expand bool, env LookupEnv) ([]byte, error) {
	text, err := os.ReadFile(file) //nolint:gosec // named by the user
	if err != nil {
		return nil, fmt.Errorf("cannot read configuration: %w", err)
	}
	if !expand {
		return text, nil
	}
	expanded, err := expandEnv(string(text), env)
	if err != nil {
		return nil, fmt.Errorf("cannot expand %s: %w", file, err)
	}
	return []byte(expanded), nil
}

func explain(file string, text []byte) *Explanation {
	setup := &Setup{File: file}
	written := Default() // what the file says, before keys are derived of others
	d, err := setup.decode(text, func(c *Config, _ *decoder) { written = *c })
	e := &Explanation{File: file, Config: setup.Config, Warnings: setup.Warnings}
	values, defaults := leavesOf(&written), defaultLeaves()
	paths := map[string]position{}
	for path := range d.leaves {
		paths[path] = d.set[path]
	}
	maps.Copy(paths, d.ignored)
	refused := map[string]bool{}
	var mistakes Errors
	if errors.As(err, &mistakes) {
		for _, m := range mistakes {
			e.Errors = append(e.Errors, m.Error())
			refused[m.Path] = true
			e.Keys = append(e.Keys, KeyReport{Path: m.Path, Line: m.At.line, Column: m.At.column, State: KeyRefused, Text: m.Message})
		}
	} else if err != nil {
		e.Errors = append(e.Errors, err.Error())
	}
	for path, at := range paths {
		if refused[path] {
			continue
		}
		k := KeyReport{Path: path, Line: at.line, Column: at.column, State: KeyUsed, Text: Describe(path)}
		if value, ok := values[path]; ok {
			def := defaults[path]
			k.Value, k.Default, k.Differs = value.shown, def.shown, value.raw != def.raw
		}
		switch {
		case d.ignored[path].line > 0 || unread(path):
			k.State, k.Text = KeyNoEffect, whyNoEffect(path)
		case oldName(path) != "":
			k.State = KeyOld
		}
		e.Keys = append(e.Keys, k)
	}
	slices.SortFunc(e.Keys, func(a, b KeyReport) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Path, b.Path))
	})
	return e
}

// oldName returns what is to be written instead of a key, if its description says that it is an old name.
func oldName(path string) string {
	text := Describe(path)
	if rest, ok := strings.CutPrefix(text, "Old name of "); ok {
		return rest
	}
	return ""
}

// defaultLeaves are the values of a file that says nothing.
var defaultLeaves = sync.OnceValue(func() map[string]leaf {
	c := Default()
	c.AuthEnabled = true
	return leavesOf(&c)
})

// leaf is the value of a key as text.
type leaf struct{ shown, raw string }

// leavesOf returns the values of all keys by their paths.
func leavesOf(c *Config) map[string]leaf {
	out := map[string]leaf{}
	addLeaves(out, reflect.ValueOf(c).Elem(), "")
	return out
}

func addLeaves(out map[string]leaf, block reflect.Value, path string) {
	for _, f := range fieldsOf(block.Type()) {
		addLeaf(out, block.FieldByIndex(f.index), f, joinPath(path, f.name))
	}
}

func addLeaf(out map[string]leaf, v reflect.Value, f field, path string) {
	switch {
	case v.Kind() == reflect.Pointer:
		if !v.IsNil() {
			addLeaf(out, v.Elem(), f, path)
		}
	case isBlock(v.Type()):
		addLeaves(out, v, path)
	case v.Kind() == reflect.Map:
		for _, k := range v.MapKeys() {
			addLeaf(out, v.MapIndex(k), f, joinPath(path, k.String()))
		}
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() != reflect.String:
		for i := range v.Len() {
			addLeaf(out, v.Index(i), f, fmt.Sprintf("%s[%d]", path, i))
		}
	default:
		raw := scalarText(v, f)
		out[path] = leaf{shown: shownText(raw, f), raw: raw}
	}
}

// shownText is a value without what nobody may see.
func shownText(raw string, f field) string {
	switch {
	case f.secret && raw != "":
		return limits.Redacted
	case f.url:
		return limits.RedactURL(raw)
	}
	return redactText(raw)
}

// Difference is a key whose value is not the same in two configurations.
type Difference struct {
	Path string `json:"key"`
	// A and B are the values, without secrets; absent in one of them if the key of a list or a map is only in the other.
	A string `json:"a"`
	B string `json:"b"`
}

// Diff returns the keys in which two configurations differ once defaults, old names and common keys are worked in, by path.
func Diff(a, b *Config) []Difference {
	left, right := leavesOf(a), leavesOf(b)
	paths := map[string]bool{}
	for p := range left {
		paths[p] = true
	}
	for p := range right {
		paths[p] = true
	}
	out := []Difference{}
	for _, p := range slices.Sorted(maps.Keys(paths)) {
		l, r := left[p], right[p]
		if l.raw == r.raw || oldName(p) != "" {
			continue
		}
		if l.shown == r.shown && l.shown != "" {
			r.shown += " (another)"
		}
		out = append(out, Difference{Path: p, A: l.shown, B: r.shown})
	}
	return out
}

// Defaults returns the configuration of a store without a file, complete.
func Defaults() *Config {
	c := Default()
	deriver{c: &c, set: map[string]position{}}.run()
	return &c
}
