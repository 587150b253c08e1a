package pipeline

import (
	"encoding/binary"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
)

// Result is the set of labels that an entry has after the pipeline.
type Result struct {
	// Labels are all of them together: stream's, structured metadata and parsed.
	Labels labels.Labels
	// Hash is Labels.Hash().
	Hash uint64
	// Stream, Metadata and Parsed are Labels by origin, for the categorize-labels encoding. Samples leave them empty.
	Stream, Metadata, Parsed labels.Labels
}

// maxResults bounds the results that a Stream remembers; when there are more, all are forgotten.
const maxResults = 1 << 14

// resultCache finds the Result of a line's labels. It looks twice: by the labels in the order in which the stages set
// them, which costs little and nearly always succeeds, and by the sorted labels, so that equal ones share a Result in
// whatever order they came.
type resultCache struct {
	byTouch  map[string]*Result
	byLabels map[string]*Result
	key      []byte
	lastKey  []byte
	last     *Result
	sorted   []resultLabel
	builder  labels.ScratchBuilder
}

type resultLabel struct {
	name, val string
	cat       category
}

// result returns the interned labels of the current line.
func (s *Stream) result() *Result {
	c := &s.results
	c.key = c.key[:0]
	if s.groups != nil {
		s.groupKey()
	} else {
		s.touchKey()
	}
	if c.last != nil && string(c.lastKey) == string(c.key) {
		return c.last
	}
	r, ok := c.byTouch[string(c.key)]
	if !ok {
		r = s.newResult()
	}
	c.lastKey = append(c.lastKey[:0], c.key...)
	c.last = r
	return r
}

// groupKey writes the values of the grouping labels.
func (s *Stream) groupKey() {
	c := &s.results
	for _, sl := range s.groups {
		v, ok := s.get(sl)
		if !ok {
			c.key = append(c.key, 0)
			continue
		}
		c.key = binary.AppendUvarint(c.key, uint64(len(v))+1)
		c.key = append(c.key, v...)
	}
}

// GroupLabels returns the labels that a key of SampleKey stands for.
func (p *Pipeline) GroupLabels(key []byte) labels.Labels {
	sorted := make([]resultLabel, 0, len(p.groupBy))
	for _, name := range p.groupBy {
		size, n := binary.Uvarint(key)
		key = key[n:]
		if size == 0 {
			continue // the entry has no such label
		}
		sorted = append(sorted, resultLabel{name: name, val: text(key[:size-1])})
		key = key[size-1:]
	}
	slices.SortFunc(sorted, func(a, b resultLabel) int { return strings.Compare(a.name, b.name) })
	sorted = slices.CompactFunc(sorted, func(a, b resultLabel) bool { return a.name == b.name })
	var b labels.ScratchBuilder
	for i := range sorted {
		b.Add(sorted[i].name, sorted[i].val)
	}
	return b.Labels()
}

// touchKey writes what differs from the stream's labels.
func (s *Stream) touchKey() {
	c := &s.results
	key := c.key
	for _, sl := range s.touched {
		if sl.excluded || (!sl.present && !sl.inBase) {
			continue
		}
		if !sl.present {
			key = binary.AppendUvarint(key, uint64(sl.id)<<2)
			continue
		}
		key = binary.AppendUvarint(key, uint64(sl.id)<<2|uint64(sl.cat)+1)
		key = binary.AppendUvarint(key, uint64(len(sl.val)))
		key = append(key, sl.val...)
	}
	if s.err != "" || s.details != "" {
		key = append(key, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
		key = append(key, s.err...)
		key = append(key, 0)
		key = append(key, s.details...)
	}
	c.key = key
}

// newResult builds the labels of the line and enters them into both maps.
func (s *Stream) newResult() *Result {
	c := &s.results
	c.sorted = c.sorted[:0]
	if s.groups != nil {
		for _, sl := range s.groups {
			if v, ok := s.get(sl); ok {
				c.sorted = append(c.sorted, resultLabel{sl.name, v, catStream})
			}
		}
	} else {
		s.eachLabel(func(sl *slot, cat category, val string) {
			if !sl.excluded && (val != "" || !s.p.sample) {
				c.sorted = append(c.sorted, resultLabel{sl.name, val, cat})
			}
		})
		if s.err != "" && !s.pin(errorLabel).excluded {
			c.sorted = append(c.sorted, resultLabel{errorLabel, s.err, catParsed})
		}
		if s.details != "" && !s.pin(errorDetailsLabel).excluded {
			c.sorted = append(c.sorted, resultLabel{errorDetailsLabel, s.details, catParsed})
		}
	}
	slices.SortFunc(c.sorted, func(a, b resultLabel) int { return strings.Compare(a.name, b.name) })
	c.sorted = slices.CompactFunc(c.sorted, func(a, b resultLabel) bool { return a.name == b.name })
	if len(c.byTouch) >= maxResults {
		clear(c.byTouch)
		clear(c.byLabels)
	}
	canonical := make([]byte, 0, 256)
	for i := range c.sorted {
		l := &c.sorted[i]
		canonical = append(canonical, byte(l.cat))
		canonical = binary.AppendUvarint(canonical, uint64(len(l.name)))
		canonical = append(canonical, l.name...)
		canonical = binary.AppendUvarint(canonical, uint64(len(l.val)))
		canonical = append(canonical, l.val...)
	}
	r, ok := c.byLabels[string(canonical)]
	if !ok {
		r = s.buildResult()
		c.byLabels[string(canonical)] = r
	}
	c.byTouch[string(c.key)] = r
	return r
}

func (s *Stream) buildResult() *Result {
	c := &s.results
	r := &Result{Labels: c.build(func(category) bool { return true })}
	r.Hash = r.Labels.Hash()
	if s.p.sample {
		// Nobody asks where the labels of a sample come from.
		return r
	}
	r.Stream = c.build(func(k category) bool { return k == catStream })
	r.Metadata = c.build(func(k category) bool { return k == catMetadata })
	r.Parsed = c.build(func(k category) bool { return k == catParsed })
	return r
}

// build copies the sorted labels of some categories. The builder copies the bytes, so that nothing of the line stays.
func (c *resultCache) build(want func(category) bool) labels.Labels {
	c.builder.Reset()
	for i := range c.sorted {
		if l := &c.sorted[i]; want(l.cat) {
			c.builder.Add(l.name, l.val)
		}
	}
	return c.builder.Labels()
}
