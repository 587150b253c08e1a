package pipeline

import (
	"fmt"

	"logstore/pkg/logql/syntax"
)

// unwrap turns a label into the value of a sample.
type unwrap struct {
	label   string
	convert func(string) (float64, error)
	filters []condition
}

type boundUnwrap struct {
	s       *Stream
	slot    *slot
	convert func(string) (float64, error)
	filters []boundCondition
}

func newUnwrap(u *syntax.Unwrap) (*unwrap, error) {
	out := &unwrap{label: u.Label}
	switch u.Conversion {
	case "":
		out.convert = parseNumber
	case "bytes":
		out.convert = func(s string) (float64, error) {
			v, err := parseSize(s)
			return float64(v), err
		}
	case "duration", "duration_seconds":
		out.convert = func(s string) (float64, error) {
			v, err := parseDuration(s)
			return v.Seconds(), err
		}
	default:
		return nil, fmt.Errorf("unknown conversion of unwrap: %s", u.Conversion)
	}
	for _, f := range u.Filters {
		c, err := newCondition(f)
		if err != nil {
			return nil, err
		}
		out.filters = append(out.filters, c)
	}
	return out, nil
}

func (u *unwrap) bind(s *Stream) *boundUnwrap {
	b := &boundUnwrap{s: s, slot: s.pin(u.label), convert: u.convert}
	for _, f := range u.filters {
		b.filters = append(b.filters, f.bind(s))
	}
	return b
}

// value returns the value of the current line, and false for a line without the label or one that a filter drops.
func (u *boundUnwrap) value() (float64, bool) {
	text, _ := u.s.get(u.slot)
	if text == "" {
		return 0, false
	}
	v, err := u.convert(text)
	if err != nil {
		u.s.setError(errSample, err.Error())
		v = 0
	}
	for _, f := range u.filters {
		if !f.holds() {
			return 0, false
		}
	}
	return v, true
}
