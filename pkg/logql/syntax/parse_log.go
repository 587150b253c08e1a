package syntax

import (
	"regexp/syntax"
	"strings"
	"time"
)

// logParts are a log query and what may stand around it inside a range aggregation.
type logParts struct {
	query       *LogQuery
	hasRange    bool
	rangeToken  token
	interval    time.Duration
	offset      time.Duration
	unwrap      *Unwrap
	unwrapToken token
}

// parseLogParts reads a selector with its pipeline, range, offset and unwrap; the range may stand before or behind the
// pipeline, and parentheses may be around all or a part of it.
func (p *parser) parseLogParts() (*logParts, error) {
	if p.accept("(") {
		return p.parseLogParentheses()
	}
	parts := &logParts{}
	matchers, err := p.parseSelector()
	if err != nil {
		return nil, err
	}
	parts.query = &LogQuery{Matchers: matchers}
	if err := p.parseRange(parts); err != nil {
		return nil, err
	}
	if err := p.parsePipeline(parts); err != nil {
		return nil, err
	}
	return parts, p.parseRange(parts)
}

// parseLogParentheses reads the rest of (query), and the range that may follow.
func (p *parser) parseLogParentheses() (*logParts, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	parts, err := p.parseLogParts()
	if err != nil {
		return nil, err
	}
	if !p.accept(")") {
		return nil, p.unexpected(")")
	}
	if parts.hasRange {
		return parts, nil
	}
	if err := p.parseRange(parts); err != nil || !parts.hasRange {
		return parts, err
	}
	if parts.unwrap == nil && p.peek().is("|") && p.peekAt(1).word("unwrap") {
		return parts, p.parsePipeline(parts)
	}
	return parts, nil
}

// parseRange reads [5m] offset 1m, if it stands here.
func (p *parser) parseRange(parts *logParts) error {
	t := p.peek()
	if t.kind != tokRange {
		return nil
	}
	if parts.hasRange {
		return p.fail(t, "there are two ranges", "")
	}
	p.take()
	parts.hasRange, parts.rangeToken, parts.interval = true, t, t.duration
	if !p.acceptWord("offset") {
		return nil
	}
	d, err := p.parseSignedDuration()
	parts.offset = d
	return err
}

// parseSignedDuration reads a duration with a minus or without.
func (p *parser) parseSignedDuration() (time.Duration, error) {
	negative := p.accept("-")
	t := p.peek()
	if t.kind != tokDuration && !(t.kind == tokNumber && t.number == 0) {
		return 0, p.unexpected("a duration such as 5m")
	}
	p.take()
	if negative {
		return -t.duration, nil
	}
	return t.duration, nil
}

// lineOps are the operators that begin a line filter.
var lineOps = map[string]LineFilterOp{
	"|=": LineContains, "!=": LineNotContains, "|~": LineMatches, "!~": LineNotMatches, "|>": LinePattern, "!>": LineNotPattern,
}

// parsePipeline reads stages up to something that begins none.
func (p *parser) parsePipeline(parts *logParts) error {
	for {
		t := p.peek()
		if op, ok := lineOps[t.text]; ok && t.kind == tokOp {
			if parts.unwrap != nil {
				return p.fail(t, "only label filters may stand behind unwrap", "")
			}
			p.take()
			filter, err := p.parseLineFilter(op)
			if err != nil {
				return err
			}
			parts.query.Stages = append(parts.query.Stages, filter)
			continue
		}
		if !t.is("|") {
			return nil
		}
		p.take()
		if err := p.parsePipedStage(parts); err != nil {
			return err
		}
	}
}

// parseLineFilter reads the alternatives behind the operator.
func (p *parser) parseLineFilter(op LineFilterOp) (*LineFilter, error) {
	filter := &LineFilter{Op: op}
	for {
		m, err := p.parseLineMatch(op)
		if err != nil {
			return nil, err
		}
		filter.Alternatives = append(filter.Alternatives, m)
		if !p.acceptWord("or") {
			return filter, nil
		}
	}
}

// parseLineMatch reads "text" or ip("text").
func (p *parser) parseLineMatch(op LineFilterOp) (LineMatch, error) {
	t := p.peek()
	if t.word("ip") {
		if op != LineContains && op != LineNotContains {
			return LineMatch{}, p.fail(t, "ip() cannot stand behind "+op.String(), "use |= or !=")
		}
		text, err := p.parseIP()
		return LineMatch{Text: text, IP: true}, err
	}
	text, err := p.parseString("a string")
	if err != nil {
		return LineMatch{}, err
	}
	if op == LineMatches || op == LineNotMatches {
		return LineMatch{Text: text}, p.checkRegexp(t, text)
	}
	return LineMatch{Text: text}, nil
}

// parseIP reads ip("text").
func (p *parser) parseIP() (string, error) {
	p.take()
	if err := p.expect("("); err != nil {
		return "", err
	}
	text, err := p.parseString("an address, a range or a CIDR as a string")
	if err != nil {
		return "", err
	}
	return text, p.expect(")")
}

// checkRegexp fails at the token unless text is a regular expression.
func (p *parser) checkRegexp(at token, text string) error {
	if _, err := syntax.Parse(text, syntax.Perl); err != nil {
		return p.fail(at, "invalid regular expression: "+regexpProblem(err), "")
	}
	return nil
}

// stageNames are the keywords that may stand behind a pipe.
var stageNames = []string{
	"json", "logfmt", "regexp", "pattern", "unpack", "line_format", "label_format", "decolorize", "drop", "keep", "unwrap",
}

// parsePipedStage reads the stage behind a pipe.
func (p *parser) parsePipedStage(parts *logParts) error {
	t := p.peek()
	keyword := strings.ToLower(t.text)
	if t.kind != tokIdent || p.beginsLabelFilter() {
		keyword = ""
	}
	if parts.unwrap != nil {
		if keyword != "" && nearest(keyword, stageNames...) == keyword {
			return p.fail(t, "only label filters may stand behind unwrap", "")
		}
		filter, err := p.parseLabelFilter(0)
		parts.unwrap.Filters = append(parts.unwrap.Filters, filter)
		return err
	}
	if keyword == "unwrap" {
		p.take()
		unwrap, err := p.parseUnwrap()
		parts.unwrap, parts.unwrapToken = unwrap, t
		return err
	}
	parse := p.stageParser(keyword)
	if parse == nil {
		parse = p.parseLabelFilterStage
	} else {
		p.take()
	}
	stage, err := parse()
	if err != nil {
		return err
	}
	parts.query.Stages = append(parts.query.Stages, stage)
	return nil
}

// beginsLabelFilter reports whether a name and a comparison stand here, so that even a keyword is a label's name.
// != and !~ do not count, since they also begin a line filter.
func (p *parser) beginsLabelFilter() bool {
	t := p.peekAt(1)
	if t.kind != tokOp {
		return false
	}
	switch t.text {
	case "=", "=~", "==", "<", "<=", ">", ">=":
		return true
	}
	return false
}

// stageParser returns the function that reads what stands behind a stage's keyword; nil if it is none.
func (p *parser) stageParser(keyword string) func() (Stage, error) {
	switch keyword {
	case "json":
		return p.parseJSON
	case "logfmt":
		return p.parseLogfmt
	case "regexp":
		return p.parseRegexp
	case "pattern":
		return func() (Stage, error) {
			text, err := p.parseString("a pattern as a string")
			return &PatternParser{Pattern: text}, err
		}
	case "unpack":
		return func() (Stage, error) { return &UnpackParser{}, nil }
	case "decolorize":
		return func() (Stage, error) { return &Decolorize{}, nil }
	case "line_format":
		return func() (Stage, error) {
			text, err := p.parseString("a template as a string")
			return &LineFormat{Template: text}, err
		}
	case "label_format":
		return p.parseLabelFormat
	case "drop":
		return func() (Stage, error) {
			items, err := p.parseLabelItems()
			return &Drop{Items: items}, err
		}
	case "keep":
		return func() (Stage, error) {
			items, err := p.parseLabelItems()
			return &Keep{Items: items}, err
		}
	}
	return nil
}

func (p *parser) parseRegexp() (Stage, error) {
	t := p.peek()
	text, err := p.parseString("a regular expression as a string")
	if err != nil {
		return nil, err
	}
	return &RegexpParser{Pattern: text}, p.checkRegexp(t, text)
}

func (p *parser) parseJSON() (Stage, error) {
	if t := p.peek(); t.kind == tokFlag {
		return nil, p.fail(t, "json has no flag "+t.text, "")
	}
	extractions, err := p.parseExtractions()
	return &JSONParser{Extractions: extractions}, err
}

func (p *parser) parseLogfmt() (Stage, error) {
	stage := &LogfmtParser{}
	for p.peek().kind == tokFlag {
		switch t := p.peek(); t.text {
		case "--strict":
			stage.Strict = true
		case "--keep-empty":
			stage.KeepEmpty = true
		default:
			return nil, p.fail(t, "logfmt has no flag "+t.text, didYouMean(t.text, "--strict", "--keep-empty"))
		}
		p.take()
	}
	extractions, err := p.parseExtractions()
	if err != nil {
		return nil, err
	}
	if t := p.peek(); t.kind == tokFlag {
		return nil, p.fail(t, "flags stand right behind logfmt", "")
	}
	stage.Extractions = extractions
	return stage, nil
}

// parseExtractions reads a, b="expression", ...; there may be none.
func (p *parser) parseExtractions() ([]Extraction, error) {
	if p.peek().kind != tokIdent {
		return nil, nil
	}
	var list []Extraction
	for {
		name, err := p.parseName("a label name")
		if err != nil {
			return nil, err
		}
		e := Extraction{Name: name, Expression: name}
		if p.accept("=") {
			if e.Expression, err = p.parseString("an expression as a string"); err != nil {
				return nil, err
			}
		}
		list = append(list, e)
		if !p.accept(",") {
			return list, nil
		}
	}
}

// reservedLabel is the label that stages may not write.
const reservedLabel = "__error__"

func (p *parser) parseLabelFormat() (Stage, error) {
	stage := &LabelFormat{}
	seen := map[string]bool{}
	for {
		t := p.peek()
		name, err := p.parseName("a label name")
		if err != nil {
			return nil, err
		}
		switch {
		case name == reservedLabel:
			return nil, p.fail(t, name+" cannot be formatted", "")
		case seen[name]:
			return nil, p.fail(t, "label "+name+" is written twice by one label_format", "use two stages")
		}
		seen[name] = true
		if err := p.expect("="); err != nil {
			return nil, err
		}
		op := LabelFormatOp{Name: name}
		switch value := p.peek(); value.kind {
		case tokIdent:
			op.Value, op.Rename = value.text, true
		case tokString:
			op.Value = value.text
		default:
			return nil, p.unexpected("a label name", "a template as a string")
		}
		p.take()
		stage.Ops = append(stage.Ops, op)
		if !p.accept(",") {
			return stage, nil
		}
	}
}

// parseLabelItems reads a, b="c", ... of drop and keep.
func (p *parser) parseLabelItems() ([]LabelItem, error) {
	var list []LabelItem
	for {
		name, err := p.parseName("a label name")
		if err != nil {
			return nil, err
		}
		item := LabelItem{Name: name}
		if isMatchOp(p.peek()) {
			if item.Matcher, err = p.parseMatcher(name); err != nil {
				return nil, err
			}
		}
		list = append(list, item)
		if !p.accept(",") {
			return list, nil
		}
	}
}

// conversions are the functions of unwrap.
var conversions = []string{"bytes", "duration", "duration_seconds"}

// parseUnwrap reads what stands behind unwrap: a label, or conversion(label).
func (p *parser) parseUnwrap() (*Unwrap, error) {
	t := p.peek()
	name, err := p.parseName("a label name")
	if err != nil {
		return nil, err
	}
	if !p.accept("(") {
		return &Unwrap{Label: name}, nil
	}
	conversion := strings.ToLower(name)
	if nearest(conversion, conversions...) != conversion {
		return nil, p.fail(t, "unwrap has no conversion "+clip(name), didYouMean(name, conversions...))
	}
	label, err := p.parseName("a label name")
	if err != nil {
		return nil, err
	}
	return &Unwrap{Label: label, Conversion: conversion}, p.expect(")")
}
