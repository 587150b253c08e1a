package wire

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/model"
)

// DecodeJSON decodes a push in JSON, in the new form and in the old one. The request's lines alias b, which is changed.
func (r *PushRequest) DecodeJSON(b []byte, o Options) error {
	d := jsonDecoder{scanner: scanner{b: b}, r: r, numericTimes: o.NumericTimes}
	if d.peek() == 0 && d.i == len(b) {
		return errors.New("EOF")
	}
	if !d.null() {
		if err := d.object(d.top); err != nil {
			return err
		}
	}
	return d.end()
}

type jsonDecoder struct {
	scanner
	r            *PushRequest
	numericTimes bool

	// labels are those of the stream that is read; written is its label set as the old form has it.
	labels  []labels.Label
	written string
	// at is the item of a value that comes next, entry the value.
	at       int
	entry    PushEntry
	metaFrom int
}

func (d *jsonDecoder) top(key []byte) error {
	if string(key) != "streams" {
		return d.skip()
	}
	if d.null() {
		return nil
	}
	return d.array(d.stream)
}

func (d *jsonDecoder) stream() error {
	d.labels, d.written = d.labels[:0], ""
	first := len(d.r.entries)
	if !d.null() {
		if err := d.object(d.member); err != nil {
			return err
		}
	}
	text := d.written
	if text == "" {
		var err error
		if text, err = d.r.labelText(d.labels); err != nil {
			return err
		}
	}
	d.r.Streams = append(d.r.Streams, PushStream{Labels: text, Entries: d.r.cutEntries(first)})
	return nil
}

func (d *jsonDecoder) member(key []byte) error {
	known := string(key) == "stream" || string(key) == "values" || string(key) == "labels" || string(key) == "entries"
	if !known {
		return d.skip()
	}
	if d.null() {
		return nil
	}
	switch key[0] {
	case 's':
		return d.object(d.label)
	case 'v':
		return d.array(d.value)
	case 'e':
		return d.array(d.oldEntry)
	}
	text, err := d.str()
	d.written = str(text)
	return err
}

// label reads a label's value. A number or a boolean is taken for its text, as Loki does; null is no label.
func (d *jsonDecoder) label(key []byte) error {
	var value []byte
	var err error
	switch d.peek() {
	case '"':
		value, err = d.str()
	case '{', '[':
		return d.unexpected("a label value, a string")
	default:
		if !d.null() {
			value, err = d.literal()
		}
	}
	if err != nil {
		return err
	}
	for i := range d.labels {
		if d.labels[i].Name == str(key) {
			d.labels[i].Value = str(value)
			return nil
		}
	}
	d.labels = append(d.labels, labels.Label{Name: str(key), Value: str(value)})
	return nil
}

// labelText sorts the labels, drops those without a value and returns their canonical text.
func (r *PushRequest) labelText(set []labels.Label) (string, error) {
	set = slices.DeleteFunc(set, func(l labels.Label) bool { return l.Value == "" })
	slices.SortFunc(set, func(a, b labels.Label) int { return strings.Compare(a.Name, b.Name) })
	from := len(r.text)
	r.text = AppendLabels(r.text, set)
	text := str(r.text[from:])
	for i := range set {
		if !isLabelName(set[i].Name) {
			// The parser of label sets knows how to say it; a name that would make it read something else does not get there.
			if _, err := ParseLabels(text); err != nil {
				return "", err
			}
			return "", &LabelError{Column: 2, Msg: fmt.Sprintf("bad label name %q", set[i].Name)}
		}
	}
	return text, nil
}

// value reads an entry of the new form, [time, line, metadata].
func (d *jsonDecoder) value() error {
	d.at, d.entry, d.metaFrom = 0, PushEntry{}, len(d.r.meta)
	if err := d.array(d.item); err != nil {
		return err
	}
	if d.at < 2 {
		return d.fail("a value of %d items, expected a time and a line", d.at)
	}
	d.endEntry()
	return nil
}

func (d *jsonDecoder) endEntry() {
	d.entry.Metadata = d.r.cutMeta(d.metaFrom)
	d.r.entries = append(d.r.entries, d.entry)
}

func (d *jsonDecoder) item() (err error) {
	d.at++
	switch d.at {
	case 1:
		d.entry.Timestamp, err = d.nanoseconds()
	case 2:
		d.entry.Line, err = d.str()
	case 3:
		err = d.metadata()
	default:
		err = d.skip()
	}
	return err
}

// nanoseconds reads a time: digits in a string or, if so configured, a number.
func (d *jsonDecoder) nanoseconds() (int64, error) {
	var text []byte
	var err error
	d.peek()
	at := d.i
	if d.numericTimes {
		text, err = d.text()
	} else {
		text, err = d.str()
	}
	if err != nil {
		return 0, err
	}
	ts, ok := parseInt(text)
	if !ok && d.numericTimes {
		ts, ok = parseFloatTime(str(text))
	}
	if !ok {
		d.i = at
		return 0, d.fail("a time that is no integer of nanoseconds in a string: %q", truncate(text, 40))
	}
	return ts, nil
}

// parseFloatTime takes a whole number that was written as 1.7e18: a client's JSON library may do that.
func parseFloatTime(s string) (int64, bool) {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) >= 1<<63 {
		return 0, false
	}
	return int64(f), true
}

func parseInt(b []byte) (int64, bool) {
	digits := b
	negative := len(b) > 0 && b[0] == '-'
	if negative {
		digits = b[1:]
	}
	if len(digits) == 0 || len(digits) > 19 {
		return 0, false
	}
	var v uint64
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		v = v*10 + uint64(c-'0')
	}
	if negative {
		return -int64(v), v <= 1<<63
	}
	return int64(v), v < 1<<63
}

func truncate(b []byte, n int) string { return string(b[:min(n, len(b))]) }

// metadata reads structured metadata: an object of strings, or null.
func (d *jsonDecoder) metadata() error {
	if d.null() {
		return nil
	}
	return d.object(d.pair)
}

func (d *jsonDecoder) pair(key []byte) error {
	value, err := d.str()
	if err != nil {
		return err
	}
	d.r.meta = append(d.r.meta, model.Pair{Name: str(key), Value: str(value)})
	return nil
}

// oldEntry reads an entry of the old form, {"ts":"<RFC 3339>","line":"..."}.
func (d *jsonDecoder) oldEntry() error {
	d.at, d.entry, d.metaFrom = 0, PushEntry{}, len(d.r.meta)
	if err := d.object(d.oldMember); err != nil {
		return err
	}
	if d.at == 0 {
		return d.fail("an entry without ts")
	}
	d.endEntry()
	return nil
}

func (d *jsonDecoder) oldMember(key []byte) (err error) {
	switch string(key) {
	case "ts":
		d.at = 1
		d.entry.Timestamp, err = d.oldTime()
	case "line":
		d.entry.Line, err = d.str()
	case "structuredMetadata", "metadata":
		err = d.metadata()
	default:
		err = d.skip()
	}
	return err
}

// oldTime reads a time in RFC 3339 or, for clients that mix the forms, in nanoseconds, as a string or as a number.
func (d *jsonDecoder) oldTime() (int64, error) {
	d.peek()
	at := d.i
	text, err := d.text()
	if err != nil {
		return 0, err
	}
	if ts, ok := parseInt(text); ok {
		return ts, nil
	}
	t, err := time.Parse(time.RFC3339Nano, str(text))
	if err != nil || t.Year() < 1678 || t.Year() > 2261 {
		d.i = at
		return 0, d.fail("ts that is no time in RFC 3339: %q", truncate(text, 40))
	}
	return t.UnixNano(), nil
}
