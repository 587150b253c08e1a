package distributor

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"logstore/pkg/model"
	"logstore/pkg/wire"
)

// addGenericFields adds the metadata that discover_generic_fields asks for: each from the first of its names that the
// stream, the entry's metadata or its line has. A name may be a path into JSON, as in http.status. What the entry has
// already stays.
func (c *checker) addGenericFields(info *streamInfo, e *wire.PushEntry) {
	var line func(name string) string
	for _, field := range c.generic {
		has := func(p model.Pair) bool { return p.Name == field }
		if slices.ContainsFunc(e.Metadata, has) {
			continue
		}
		value := ""
		for _, name := range c.limits.DiscoverGenericFields[field] {
			if value = info.labels.Get(name); value != "" {
				break
			}
			if i := slices.IndexFunc(e.Metadata, func(p model.Pair) bool { return p.Name == name }); i >= 0 {
				value = e.Metadata[i].Value
				break
			}
			if line == nil {
				line = lineFields(e.Line)
			}
			if value = line(name); value != "" {
				break
			}
		}
		if value == "" {
			continue
		}
		at := 0
		for at < len(e.Metadata) && e.Metadata[at].Name < field {
			at++
		}
		from := len(c.meta)
		c.meta = append(append(c.meta, e.Metadata[:at]...), model.Pair{Name: field, Value: value})
		c.meta = append(c.meta, e.Metadata[at:]...)
		e.Metadata = c.meta[from:len(c.meta):len(c.meta)]
	}
}

// genericFields are the names of the fields to be discovered, clean and in order.
func genericFields(fields map[string][]string) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(fields)), func(name string) bool { return !wire.IsCleanName(name) })
}

// lineFields returns a look-up of the fields of a line, which is a JSON object or logfmt.
func lineFields(line []byte) func(name string) string {
	if text := bytes.TrimLeft(line, " \t"); len(text) > 0 && text[0] == '{' {
		var object map[string]json.RawMessage
		if json.Unmarshal(text, &object) == nil {
			return func(name string) string { return jsonField(object, name) }
		}
	}
	return func(name string) string { return logfmtField(line, name) }
}

// jsonField returns a string, a number or a boolean of the object, or of one within it.
func jsonField(object map[string]json.RawMessage, name string) string {
	if raw, ok := object[name]; ok {
		text := string(raw)
		switch {
		case text[0] == '"':
			var s string
			_ = json.Unmarshal(raw, &s) // it is valid: the whole object is
			return s
		case text[0] == '{' || text[0] == '[' || text == "null":
			return ""
		}
		return text
	}
	first, rest, ok := strings.Cut(name, ".")
	if !ok {
		return ""
	}
	var inner map[string]json.RawMessage
	if json.Unmarshal(object[first], &inner) != nil {
		return ""
	}
	return jsonField(inner, rest)
}

// logfmtField returns the value of the first pair of that key.
func logfmtField(line []byte, name string) string {
	for i := 0; i < len(line); {
		n := bytes.Index(line[i:], []byte(name+"="))
		if n < 0 {
			return ""
		}
		i += n
		start := i + len(name) + 1
		if i > 0 && line[i-1] != ' ' && line[i-1] != '\t' {
			i = start
			continue
		}
		if start < len(line) && line[start] == '"' {
			end := stringEnd(line, start+1)
			if end < 0 {
				return ""
			}
			s, err := strconv.Unquote(string(line[start : end+1]))
			if err != nil {
				return ""
			}
			return s
		}
		value, _, _ := bytes.Cut(line[start:], []byte(" "))
		return string(value)
	}
	return ""
}
