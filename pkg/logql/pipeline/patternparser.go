package pipeline

import (
	"bytes"
	"errors"
	"fmt"

	"logstore/pkg/logql/syntax"
)

// patternParser extracts the text between literals.
type patternParser struct {
	hints parserHints
	parts []patternPart
}

type boundPattern struct {
	extractor
	parts []boundPart
	idle  bool
}

type boundPart struct {
	literal []byte
	capture bool
	key     *key
}

func newPatternParser(st *syntax.PatternParser, h parserHints) (stage, error) {
	parts, err := parsePattern(st.Pattern)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, part := range parts {
		if !part.capture || part.name == "_" {
			continue
		}
		if seen[part.name] {
			return nil, fmt.Errorf("duplicate capture name (%s)", part.name)
		}
		seen[part.name] = true
	}
	if len(seen) == 0 {
		return nil, errors.New("at least one capture is required")
	}
	if h.nothing {
		return nil, nil
	}
	return &patternParser{hints: h, parts: parts}, nil
}

func (p *patternParser) bind(s *Stream) boundStage {
	b := &boundPattern{extractor: extractor{s: s, hints: &p.hints}, idle: true}
	last := 0
	for _, part := range p.parts {
		bp := boundPart{literal: []byte(part.literal), capture: part.capture}
		if part.capture && part.name != "_" {
			if k := b.key(part.name); !k.skip {
				s.pin(part.name)
				s.pin(part.name + extractedSuffix)
				bp.key = &k
				b.idle = false
				last = len(b.parts) + 1
			}
		}
		b.parts = append(b.parts, bp)
	}
	// Nothing has to be found behind the last capture that is wanted but the literal that ends it.
	b.parts = b.parts[:min(len(b.parts), last+1)]
	return b
}

func (p *boundPattern) process(line []byte) ([]byte, bool) {
	if p.idle || p.hints.stop > 0 && p.s.found >= p.hints.stop {
		return line, true
	}
	if len(line) == 0 {
		return line, true
	}
	rest := line
	parts := p.parts
	if !parts[0].capture {
		if !bytes.HasPrefix(rest, parts[0].literal) {
			return line, true
		}
		rest = rest[len(parts[0].literal):]
		parts = parts[1:]
	}
	for len(parts) > 0 {
		// A capture takes the text up to the next literal, or all of the rest if that is missing.
		k := parts[0].key
		val := rest
		done := true
		if len(parts) > 1 {
			if i := bytes.Index(rest, parts[1].literal); i >= 0 {
				val, rest = rest[:i], rest[i+len(parts[1].literal):]
				done = false
			}
		}
		if k != nil {
			switch p.put(k, text(val)) {
			case giveUp:
				return nil, false
			case enough:
				return line, true
			}
		}
		if done || len(parts) < 3 {
			break
		}
		parts = parts[2:]
	}
	return line, true
}
