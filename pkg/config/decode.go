package config

import (
	"fmt"
	"reflect"
	"slices"
	"sort"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxNodes and maxDepth bound what a file may expand to, since aliases can make a small file huge or endless; maxErrors
// bounds what is reported.
const (
	maxNodes  = 200_000
	maxDepth  = 64
	maxErrors = 50
)

// position is a place in a file, or a flag.
type position struct {
	file         string
	line, column int
	flag         string
}

func (p position) String() string {
	switch {
	case p.flag != "":
		return "flag -" + p.flag
	case p.line > 0:
		return fmt.Sprintf("%s:%d:%d", p.file, p.line, p.column)
	}
	return p.file
}

// decoder puts a YAML document into a struct with `loki` tags. It goes on after a mistake, to report all of them at once.
type decoder struct {
	file     string
	errs     Errors
	set      map[string]position // the paths that were set
	leaves   map[string]bool     // those of them that are no blocks
	noEffect []string            // the paths that are known and not implemented
	ignored  map[string]position // where those stand
	nodes    int
	// start fills a new element of a map or a list before it is read, if it is not nil.
	start func(path string, element reflect.Value)
}

func newDecoder(file string) *decoder {
	return &decoder{file: file, set: map[string]position{}, leaves: map[string]bool{}, ignored: map[string]position{}}
}

func (d *decoder) fail(n *yaml.Node, path, format string, args ...any) {
	if len(d.errs) == maxErrors {
		format, args, path = "there are more mistakes after this one", nil, ""
	}
	if len(d.errs) > maxErrors {
		return
	}
	d.errs = append(d.errs, &Error{
		At: position{file: d.file, line: n.Line, column: n.Column}, Path: path, Message: fmt.Sprintf(format, args...),
	})
}

// enter counts a node and follows an alias. It returns nil when the document is too large.
func (d *decoder) enter(n *yaml.Node, path string, depth int) *yaml.Node {
	d.nodes++
	if d.nodes == maxNodes || depth == maxDepth {
		d.fail(n, path, "the document is too large or too deep once its aliases are followed")
	}
	if d.nodes >= maxNodes || depth >= maxDepth {
		return nil
	}
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// block reads a mapping into a struct. known holds the keys that Loki knows there; it is nil where Loki knows none.
func (d *decoder) block(n *yaml.Node, v reflect.Value, path string, known *key, depth int) {
	if n = d.enter(n, path, depth); n == nil || isNull(n) {
		return
	}
	if n.Kind != yaml.MappingNode {
		// Where a block should stand the value may be a secret that lost its key.
		d.fail(n, path, "%s is not allowed here, only a mapping of keys", describe(n, field{secret: true}))
		return
	}
	d.set[path] = d.at(n)
	d.pairs(n, path, depth, func(name string, k, value *yaml.Node) {
		child := joinPath(path, name)
		if f, ok := fieldOf(v.Type(), name); ok {
			d.value(value, v.FieldByIndex(f.index), f, child, known.child(name), depth+1)
			return
		}
		if sub := known.child(name); sub != nil {
			d.ignore(value, child, sub, depth+1)
			return
		}
		d.unknown(k, v.Type(), name, path, known)
	})
}

// pairs calls do for each key of a mapping once, those of merged mappings (<<) last.
func (d *decoder) pairs(n *yaml.Node, path string, depth int, do func(name string, key, value *yaml.Node)) {
	seen := map[string]*yaml.Node{}
	var merges []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, value := n.Content[i], n.Content[i+1]
		if k.Kind != yaml.ScalarNode {
			d.fail(k, path, "a key must be a plain word")
			continue
		}
		if k.Value == "<<" && k.Style == 0 {
			merges = append(merges, value)
			continue
		}
		if first := seen[k.Value]; first != nil {
			d.fail(k, joinPath(path, k.Value), "the key stands twice, first in line %d", first.Line)
			continue
		}
		seen[k.Value] = k
		do(k.Value, k, value)
	}
	for _, m := range merges {
		d.merge(m, path, depth+1, seen, do)
	}
}

func (d *decoder) merge(n *yaml.Node, path string, depth int, seen map[string]*yaml.Node, do func(string, *yaml.Node, *yaml.Node)) {
	if n = d.enter(n, path, depth); n == nil {
		return
	}
	switch n.Kind {
	case yaml.SequenceNode:
		for _, item := range n.Content {
			d.merge(item, path, depth+1, seen, do)
		}
	case yaml.MappingNode:
		d.pairs(n, path, depth, func(name string, k, value *yaml.Node) {
			if seen[name] == nil {
				seen[name] = k
				do(name, k, value)
			}
		})
	default:
		d.fail(n, path, "<< merges mappings, not %s", describe(n, field{secret: true}))
	}
}

// value reads a node into a field.
func (d *decoder) value(n *yaml.Node, v reflect.Value, f field, path string, known *key, depth int) {
	if n = d.enter(n, path, depth); n == nil {
		return
	}
	t := v.Type()
	switch {
	case isNull(n), n.Kind == yaml.ScalarNode && n.Value == "" && hasKeys(t):
		// As in Loki a key without a value leaves the default.
		if !isBlock(t) {
			d.set[path] = d.at(n)
		}
	case isBlock(t):
		d.block(n, v, path, known, depth)
	case t.Kind() == reflect.Pointer && isBlock(t.Elem()):
		p := reflect.New(t.Elem())
		d.begin(p, path)
		d.block(n, p.Elem(), path, known, depth)
		v.Set(p)
	case t.Kind() == reflect.Map:
		d.mapping(n, v, f, path, depth)
	case t.Kind() == reflect.Slice:
		d.list(n, v, f, path, known, depth)
	case n.Kind != yaml.ScalarNode:
		d.fail(n, path, "%s is not allowed, only %s", describe(n, f), allowed(v, f))
	default:
		d.scalar(n, v, f, path)
	}
}

func (d *decoder) scalar(n *yaml.Node, v reflect.Value, f field, path string) {
	d.set[path], d.leaves[path] = d.at(n), true
	if err := refuse(path, n.Value); err != nil {
		d.fail(n, path, "%s", err)
		return
	}
	// Set a copy: a bad value leaves the default, so that later checks find nothing to add.
	c := reflect.New(v.Type()).Elem()
	if err := setScalar(c, f, n.Value); err != nil {
		d.fail(n, path, "%s is not allowed, only %s", describe(n, f), err)
		return
	}
	v.Set(c)
}

func (d *decoder) mapping(n *yaml.Node, v reflect.Value, f field, path string, depth int) {
	if n.Kind != yaml.MappingNode {
		d.fail(n, path, "%s is not allowed, only a mapping", describe(n, f))
		return
	}
	d.set[path], d.leaves[path] = d.at(n), true
	m := reflect.MakeMap(v.Type())
	d.pairs(n, path, depth, func(name string, _, value *yaml.Node) {
		e := reflect.New(v.Type().Elem())
		child := joinPath(path, name)
		d.begin(e, child)
		d.value(value, e.Elem(), f, child, elementKeys(path), depth+1)
		m.SetMapIndex(reflect.ValueOf(name), e.Elem())
	})
	v.Set(m)
}

func (d *decoder) list(n *yaml.Node, v reflect.Value, f field, path string, known *key, depth int) {
	d.set[path], d.leaves[path] = d.at(n), true
	if n.Kind == yaml.ScalarNode && v.Type().Elem().Kind() == reflect.String {
		d.scalar(n, v, f, path)
		return
	}
	if n.Kind != yaml.SequenceNode {
		d.fail(n, path, "%s is not allowed, only a list", describe(n, f))
		return
	}
	items := reflect.MakeSlice(v.Type(), 0, len(n.Content))
	for i, item := range n.Content {
		e := reflect.New(v.Type().Elem())
		child := fmt.Sprintf("%s[%d]", path, i)
		d.begin(e, child)
		d.value(item, e.Elem(), f, child, known, depth+1)
		items = reflect.Append(items, e.Elem())
	}
	v.Set(items)
}

// elementKeys returns the keys that Loki knows in the elements of a map of blocks.
func elementKeys(path string) *key {
	at := func(names ...string) *key {
		k := knownKeys()
		for _, name := range names {
			k = k.child(name)
		}
		return k
	}
	switch {
	case path == "overrides":
		return at("limits_config")
	case path == "storage_config.named_stores.aws":
		return at("storage_config", "aws")
	case path == "ruler.remote_write.clients", strings.HasSuffix(path, "ruler_remote_write_config"):
		return at("ruler", "remote_write", "client")
	}
	return nil
}

// ignore walks over what is known and not implemented, to find mistakes and what must not be ignored.
func (d *decoder) ignore(n *yaml.Node, path string, known *key, depth int) {
	if n = d.enter(n, path, depth); n == nil {
		return
	}
	switch {
	case n.Kind == yaml.MappingNode && len(n.Content) > 0 && !known.open():
		d.pairs(n, path, depth, func(name string, k, value *yaml.Node) {
			child := joinPath(path, name)
			if sub := known.child(name); sub != nil {
				d.ignore(value, child, sub, depth+1)
				return
			}
			d.unknown(k, nil, name, path, known)
		})
	case n.Kind == yaml.SequenceNode && len(n.Content) > 0 && !known.open():
		for i, item := range n.Content {
			d.ignore(item, fmt.Sprintf("%s[%d]", path, i), known, depth+1)
		}
	default:
		if n.Kind == yaml.ScalarNode {
			if err := refuse(path, n.Value); err != nil {
				d.fail(n, path, "%s", err)
				return
			}
		}
		d.noEffect = append(d.noEffect, path)
		d.ignored[path] = d.at(n)
	}
}

// unknown reports a key that nobody knows, with the key that was probably meant.
func (d *decoder) unknown(n *yaml.Node, t reflect.Type, name, path string, known *key) {
	candidates := known.names()
	if t != nil {
		for _, f := range fieldsOf(t) {
			candidates = append(candidates, f.name)
		}
	}
	sort.Strings(candidates)
	full := joinPath(path, name)
	if near := nearest(name, slices.Compact(candidates)); near != "" {
		d.fail(n, full, "unknown key, did you mean %s?", near)
		return
	}
	if elsewhere := knownKeys().findEverywhere(name, 3); len(elsewhere) > 0 {
		d.fail(n, full, "unknown key here, it exists as %s", strings.Join(elsewhere, ", "))
		return
	}
	d.fail(n, full, "unknown key")
}

func (d *decoder) at(n *yaml.Node) position {
	return position{file: d.file, line: n.Line, column: n.Column}
}

// begin fills a new element of a list or a map, or what a pointer will point to.
func (d *decoder) begin(p reflect.Value, path string) {
	if d.start != nil {
		d.start(path, p)
	}
	switch e := p.Interface().(type) {
	case *Period:
		*e = defaultPeriod()
	case *S3:
		*e = defaultS3()
	case *Memberlist:
		*e = defaultMemberlist()
	}
}

// hasKeys tells whether a type is a block, a pointer to one, or a map.
func hasKeys(t reflect.Type) bool {
	return isBlock(t) || t.Kind() == reflect.Map || t.Kind() == reflect.Pointer && isBlock(t.Elem())
}

func isNull(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Tag == "!!null" && n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) == 0
}

// describe names a node for a message: a scalar by its value, unless that is a secret.
func describe(n *yaml.Node, f field) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	if f.secret {
		return "this value"
	}
	return quote(redactText(n.Value))
}

// quote puts a value into quotation marks and shortens a long one.
func quote(s string) string {
	const most = 80
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "..."
	}
	return fmt.Sprintf("%q", s)
}

// allowed says what a field takes.
func allowed(v reflect.Value, f field) string {
	switch {
	case len(f.allow) > 0:
		return checkAllowed(f.allow, "\x00").Error()
	case v.Type() == durationType:
		return errDuration.Error()
	case v.Type() == timeType && f.date:
		return "a day such as 2024-01-31"
	case v.Type() == timeType:
		return errTime.Error()
	case f.bytes:
		return errSize.Error()
	case v.CanInt() || v.CanUint():
		return errInt.Error()
	case v.CanFloat():
		return "a number"
	case v.Kind() == reflect.Bool:
		return "true or false"
	}
	return "a string"
}
