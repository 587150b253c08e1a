package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// maxJSONDepth bounds the nesting of JSON, since it is walked by recursion.
const maxJSONDepth = 200

// SyntaxError is the error of a JSON body that can't be read.
type SyntaxError struct {
	// Offset is where in the decompressed body it was noticed.
	Offset int
	// Near is some text from there.
	Near string
	Msg  string
}

// Error tells what is wrong and where.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("cannot read JSON: %s at byte %d, near %q", e.Msg, e.Offset, e.Near)
}

// scanner walks a JSON text. Strings are unescaped in place, so the text is not usable afterwards.
type scanner struct {
	b     []byte
	i     int
	depth int
}

func (s *scanner) fail(format string, args ...any) error {
	from := min(s.i, len(s.b))
	return &SyntaxError{Offset: s.i, Near: string(s.b[from:min(from+24, len(s.b))]), Msg: fmt.Sprintf(format, args...)}
}

// peek skips white space and returns the next byte, 0 at the end.
func (s *scanner) peek() byte {
	for s.i < len(s.b) {
		switch c := s.b[s.i]; c {
		case ' ', '\t', '\n', '\r':
			s.i++
		default:
			return c
		}
	}
	return 0
}

func (s *scanner) expect(c byte) error {
	if got := s.peek(); got != c || s.i >= len(s.b) {
		return s.unexpected(strconv.QuoteRune(rune(c)))
	}
	s.i++
	return nil
}

func (s *scanner) unexpected(wanted string) error {
	if c := s.peek(); s.i < len(s.b) {
		return s.fail("expected %s, found %q", wanted, c)
	}
	return s.fail("expected %s, found the end", wanted)
}

// end wants nothing but white space.
func (s *scanner) end() error {
	if s.peek(); s.i < len(s.b) {
		return s.unexpected("the end")
	}
	return nil
}

// null reads a null if there is one.
func (s *scanner) null() bool {
	if s.peek() == 'n' && bytes.HasPrefix(s.b[s.i:], []byte("null")) {
		s.i += 4
		return true
	}
	return false
}

// object calls f with each key, with the scanner before its value, which f must read. The key is valid until then.
func (s *scanner) object(f func(key []byte) error) error {
	if err := s.enter('{'); err != nil {
		return err
	}
	for more := s.peek() != '}'; more; {
		key, err := s.str()
		if err != nil {
			return err
		}
		if err := s.expect(':'); err != nil {
			return err
		}
		if err := f(key); err != nil {
			return err
		}
		if more, err = s.next('}'); err != nil {
			return err
		}
	}
	return s.leave('}')
}

// array calls f before each element, which f must read.
func (s *scanner) array(f func() error) error {
	if err := s.enter('['); err != nil {
		return err
	}
	for more := s.peek() != ']'; more; {
		if err := f(); err != nil {
			return err
		}
		var err error
		if more, err = s.next(']'); err != nil {
			return err
		}
	}
	return s.leave(']')
}

func (s *scanner) enter(c byte) error {
	if err := s.expect(c); err != nil {
		return err
	}
	if s.depth++; s.depth > maxJSONDepth {
		return s.fail("nested deeper than %d", maxJSONDepth)
	}
	return nil
}

func (s *scanner) leave(c byte) error {
	s.depth--
	return s.expect(c)
}

// next reads a comma, or sees the closing bracket.
func (s *scanner) next(closing byte) (more bool, err error) {
	switch s.peek() {
	case ',':
		s.i++
		return true, nil
	case closing:
		return false, nil
	}
	return false, s.unexpected(fmt.Sprintf("',' or %q", closing))
}

// str reads a string. It aliases the text.
func (s *scanner) str() ([]byte, error) {
	if s.peek() != '"' {
		return nil, s.unexpected("a string")
	}
	from := s.i + 1
	n := bytes.IndexByte(s.b[from:], '"')
	if n < 0 {
		return nil, s.fail("string without end")
	}
	if esc := bytes.IndexByte(s.b[from:from+n], '\\'); esc >= 0 {
		return s.unescape(from, from+esc)
	}
	s.i = from + n + 1
	return s.b[from : from+n : from+n], nil
}

// unescape reads the rest of a string from its first backslash on, and writes it over the escaped text, which is never
// shorter.
func (s *scanner) unescape(from, at int) ([]byte, error) {
	b, dst := s.b, at
	for i := at; i < len(b); {
		switch c := b[i]; c {
		case '"':
			s.i = i + 1
			return b[from:dst:dst], nil
		case '\\':
			if i+1 >= len(b) {
				s.i = i
				return nil, s.fail("string without end")
			}
			if short := escapes[b[i+1]]; short != 0 {
				b[dst], dst, i = short, dst+1, i+2
				continue
			}
			r, n := unescapeRune(b[i:])
			if n == 0 {
				s.i = i
				return nil, s.fail("bad escape in string")
			}
			dst, i = dst+utf8.EncodeRune(b[dst:], r), i+n
		default:
			dst, i = moveRun(b, dst, i)
		}
	}
	s.i = from - 1
	return nil, s.fail("string without end")
}

// moveRun moves bytes from i on down to dst, up to the next quote or backslash, eight at a time: what it writes over is
// read before.
func moveRun(b []byte, dst, i int) (int, int) {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for ; i+8 <= len(b); dst, i = dst+8, i+8 {
		x := binary.LittleEndian.Uint64(b[i:])
		quote, slash := x^('"'*ones), x^('\\'*ones)
		if ((quote-ones)&^quote|(slash-ones)&^slash)&highs != 0 {
			break
		}
		binary.LittleEndian.PutUint64(b[dst:], x)
	}
	for ; i < len(b) && b[i] != '"' && b[i] != '\\'; dst, i = dst+1, i+1 {
		b[dst] = b[i]
	}
	return dst, i
}

// escapes are the bytes behind a backslash that stand for one byte.
var escapes = [256]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// unescapeRune reads \uXXXX, two of them for a surrogate pair, and returns the number of bytes read, 0 if it is none.
// Half a pair is U+FFFD, as in encoding/json.
func unescapeRune(b []byte) (rune, int) {
	r := hex4(b)
	if r < 0 {
		return 0, 0
	}
	if utf16.IsSurrogate(r) {
		if len(b) >= 12 {
			if low := hex4(b[6:]); low >= 0 {
				if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
					return pair, 12
				}
			}
		}
		r = utf8.RuneError
	}
	return r, 6
}

func hex4(b []byte) rune {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return -1
	}
	var r rune
	for _, c := range b[2:6] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}

// text reads a string, or the text of another scalar.
func (s *scanner) text() ([]byte, error) {
	if s.peek() == '"' {
		return s.str()
	}
	return s.literal()
}

// literal reads a number, true, false or null and returns its text.
func (s *scanner) literal() ([]byte, error) {
	s.peek()
	from := s.i
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case ',', ']', '}', ' ', '\t', '\n', '\r', ':', '"', '[', '{':
		default:
			s.i++
			continue
		}
		break
	}
	text := s.b[from:s.i]
	switch string(text) {
	case "true", "false", "null":
		return text, nil
	}
	if !isNumber(text) {
		s.i = from
		return nil, s.unexpected("a value")
	}
	return text, nil
}

// isNumber reports whether b is a number by JSON's grammar.
func isNumber(b []byte) bool {
	if len(b) > 0 && b[0] == '-' {
		b = b[1:]
	}
	n := digits(b)
	if n == 0 || n > 1 && b[0] == '0' {
		return false
	}
	if b = b[n:]; len(b) > 0 && b[0] == '.' {
		if n = digits(b[1:]); n == 0 {
			return false
		}
		b = b[1+n:]
	}
	if len(b) > 0 && (b[0] == 'e' || b[0] == 'E') {
		if b = b[1:]; len(b) > 0 && (b[0] == '+' || b[0] == '-') {
			b = b[1:]
		}
		if n = digits(b); n == 0 {
			return false
		}
		b = b[n:]
	}
	return len(b) == 0
}

func digits(b []byte) (n int) {
	for n < len(b) && '0' <= b[n] && b[n] <= '9' {
		n++
	}
	return n
}

// skip reads any value.
func (s *scanner) skip() error {
	var err error
	switch s.peek() {
	case '{':
		return s.object(func([]byte) error { return s.skip() })
	case '[':
		return s.array(s.skip)
	case '"':
		_, err = s.str()
	default:
		_, err = s.literal()
	}
	return err
}
