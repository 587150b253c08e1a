package config

import (
	"errors"
	"fmt"
	"strings"
)

// LookupEnv returns the value of an environment variable and whether it is set, as os.LookupEnv does.
type LookupEnv func(name string) (string, bool)

// expandEnv replaces ${VAR}, ${VAR:default} and ${VAR:-default} in the text of a file, before YAML reads it. The default
// holds for a variable that is unset or empty, and may hold further colons; without a default it is empty. $VAR without
// braces is replaced only if VAR is set, and $$ before a name or a brace is one plain $: so passwords, templates and $1 of
// regular expressions stay what they are.
func expandEnv(text string, lookup LookupEnv) (string, error) {
	var out strings.Builder
	line := 1
	for {
		i := strings.IndexByte(text, '$')
		if i < 0 || i+1 == len(text) {
			out.WriteString(text)
			return out.String(), nil
		}
		line += strings.Count(text[:i], "\n")
		out.WriteString(text[:i])
		text = text[i+1:]
		switch {
		case text[0] == '$' && len(text) > 1 && (text[1] == '{' || nameLength(text[1:]) > 0):
			n := 2
			if text[1] != '{' {
				n = 1 + nameLength(text[1:])
			}
			out.WriteString("$" + text[1:n])
			text = text[n:]
		case text[0] == '{':
			value, length, err := expandBraces(text[1:], lookup)
			if err != nil {
				return "", fmt.Errorf("line %d: %w", line, err)
			}
			line += strings.Count(text[:1+length], "\n")
			out.WriteString(value)
			text = text[1+length:]
		default:
			n := nameLength(text)
			value, ok := lookup(text[:n])
			if n == 0 || !ok {
				value = "$" + text[:n]
			}
			out.WriteString(value)
			text = text[n:]
		}
	}
}

// expandBraces reads what follows "${" and returns its value and its length with the closing brace. Something in braces
// that is no variable's name, such as ${1}, stays as it is.
func expandBraces(text string, lookup LookupEnv) (string, int, error) {
	end := strings.IndexByte(text, '}')
	if newline := strings.IndexByte(text, '\n'); end < 0 || newline >= 0 && newline < end {
		return "", 0, errors.New("${ has no closing brace")
	}
	n := nameLength(text[:end])
	name, rest := text[:n], text[n:end]
	if n == 0 || rest != "" && rest[0] != ':' {
		return "${" + text[:end+1], end + 1, nil
	}
	value, _ := lookup(name)
	if value == "" && rest != "" {
		value = strings.TrimPrefix(rest[1:], "-")
	}
	return value, end + 1, nil
}

// nameLength returns the length of the variable's name at the start of a text.
func nameLength(s string) int {
	for i := range len(s) {
		c := s[i]
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return i
		}
	}
	return len(s)
}
