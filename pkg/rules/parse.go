package rules

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Error is what is wrong with a rule file or a group, and where.
type Error struct {
	place
	// Group and RuleName name the rule, which is number Rule of its group, counted from 1; 0: the group itself.
	Group, RuleName string
	Rule            int
	// Message says what is wrong.
	Message string
}

// Error gives the message first, since clients look for texts in it, and the place behind it.
func (e *Error) Error() string {
	var where []string
	if e.Group != "" {
		where = append(where, fmt.Sprintf("group %q", e.Group))
	}
	if e.Rule > 0 {
		where = append(where, strings.TrimSuffix(fmt.Sprintf("rule %d %q", e.Rule, e.RuleName), ` ""`))
	}
	if e.line > 0 {
		where = append(where, fmt.Sprintf("line %d, column %d", e.line, e.col))
	}
	if len(where) == 0 {
		return e.Message
	}
	return e.Message + " (" + strings.Join(where, ", ") + ")"
}

// Line returns the line and the column of the error, counted from 1; 0 if they are not known.
func (e *Error) Line() (line, col int) { return e.line, e.col }

// File is the content of a file of rules.
type File struct {
	// Namespace is what the file says itself; mostly empty.
	Namespace string
	Groups    []Group
}

// DecodeGroup reads one group in YAML, of which JSON is a part. What its rules say is not looked at: see Validate.
func DecodeGroup(text []byte) (Group, error) {
	var g Group
	err := decode(text, &g)
	return g, err
}

// ParseFile reads and validates a file: `groups:` and a list of groups, and before it perhaps `namespace:`. What is wrong
// with one group leaves the others alone: the file holds the groups that are good, the errors say what is wrong with the rest.
func ParseFile(text []byte) (File, []error) {
	var doc struct {
		Namespace string    `yaml:"namespace"`
		Groups    yaml.Node `yaml:"groups"`
	}
	if err := decodeStrict(text, &doc); err != nil {
		return File{}, []error{err}
	}
	file := File{Namespace: doc.Namespace}
	list := &doc.Groups
	if list.Kind == yaml.AliasNode {
		list = list.Alias
	}
	switch {
	case list.Kind == 0 || list.Tag == "!!null":
		return file, nil
	case list.Kind != yaml.SequenceNode:
		return file, []error{&Error{place: placeOf(list), Message: "groups must be a list"}}
	}
	var errs []error
	names := map[string]bool{}
	for _, n := range list.Content {
		var g Group
		if err := n.Decode(&g); err != nil {
			errs = append(errs, named(err, nameIn(n)))
			continue
		}
		bad := g.Validate()
		if names[g.Name] && g.Name != "" {
			bad = append(bad, &Error{place: g.place, Group: g.Name, Message: fmt.Sprintf("groupname: %q is repeated in the same file", g.Name)})
		}
		names[g.Name] = true
		if errs = append(errs, bad...); len(bad) == 0 {
			file.Groups = append(file.Groups, g)
		}
	}
	return file, errs
}

// nameIn finds the name of a group that did not decode.
func nameIn(n *yaml.Node) string {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == "name" {
			return n.Content[i+1].Value
		}
	}
	return ""
}

// named adds the name of the group to an error.
func named(err error, group string) error {
	var e *Error
	if errors.As(err, &e) && e.Group == "" {
		e.Group = group
		return e
	}
	return &Error{Group: group, Message: err.Error()}
}

// Decode reads YAML into a value that is about rules, such as a file of tests; keys that it has no field for are errors.
func Decode(text []byte, into any) error { return decodeStrict(text, into) }

func decode(text []byte, into any) error {
	err := yaml.Unmarshal(text, into)
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return err
}

// decodeStrict reads the first document and refuses keys that the value has no field for.
func decodeStrict(text []byte, into any) error {
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	if err := dec.Decode(into); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}
