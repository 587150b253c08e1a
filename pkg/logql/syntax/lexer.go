package syntax

import (
	"errors"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// kind is the kind of a token.
type kind uint8

const (
	tokEnd      kind = iota
	tokIdent         // a name or keyword, as written
	tokString        // text is unquoted
	tokNumber        // number
	tokDuration      // duration
	tokBytes         // bytes
	tokRange         // [5m]: duration
	tokFlag          // --strict: text is "--strict"
	tokOp            // punctuation
	tokBad           // something unreadable: text is the message, hint may be set
)

// token is a word of a query.
type token struct {
	kind       kind
	pos, end   int // byte offsets of the query
	text, hint string
	number     float64
	duration   time.Duration
	bytes      uint64
}

// is reports whether the token is the given punctuation.
func (t token) is(op string) bool { return t.kind == tokOp && t.text == op }

// word reports whether the token is the given keyword, in any case.
func (t token) word(keyword string) bool {
	return t.kind == tokIdent && strings.EqualFold(t.text, keyword)
}

// lexer cuts a query into tokens.
type lexer struct {
	query string
	pos   int
}

// operators are the punctuation, longer ones before their prefixes.
var operators = []string{
	"|=", "|~", "|>", "!=", "!~", "!>", "=~", "==", "<=", ">=",
	"{", "}", "(", ")", ",", "|", "=", "<", ">", "+", "-", "*", "/", "%", "^",
}

// next returns the next token. After tokBad and tokEnd it must not be called again.
func (l *lexer) next() token {
	if bad, ok := l.skipSpace(); !ok {
		return bad
	}
	start := l.pos
	if start == len(l.query) {
		return token{kind: tokEnd, pos: start, end: start}
	}
	rest := l.query[start:]
	r, _ := utf8.DecodeRuneInString(rest)
	var t token
	switch {
	case r == '"' || r == '`':
		t = l.quoted(byte(r))
	case r == '\'':
		t = token{kind: tokBad, text: "strings stand in \" or `, not in '"}
	case r == '[':
		t = l.rangeBrackets()
	case isDigit(rest[0]) || rest[0] == '.' && len(rest) > 1 && isDigit(rest[1]):
		t = l.number()
	case isNameStart(r):
		l.pos += nameLen(rest)
		t = token{kind: tokIdent, text: l.query[start:l.pos]}
	case strings.HasPrefix(rest, "--") && len(rest) > 2 && isLetter(rest[2]):
		n := 2 + len(rest[2:]) - len(strings.TrimLeftFunc(rest[2:], func(r rune) bool {
			return r == '-' || r < utf8.RuneSelf && isLetter(byte(r))
		}))
		l.pos += n
		t = token{kind: tokFlag, text: strings.ToLower(rest[:n])}
	default:
		t = l.operator(rest, r)
	}
	t.pos, t.end = start, l.pos
	return t
}

func (l *lexer) operator(rest string, r rune) token {
	for _, op := range operators {
		if strings.HasPrefix(rest, op) {
			l.pos += len(op)
			return token{kind: tokOp, text: op}
		}
	}
	t := token{kind: tokBad, text: "unexpected character " + strconv.QuoteRune(r)}
	switch r {
	case '&':
		t.hint = "did you mean and?"
	case '!':
		t.hint = "did you mean != or !~?"
	case ':':
		t.hint = "subqueries are not part of LogQL"
	}
	return t
}

// skipSpace steps over blanks and remarks.
func (l *lexer) skipSpace() (bad token, ok bool) {
	for l.pos < len(l.query) {
		rest := l.query[l.pos:]
		switch {
		case strings.HasPrefix(rest, "#"), strings.HasPrefix(rest, "//"):
			n := strings.IndexByte(rest, '\n')
			if n < 0 {
				n = len(rest)
			}
			l.pos += n
		case strings.HasPrefix(rest, "/*"):
			n := strings.Index(rest[2:], "*/")
			if n < 0 {
				return token{kind: tokBad, pos: l.pos, end: l.pos, text: "remark is not closed", hint: "expected */"}, false
			}
			l.pos += n + 4
		default:
			r, size := utf8.DecodeRuneInString(rest)
			if !unicode.IsSpace(r) {
				return token{}, true
			}
			l.pos += size
		}
	}
	return token{}, true
}

// quoted reads a string from its quote on.
func (l *lexer) quoted(quote byte) token {
	start := l.pos
	for i := start + 1; i < len(l.query); i++ {
		switch c := l.query[i]; {
		case c == quote:
			raw := l.query[start : i+1]
			l.pos = i + 1
			if quote == '`' {
				// strconv.Unquote would drop carriage returns.
				return token{kind: tokString, text: raw[1 : len(raw)-1]}
			}
			text, err := strconv.Unquote(raw)
			if err != nil {
				return token{kind: tokBad, text: "string " + raw + " has a wrong escape", hint: "write \\\\ for a backslash, or use back quotes"}
			}
			return token{kind: tokString, text: text}
		case c == '\\' && quote == '"':
			i++
		case c == '\n' && quote == '"':
			return token{kind: tokBad, text: "string is not closed", hint: "expected \" before the line ends"}
		}
	}
	return token{kind: tokBad, text: "string is not closed", hint: "expected " + string(quote)}
}

// rangeBrackets reads [5m]. Loki reads no parts of a millisecond there; our own queries may have them.
func (l *lexer) rangeBrackets() token {
	rest := l.query[l.pos:]
	n := strings.IndexByte(rest, ']')
	if n < 0 {
		return token{kind: tokBad, text: "range is not closed", hint: "expected ]"}
	}
	text := rest[1:n]
	d, err := parseUnits(text, allUnits)
	if err != nil {
		t := token{kind: tokBad, text: "range [" + clip(text) + "] holds no duration such as 5m or 1h30m"}
		if strings.TrimSpace(text) != text {
			t.hint = "no blanks are allowed inside the brackets"
		}
		return t
	}
	l.pos += n + 1
	return token{kind: tokRange, text: rest[:n+1], duration: d}
}

// number reads a number, a duration or a size.
func (l *lexer) number() token {
	start := l.pos
	i := start
	for i < len(l.query) {
		r, size := utf8.DecodeRuneInString(l.query[i:])
		exponentSign := (r == '+' || r == '-') && i+1 < len(l.query) && isDigit(l.query[i+1]) &&
			(l.query[i-1] == 'e' || l.query[i-1] == 'E') && isDecimal(l.query[start:i-1])
		if r != '.' && r != 'µ' && r != 'μ' && !isNameRune(r) && !exponentSign {
			break
		}
		i += size
	}
	text := l.query[start:i]
	if v, ok := parseNumber(text); ok {
		l.pos = i
		return token{kind: tokNumber, text: text, number: v}
	}
	if d, ok := parseAnyDuration(text); ok {
		l.pos = i
		return token{kind: tokDuration, text: text, duration: d}
	}
	if n, err := ParseBytes(text); err == nil {
		l.pos = i
		return token{kind: tokBytes, text: text, bytes: n}
	}
	return token{kind: tokBad, text: clip(text) + " is no number, duration (1h30m) or size (5KB)"}
}

// parseNumber reads a decimal number with or without an exponent. One that is too large is an infinity.
func parseNumber(text string) (float64, bool) {
	if strings.Trim(text, "0123456789.eE+-") != "" {
		return 0, false // hexadecimal and the like
	}
	v, err := strconv.ParseFloat(text, 64)
	return v, err == nil || errors.Is(err, strconv.ErrRange)
}

// isDecimal reports whether the text has only digits and at most one point; the empty text has.
func isDecimal(text string) bool {
	return strings.Trim(text, "0123456789.") == "" && strings.Count(text, ".") <= 1
}

// clip shortens a text for a message.
func clip(text string) string {
	if r := []rune(text); len(r) > maxExcerpt {
		return string(r[:maxExcerpt]) + "..."
	}
	return text
}

func isDigit(c byte) bool  { return '0' <= c && c <= '9' }
func isLetter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }

func isNameStart(r rune) bool { return r == '_' || unicode.IsLetter(r) }
func isNameRune(r rune) bool  { return isNameStart(r) || unicode.IsDigit(r) }

// nameLen is the length of the name that the text begins with.
func nameLen(text string) int {
	for i, r := range text {
		if !isNameRune(r) {
			return i
		}
	}
	return len(text)
}
