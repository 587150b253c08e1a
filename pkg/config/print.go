package config

import (
	"bytes"
	"fmt"
	"io"
	"reflect"
	"slices"

	"go.yaml.in/yaml/v3"

	"logstore/pkg/limits"
)

// Modes of WriteYAML, those of the API's parameter `mode`.
const (
	ModeEffective = ""         // what is in effect
	ModeDefaults  = "defaults" // what would be without a file and flags
	ModeDiff      = "diff"     // what is in effect and differs from the defaults
)

// WriteYAML writes the configuration in the format of the file, without its secrets. It is meant for people: since secrets
// are missing, it cannot always be read back.
func (c *Config) WriteYAML(w io.Writer, mode string) error {
	defaults := Default()
	deriver{c: &defaults, set: map[string]position{}}.run()
	var node *yaml.Node
	switch mode {
	case ModeEffective:
		node = blockNode(reflect.ValueOf(c).Elem(), reflect.Value{})
	case ModeDefaults:
		node = blockNode(reflect.ValueOf(&defaults).Elem(), reflect.Value{})
	case ModeDiff:
		node = blockNode(reflect.ValueOf(c).Elem(), reflect.ValueOf(&defaults).Elem())
	default:
		return fmt.Errorf("unknown mode %s, only defaults and diff", quote(mode))
	}
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(node); err != nil {
		return fmt.Errorf("cannot write configuration: %w", err)
	}
	_, err := w.Write(out.Bytes())
	return err
}

// blockNode makes a mapping of a block; with a second block it leaves out what is equal there.
func blockNode(v, base reflect.Value) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for _, f := range fieldsOf(v.Type()) {
		e := v.FieldByIndex(f.index)
		var b reflect.Value
		if base.IsValid() {
			b = base.FieldByIndex(f.index)
			if reflect.DeepEqual(e.Interface(), b.Interface()) {
				continue
			}
		}
		if !isBlock(e.Type()) {
			b = reflect.Value{}
		}
		if e.Kind() == reflect.Pointer && e.IsNil() {
			continue
		}
		n.Content = append(n.Content, text(f.name, "!!str"), valueNode(e, b, f))
	}
	if len(n.Content) == 0 {
		n.Style = yaml.FlowStyle
	}
	return n
}

func valueNode(v, base reflect.Value, f field) *yaml.Node {
	switch {
	case v.Kind() == reflect.Pointer:
		return valueNode(v.Elem(), base, f)
	case isBlock(v.Type()):
		return blockNode(v, base)
	case v.Kind() == reflect.Map:
		n := &yaml.Node{Kind: yaml.MappingNode}
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return bytes.Compare([]byte(a.String()), []byte(b.String())) })
		for _, k := range keys {
			n.Content = append(n.Content, text(k.String(), "!!str"), valueNode(v.MapIndex(k), reflect.Value{}, f))
		}
		return flowIfEmpty(n)
	case v.Kind() == reflect.Slice:
		n := &yaml.Node{Kind: yaml.SequenceNode}
		for i := range v.Len() {
			n.Content = append(n.Content, valueNode(v.Index(i), reflect.Value{}, f))
		}
		return flowIfEmpty(n)
	}
	return scalarNode(v, f)
}

func scalarNode(v reflect.Value, f field) *yaml.Node {
	s := scalarText(v, f)
	switch {
	case v.Kind() == reflect.Bool:
		return text(s, "!!bool")
	case v.Type() != durationType && !f.bytes && (v.CanInt() || v.CanUint()):
		return text(s, "!!int")
	case v.Kind() != reflect.String:
		return text(s, "")
	case f.secret && s != "":
		s = limits.Redacted
	case f.url:
		s = limits.RedactURL(s)
	default:
		s = redactText(s)
	}
	return text(s, "!!str")
}

func text(s, tag string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: s}
}

func flowIfEmpty(n *yaml.Node) *yaml.Node {
	if len(n.Content) == 0 {
		n.Style = yaml.FlowStyle
	}
	return n
}
