package syntax

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
)

// MaxQueryLength is the most bytes that a query may have.
const MaxQueryLength = 128 << 10

// maxDepth bounds the parentheses and functions inside each other.
const maxDepth = 1000

// Parse reads a query. The error, if any, is a *ParseError.
func Parse(query string) (Expr, error) {
	p, err := newParser(query)
	if err != nil {
		return nil, err
	}
	expr, err := p.parseQuery()
	if err != nil {
		return nil, err
	}
	return expr, nil
}

// ParseSample reads a query whose value is samples.
func ParseSample(query string) (SampleExpr, error) {
	expr, err := Parse(query)
	if err != nil {
		return nil, err
	}
	if sample, ok := expr.(SampleExpr); ok {
		return sample, nil
	}
	return nil, newError(query, 0, "a metric query is needed, this is a log query", "did you mean count_over_time(... [5m])?")
}

// ParseLog reads a query whose value is log entries.
func ParseLog(query string) (*LogQuery, error) {
	expr, err := Parse(query)
	if err != nil {
		return nil, err
	}
	if log, ok := expr.(*LogQuery); ok {
		return log, nil
	}
	return nil, newError(query, 0, "a log query is needed, this is a metric query", "")
}

// ParseSelector reads a selector alone, as in {app="web"}, at least one matcher of which does not accept the empty string.
func ParseSelector(query string) ([]*labels.Matcher, error) {
	matchers, err := ParseMatchers(query)
	if err != nil {
		return nil, err
	}
	if !selective(matchers) {
		return nil, newError(query, 0, errNotSelective, hintNotSelective)
	}
	return matchers, nil
}

// ParseMatchers reads a selector alone; it may be {} and its matchers may all accept the empty string.
func ParseMatchers(query string) ([]*labels.Matcher, error) {
	p, err := newParser(query)
	if err != nil {
		return nil, err
	}
	matchers, err := p.parseMatchers()
	if err != nil {
		return nil, err
	}
	if t := p.peek(); t.kind != tokEnd {
		return nil, p.fail(t, "only label matchers are supported here", "")
	}
	return matchers, nil
}

// parser holds the tokens of a query and the place in them.
type parser struct {
	query  string
	tokens []token // the last one is tokEnd or tokBad
	at     int
	depth  int
}

func newParser(query string) (*parser, error) {
	if len(query) > MaxQueryLength {
		return nil, newError("", 0, fmt.Sprintf("the query has %d bytes, %d are allowed", len(query), MaxQueryLength), "")
	}
	p := &parser{query: query}
	l := lexer{query: query}
	for {
		t := l.next()
		p.tokens = append(p.tokens, t)
		if t.kind == tokEnd || t.kind == tokBad {
			return p, nil
		}
	}
}

// peek returns the next token, peekAt the one n behind it.
func (p *parser) peek() token { return p.tokens[p.at] }
func (p *parser) peekAt(n int) token {
	return p.tokens[min(p.at+n, len(p.tokens)-1)]
}

// take returns the next token and steps over it; it stays at the end.
func (p *parser) take() token {
	t := p.tokens[p.at]
	if p.at < len(p.tokens)-1 {
		p.at++
	}
	return t
}

// accept steps over the next token if it is the given punctuation.
func (p *parser) accept(op string) bool {
	if !p.peek().is(op) {
		return false
	}
	p.take()
	return true
}

// acceptWord steps over the next token if it is the given keyword.
func (p *parser) acceptWord(keyword string) bool {
	if !p.peek().word(keyword) {
		return false
	}
	p.take()
	return true
}

// expect steps over the given punctuation, or fails.
func (p *parser) expect(op string) error {
	if !p.accept(op) {
		return p.unexpected(op)
	}
	return nil
}

// fail makes the error for a place. A token that could not be read reports itself.
func (p *parser) fail(t token, message, hint string) error {
	if t.kind == tokBad {
		return newError(p.query, t.pos, t.text, t.hint)
	}
	return newError(p.query, t.pos, message, hint)
}

// unexpected makes the error that the next token is none of those expected.
func (p *parser) unexpected(expected ...string) error {
	return p.unexpectedHint("", expected...)
}

func (p *parser) unexpectedHint(hint string, expected ...string) error {
	t := p.peek()
	message := "unexpected " + t.describe()
	if len(expected) > 0 {
		message += ", expected " + strings.Join(expected, " or ")
	}
	return p.fail(t, message, hint)
}

// describe names the token for an error.
func (t token) describe() string {
	switch t.kind {
	case tokEnd:
		return "end of query"
	case tokString:
		return "string " + strconv.Quote(clip(t.text))
	case tokNumber:
		return "number " + t.text
	case tokDuration:
		return "duration " + t.text
	case tokBytes:
		return "size " + t.text
	case tokRange:
		return "range " + t.text
	default:
		return clip(t.text)
	}
}

// enter counts a level of nesting; leave undoes it.
func (p *parser) enter() error {
	if p.depth++; p.depth > maxDepth {
		return p.fail(p.peek(), fmt.Sprintf("the query is nested deeper than %d levels", maxDepth), "")
	}
	return nil
}

func (p *parser) leave() { p.depth-- }

// parseQuery reads the whole query.
func (p *parser) parseQuery() (Expr, error) {
	if p.peek().kind == tokEnd {
		return nil, p.fail(p.peek(), "the query is empty, expected a selector such as {app=\"web\"} or a function", "")
	}
	if p.startsLog() {
		return p.parseTopLog()
	}
	expr, err := p.parseExpr(0)
	if err != nil {
		return nil, err
	}
	if t := p.peek(); t.kind != tokEnd {
		return nil, p.trailing(t)
	}
	return expr, nil
}

// startsLog reports whether a selector stands behind the opening parentheses.
func (p *parser) startsLog() bool {
	n := 0
	for n < 2*maxDepth && p.peekAt(n).is("(") {
		n++
	}
	return p.peekAt(n).is("{")
}

// parseTopLog reads a log query that is the whole query.
func (p *parser) parseTopLog() (Expr, error) {
	start := p.peek()
	parts, err := p.parseLogParts()
	if err != nil {
		return nil, err
	}
	if t := p.peek(); t.kind != tokEnd {
		return nil, p.trailing(t)
	}
	switch {
	case parts.hasRange:
		return nil, p.fail(parts.rangeToken, "a range is only allowed inside a range aggregation", "did you mean count_over_time(...)?")
	case parts.unwrap != nil:
		return nil, p.fail(parts.unwrapToken, "unwrap is only allowed inside a range aggregation", "did you mean sum_over_time(...)?")
	case parts.query == nil:
		return nil, p.fail(start, "expected a selector", "")
	}
	return parts.query, nil
}

// trailing makes the error for a token behind a complete query.
func (p *parser) trailing(t token) error {
	hint := ""
	switch {
	case t.is("=~"):
		hint = "did you mean |~?"
	case t.is("="), t.is("=="):
		hint = "did you mean |= (for lines) or == (for samples)?"
	case t.is(")"):
		hint = "there is no parenthesis to close"
	case t.word("offset"):
		hint = "offset stands right behind the range, inside the parentheses"
	case t.is("{"):
		hint = "a query has one selector"
	case t.is("|"):
		hint = "a pipeline stands inside the range aggregation"
	case t.kind == tokIdent:
		hint = didYouMean(t.text, "by", "without", "and", "or", "unless", "offset")
	}
	return p.fail(t, "unexpected "+t.describe()+" behind the query", hint)
}

const (
	errNotSelective  = "queries require at least one regexp or equality matcher that does not have an empty-compatible value"
	hintNotSelective = `for instance, app=~".*" does not meet this requirement, but app=~".+" will`
)

// selective reports whether some matcher does not accept the empty string.
func selective(matchers []*labels.Matcher) bool {
	for _, m := range matchers {
		if !m.Matches("") {
			return true
		}
	}
	return false
}

// parseSelector reads {a="b"} that has a selective matcher.
func (p *parser) parseSelector() ([]*labels.Matcher, error) {
	start := p.peek()
	matchers, err := p.parseMatchers()
	if err != nil {
		return nil, err
	}
	if !selective(matchers) {
		return nil, p.fail(start, errNotSelective, hintNotSelective)
	}
	return matchers, nil
}

// parseMatchers reads {a="b", ...}.
func (p *parser) parseMatchers() ([]*labels.Matcher, error) {
	if !p.accept("{") {
		return nil, p.unexpected("a selector such as {app=\"web\"}")
	}
	matchers := []*labels.Matcher{}
	if p.accept("}") {
		return matchers, nil
	}
	for {
		name, err := p.parseName("a label name")
		if err != nil {
			return nil, err
		}
		m, err := p.parseMatcher(name)
		if err != nil {
			return nil, err
		}
		matchers = append(matchers, m)
		if p.accept("}") {
			return matchers, nil
		}
		if !p.accept(",") {
			return nil, p.unexpected("}", ",")
		}
	}
}

// parseName reads a name; keywords are names too where nothing else can stand.
func (p *parser) parseName(what string) (string, error) {
	if p.peek().kind != tokIdent {
		return "", p.unexpected(what)
	}
	return p.take().text, nil
}

// parseString reads a quoted string.
func (p *parser) parseString(what string) (string, error) {
	if p.peek().kind != tokString {
		hint := ""
		if t := p.peek(); t.kind == tokIdent {
			hint = "did you mean " + strconv.Quote(clip(t.text)) + "?"
		}
		return "", p.unexpectedHint(hint, what)
	}
	return p.take().text, nil
}

var matchTypes = map[string]labels.MatchType{
	"=": labels.MatchEqual, "!=": labels.MatchNotEqual, "=~": labels.MatchRegexp, "!~": labels.MatchNotRegexp,
}

// isMatchOp reports whether the token is = != =~ or !~.
func isMatchOp(t token) bool {
	_, ok := matchTypes[t.text]
	return ok && t.kind == tokOp
}

// parseMatcher reads the operator and the value of a matcher.
func (p *parser) parseMatcher(name string) (*labels.Matcher, error) {
	t := p.peek()
	if !isMatchOp(t) {
		hint := ""
		if t.is("==") {
			hint = "did you mean =?"
		}
		return nil, p.unexpectedHint(hint, "=", "!=", "=~", "!~")
	}
	p.take()
	value := p.peek()
	text, err := p.parseString("a string")
	if err != nil {
		return nil, err
	}
	return p.newMatcher(value, matchTypes[t.text], name, text)
}

// newMatcher compiles a matcher; at is the place of its value.
func (p *parser) newMatcher(at token, typ labels.MatchType, name, value string) (*labels.Matcher, error) {
	m, err := labels.NewMatcher(typ, name, value)
	if err != nil {
		return nil, p.fail(at, "invalid regular expression: "+regexpProblem(err), "")
	}
	return m, nil
}

// regexpProblem is the message of a regular expression's error without its prefix.
func regexpProblem(err error) string {
	for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(next) {
		err = next
	}
	return strings.TrimPrefix(err.Error(), "error parsing regexp: ")
}
