package api

import (
	"bytes"
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"sync"
	"unicode/utf8"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/logql/engine"
)

const jsonType = "application/json; charset=UTF-8"

// writeJSON answers with one small value.
func writeJSON(w http.ResponseWriter, status int, v any) error {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	w.Header().Set("Content-Type", jsonType)
	w.WriteHeader(status)
	_, err := w.Write(bytes.TrimSuffix(buf.Bytes(), []byte("\n")))
	return ignoreGone(err)
}

// ignoreGone drops the error of a write: the client left, and the status has been sent.
func ignoreGone(error) error { return nil }

// flushAt is how many bytes an encoder gathers before it writes them out.
const flushAt = 64 << 10

// encoder appends JSON to a buffer and writes it out in pieces, so that a large answer is never held as a whole.
type encoder struct {
	w   http.ResponseWriter
	buf []byte
	err error
}

// encoders have room for what is gathered: most answers are much smaller.
var encoders = sync.Pool{New: func() any { return &encoder{buf: make([]byte, 0, flushAt+4096)} }}

// giveBack leaves an encoder to the next answer, unless a long line made it large.
func (e *encoder) giveBack() {
	e.w, e.buf = nil, e.buf[:0]
	if cap(e.buf) <= 2*flushAt {
		encoders.Put(e)
	}
}

func (e *encoder) flushIfFull() {
	if e.w != nil && len(e.buf) >= flushAt {
		e.flush()
	}
}

func (e *encoder) flush() {
	if e.err == nil && len(e.buf) > 0 {
		_, e.err = e.w.Write(e.buf)
	}
	e.buf = e.buf[:0]
}

func (e *encoder) raw(s string) { e.buf = append(e.buf, s...) }

func (e *encoder) string(s string) { e.buf = appendString(e.buf, s) }

// comma writes a comma before all but the first of a list.
func (e *encoder) comma(i int) {
	if i > 0 {
		e.buf = append(e.buf, ',')
	}
}

func (e *encoder) labels(l labels.Labels) {
	e.buf = append(e.buf, '{')
	i := 0
	l.Range(func(l labels.Label) {
		e.comma(i)
		i++
		e.string(l.Name)
		e.buf = append(e.buf, ':')
		e.string(l.Value)
	})
	e.buf = append(e.buf, '}')
}

// writeResult streams the answer of a query.
func writeResult(w http.ResponseWriter, res engine.Result, flags []string, categorize bool) error {
	w.Header().Set("Content-Type", jsonType)
	e := encoders.Get().(*encoder)
	e.w, e.err = w, nil
	defer e.giveBack()
	e.raw(`{"status":"success",`)
	if len(res.Warnings) > 0 {
		e.raw(`"warnings":[`)
		for i, s := range res.Warnings {
			e.comma(i)
			e.string(s)
		}
		e.raw(`],`)
	}
	e.raw(`"data":{"resultType":"` + res.Value.Type() + `",`)
	if _, ok := res.Value.(engine.Streams); ok && len(flags) > 0 {
		e.raw(`"encodingFlags":[`)
		for i, f := range flags {
			e.comma(i)
			e.string(f)
		}
		e.raw(`],`)
	}
	e.raw(`"result":`)
	e.value(res.Value, categorize)
	e.raw(`,"stats":`)
	e.stats(res.Stats)
	e.raw(`}}`)
	e.flush()
	return ignoreGone(e.err)
}

func (e *encoder) value(v engine.Value, categorize bool) {
	switch v := v.(type) {
	case engine.Streams:
		e.streams(v, categorize)
	case engine.Matrix:
		e.raw("[")
		for i := range v {
			e.comma(i)
			e.series(&v[i])
		}
		e.raw("]")
	case engine.Vector:
		e.raw("[")
		for i := range v {
			e.comma(i)
			e.raw(`{"metric":`)
			e.labels(v[i].Labels)
			e.raw(`,"value":`)
			e.point(v[i].Points[0])
			e.raw("}")
			e.flushIfFull()
		}
		e.raw("]")
	case engine.Scalar:
		e.point(engine.Point(v))
	}
}

func (e *encoder) series(s *engine.Series) {
	e.raw(`{"metric":`)
	e.labels(s.Labels)
	e.raw(`,"values":[`)
	for i, p := range s.Points {
		e.comma(i)
		e.point(p)
		e.flushIfFull()
	}
	e.raw("]}")
}

// point writes [seconds, "value"]: seconds with up to three decimals.
func (e *encoder) point(p engine.Point) {
	e.buf = append(e.buf, '[')
	e.buf = appendSeconds(e.buf, p.T)
	e.buf = append(e.buf, ',', '"')
	e.buf = appendFloat(e.buf, p.V)
	e.buf = append(e.buf, '"', ']')
}

func appendSeconds(b []byte, ms int64) []byte {
	if ms%1000 == 0 {
		return strconv.AppendInt(b, ms/1000, 10)
	}
	return strconv.AppendFloat(b, float64(ms)/1000, 'f', -1, 64)
}

func appendFloat(b []byte, v float64) []byte {
	switch {
	case math.IsInf(v, 1):
		return append(b, "+Inf"...)
	case math.IsInf(v, -1):
		return append(b, "-Inf"...)
	case math.IsNaN(v):
		return append(b, "NaN"...)
	}
	return strconv.AppendFloat(b, v, 'f', -1, 64)
}

func (e *encoder) streams(streams engine.Streams, categorize bool) {
	e.raw("[")
	for i := range streams {
		e.comma(i)
		e.raw(`{"stream":`)
		e.labels(streams[i].Labels)
		e.raw(`,"values":[`)
		for j := range streams[i].Entries {
			e.comma(j)
			e.entry(&streams[i].Entries[j], categorize)
			e.flushIfFull()
		}
		e.raw("]}")
	}
	e.raw("]")
}

func (e *encoder) entry(en *engine.LogEntry, categorize bool) {
	e.buf = append(e.buf, '[', '"')
	e.buf = strconv.AppendInt(e.buf, en.Timestamp, 10)
	e.buf = append(e.buf, '"', ',')
	e.string(en.Line)
	if categorize {
		e.raw(",{")
		if !en.Metadata.IsEmpty() {
			e.raw(`"structuredMetadata":`)
			e.labels(en.Metadata)
		}
		if !en.Parsed.IsEmpty() {
			if !en.Metadata.IsEmpty() {
				e.raw(",")
			}
			e.raw(`"parsed":`)
			e.labels(en.Parsed)
		}
		e.raw("}")
	}
	e.buf = append(e.buf, ']')
}

const hexDigits = "0123456789abcdef"

// appendString appends s as a JSON string. What is not UTF-8 becomes U+FFFD.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c < utf8.RuneSelf {
			b = append(b, s[start:i]...)
			b = appendEscape(b, c)
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 {
			b = append(b, s[start:i]...)
			b = append(b, `\ufffd`...)
			i++
			start = i
			continue
		}
		i += size
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}

func appendEscape(b []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\n':
		return append(b, '\\', 'n')
	case '\r':
		return append(b, '\\', 'r')
	case '\t':
		return append(b, '\\', 't')
	}
	return append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
}
