package pipeline

import (
	"errors"
	"fmt"
	"strings"
)

// patternPart is a literal, or a capture: the text up to the next literal.
type patternPart struct {
	literal string
	capture bool
	// name is that of a capture, "_" for one without.
	name string
}

var errConsecutiveCaptures = errors.New("found consecutive capture")

// parsePattern splits the expression of a pattern parser or filter.
func parsePattern(expr string) ([]patternPart, error) {
	var parts []patternPart
	var lit strings.Builder
	flush := func() {
		if lit.Len() > 0 {
			parts = append(parts, patternPart{literal: lit.String()})
			lit.Reset()
		}
	}
	for expr != "" {
		if expr[0] == '<' {
			if end := strings.IndexByte(expr, '>'); end > 1 && isCaptureName(expr[1:end]) {
				flush()
				if n := len(parts); n > 0 && parts[n-1].capture {
					return nil, fmt.Errorf("%w '%s'", errConsecutiveCaptures, expr[:end+1])
				}
				parts = append(parts, patternPart{capture: true, name: expr[1:end]})
				expr = expr[end+1:]
				continue
			}
		}
		lit.WriteByte(expr[0])
		expr = expr[1:]
	}
	flush()
	return parts, nil
}

// isCaptureName reports whether the text between angle brackets names a capture; otherwise it is literal.
func isCaptureName(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !(c == '_' || c|0x20 >= 'a' && c|0x20 <= 'z' || i > 0 && c >= '0' && c <= '9') {
			return false
		}
	}
	return s != ""
}
