package pipeline

import (
	"bytes"
	"fmt"
)

// linePattern is the pattern of |> and !>: literals with wildcards between them. Each wildcard stands for at least one
// byte; text may stand before a leading literal, but none behind a trailing one.
type linePattern struct {
	parts    []linePart
	wildLast bool
}

type linePart struct {
	literal []byte
	// wild says that a wildcard stands before the literal.
	wild bool
}

func newLinePattern(expr string) (*linePattern, error) {
	parts, err := parsePattern(expr)
	if err != nil {
		return nil, err
	}
	p := &linePattern{}
	wild := false
	for _, part := range parts {
		if !part.capture {
			p.parts = append(p.parts, linePart{literal: []byte(part.literal), wild: wild})
			wild = false
			continue
		}
		if part.name != "_" {
			return nil, fmt.Errorf("named captures are not allowed in pattern filters: <%s>", part.name)
		}
		wild = true
	}
	p.wildLast = wild
	return p, nil
}

func (p *linePattern) match(line []byte) bool {
	if len(p.parts) == 0 {
		return (len(line) > 0) == p.wildLast
	}
	for i := range p.parts {
		part := &p.parts[i]
		at := bytes.Index(line, part.literal)
		if at < 0 || at == 0 && part.wild {
			return false
		}
		line = line[at+len(part.literal):]
	}
	return (len(line) > 0) == p.wildLast
}
