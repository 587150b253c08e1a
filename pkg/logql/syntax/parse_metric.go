package syntax

import (
	"math"
	"slices"
	"strings"
)

// parseExpr reads an expression whose binary operators bind more strongly than the given strength.
func (p *parser) parseExpr(strength int) (SampleExpr, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	left, err := p.parseOperand()
	if err != nil {
		return nil, err
	}
	for {
		t := p.peek()
		op := strings.ToLower(t.text)
		precedence := binaryPrecedence[op]
		if t.kind != tokOp && t.kind != tokIdent || precedence <= strength {
			return left, nil
		}
		p.take()
		expr := &BinaryExpr{Op: op, Left: left}
		if err := p.parseBinaryModifier(expr); err != nil {
			return nil, err
		}
		if op == "^" {
			precedence-- // groups to the right
		}
		if expr.Right, err = p.parseExpr(precedence); err != nil {
			return nil, err
		}
		if left, err = p.finishBinary(t, expr); err != nil {
			return nil, err
		}
	}
}

// finishBinary checks a binary expression and folds it if both sides are numbers.
func (p *parser) finishBinary(t token, expr *BinaryExpr) (SampleExpr, error) {
	left, leftNumber := expr.Left.(*Literal)
	right, rightNumber := expr.Right.(*Literal)
	if IsSetOperator(expr.Op) && (leftNumber || rightNumber) {
		return nil, p.fail(t, "a number cannot stand beside "+expr.Op, "did you mean vector(number)?")
	}
	if !leftNumber || !rightNumber {
		return expr, nil
	}
	v, keep := Calculate(expr.Op, left.Value, right.Value)
	if IsComparison(expr.Op) {
		v = 0
		if keep {
			v = 1
		}
	}
	return &Literal{Value: v}, nil
}

// parseBinaryModifier reads bool, on (...), ignoring (...), group_left (...) and group_right (...).
func (p *parser) parseBinaryModifier(expr *BinaryExpr) error {
	expr.ReturnBool = p.acceptWord("bool")
	t := p.peek()
	if !t.word("on") && !t.word("ignoring") {
		if t.word("group_left") || t.word("group_right") {
			return p.fail(t, "on (...) or ignoring (...) must stand before "+strings.ToLower(t.text), "")
		}
		return nil
	}
	p.take()
	names, err := p.parseNames()
	if err != nil {
		return err
	}
	expr.Matching = &VectorMatching{On: t.word("on"), Labels: names}
	switch {
	case p.acceptWord("group_left"):
		expr.Matching.Card = ManyToOne
	case p.acceptWord("group_right"):
		expr.Matching.Card = OneToMany
	default:
		return nil
	}
	if p.beginsNames() {
		expr.Matching.Include, err = p.parseNames()
	}
	return err
}

// beginsNames reports whether a list of names in parentheses stands here, and not an expression.
func (p *parser) beginsNames() bool {
	return p.peek().is("(") && (p.peekAt(1).is(")") ||
		p.peekAt(1).kind == tokIdent && (p.peekAt(2).is(",") || p.peekAt(2).is(")")))
}

// parseNames reads (a, b, ...), which may be empty.
func (p *parser) parseNames() ([]string, error) {
	if err := p.expect("("); err != nil {
		return nil, err
	}
	if p.accept(")") {
		return nil, nil
	}
	var names []string
	for {
		name, err := p.parseName("a label name")
		if err != nil {
			return nil, err
		}
		names = append(names, name)
		if p.accept(")") {
			return names, nil
		}
		if !p.accept(",") {
			return nil, p.unexpected(")", ",")
		}
	}
}

// parseOperand reads a number, a function or an expression in parentheses.
func (p *parser) parseOperand() (SampleExpr, error) {
	t := p.peek()
	switch {
	case t.kind == tokNumber:
		p.take()
		return &Literal{Value: t.number}, nil
	case t.is("-"), t.is("+"):
		return p.parseSigned()
	case t.is("{"):
		return nil, p.fail(t, "a log query has no samples", "did you mean count_over_time({...} [5m])?")
	case t.is("("):
		if p.startsLog() {
			return nil, p.fail(t, "a log query has no samples", "did you mean count_over_time({...} [5m])?")
		}
		p.take()
		expr, err := p.parseExpr(0)
		if err != nil {
			return nil, err
		}
		return expr, p.expect(")")
	case t.kind == tokIdent:
		return p.parseFunction()
	case t.kind == tokDuration, t.kind == tokBytes:
		return nil, p.unexpectedHint("units are allowed in label filters only", "a number")
	}
	return nil, p.unexpected("a selector", "a function", "a number")
}

// parseSigned reads a number with its sign.
func (p *parser) parseSigned() (SampleExpr, error) {
	sign := p.take()
	t := p.peek()
	if t.kind != tokNumber {
		return nil, p.unexpectedHint("a sign may stand before a number only", "a number")
	}
	p.take()
	if sign.is("-") {
		return &Literal{Value: -t.number}, nil
	}
	return &Literal{Value: t.number}, nil
}

// functions are the names of all functions.
var functions = slices.Concat(RangeOps(), VectorOps(), []string{fnLabelReplace, fnVector})

// parseFunction reads a range or vector aggregation, label_replace or vector.
func (p *parser) parseFunction() (SampleExpr, error) {
	t := p.peek()
	name := strings.ToLower(t.text)
	if _, ok := rangeOps[name]; ok {
		return p.parseRangeAggregation(name)
	}
	if _, ok := vectorOps[name]; ok {
		return p.parseVectorAggregation(name)
	}
	switch name {
	case fnLabelReplace:
		return p.parseLabelReplace()
	case fnVector:
		return p.parseVector()
	}
	if isMatchOp(p.peekAt(1)) && p.peekAt(2).kind == tokString {
		return nil, p.fail(t, "matchers stand in braces", "did you mean {"+clip(t.text)+"=...}?")
	}
	return nil, p.fail(t, "unknown function "+clip(t.text), didYouMean(t.text, functions...))
}

func (p *parser) parseVector() (SampleExpr, error) {
	p.take()
	if err := p.expect("("); err != nil {
		return nil, err
	}
	t := p.peek()
	if t.kind != tokNumber {
		return nil, p.unexpected("a number without a sign")
	}
	p.take()
	return &Vector{Value: t.number}, p.expect(")")
}

func (p *parser) parseLabelReplace() (SampleExpr, error) {
	p.take()
	if err := p.expect("("); err != nil {
		return nil, err
	}
	expr, err := p.parseVectorOperand(fnLabelReplace)
	if err != nil {
		return nil, err
	}
	replace := &LabelReplace{Expr: expr}
	var last token
	for _, argument := range []struct {
		text *string
		what string
	}{
		{&replace.Dst, "the label to write as a string"},
		{&replace.Replacement, "the replacement as a string"},
		{&replace.Src, "the label to read as a string"},
		{&replace.Regex, "a regular expression as a string"},
	} {
		if err := p.expect(","); err != nil {
			return nil, err
		}
		last = p.peek()
		if *argument.text, err = p.parseString(argument.what); err != nil {
			return nil, err
		}
	}
	if err := p.checkRegexp(last, replace.Regex); err != nil {
		return nil, err
	}
	return replace, p.expect(")")
}

// parseVectorOperand reads the expression that a function takes; it must not be a number.
func (p *parser) parseVectorOperand(function string) (SampleExpr, error) {
	t := p.peek()
	expr, err := p.parseExpr(0)
	if err != nil {
		return nil, err
	}
	if _, ok := expr.(*Literal); ok {
		return nil, p.fail(t, function+" takes a vector, not a number", "did you mean vector(number)?")
	}
	return expr, nil
}

// parseGrouping reads by (...) or without (...), if it stands here.
func (p *parser) parseGrouping() (*Grouping, error) {
	t := p.peek()
	if !t.word("by") && !t.word("without") {
		return nil, nil
	}
	p.take()
	names, err := p.parseNames()
	return &Grouping{Without: t.word("without"), Labels: names}, err
}

func (p *parser) parseRangeAggregation(name string) (SampleExpr, error) {
	function := p.take()
	op := rangeOps[name]
	if err := p.expect("("); err != nil {
		return nil, err
	}
	agg := &RangeAggregation{Op: name}
	if err := p.parseQuantile(op, agg); err != nil {
		return nil, err
	}
	if !p.startsLog() {
		return nil, p.unexpected("a selector such as {app=\"web\"}")
	}
	parts, err := p.parseLogParts()
	if err != nil {
		return nil, err
	}
	if !parts.hasRange {
		return nil, p.unexpected("a range such as [5m]")
	}
	if err := p.expect(")"); err != nil {
		return nil, err
	}
	switch {
	case op.unwrap == required && parts.unwrap == nil:
		return nil, p.fail(function, name+" needs an unwrap", "did you mean | unwrap label before the range?")
	case op.unwrap == forbidden && parts.unwrap != nil:
		return nil, p.fail(parts.unwrapToken, name+" takes no unwrap", "did you mean sum_over_time?")
	}
	agg.Query, agg.Unwrap, agg.Range, agg.Offset = parts.query, parts.unwrap, parts.interval, parts.offset
	t := p.peek()
	if agg.Grouping, err = p.parseGrouping(); err != nil {
		return nil, err
	}
	if agg.Grouping != nil && !op.grouping {
		return nil, p.fail(t, name+" cannot be grouped", "did you mean sum by (...) ("+name+"(...))?")
	}
	return agg, nil
}

// parseQuantile reads the number that quantile_over_time takes first.
func (p *parser) parseQuantile(op rangeOp, agg *RangeAggregation) error {
	t := p.peek()
	if !op.param {
		if t.kind == tokNumber {
			return p.fail(t, agg.Op+" takes no number", "")
		}
		return nil
	}
	negative := false
	if t.is("-") || t.is("+") {
		p.take()
		negative, t = t.is("-"), p.peek()
	}
	if t.kind != tokNumber {
		return p.unexpected("a number")
	}
	p.take()
	v := t.number
	if negative {
		v = -v
	}
	agg.Param = &v
	return p.expect(",")
}

func (p *parser) parseVectorAggregation(name string) (SampleExpr, error) {
	p.take()
	op := vectorOps[name]
	groupAt := p.peek()
	grouping, err := p.parseGrouping()
	if err != nil {
		return nil, err
	}
	if err := p.expect("("); err != nil {
		return nil, err
	}
	agg := &VectorAggregation{Op: name}
	if err := p.parseK(op, agg); err != nil {
		return nil, err
	}
	if agg.Expr, err = p.parseVectorOperand(name); err != nil {
		return nil, err
	}
	if err := p.expect(")"); err != nil {
		return nil, err
	}
	if grouping == nil {
		groupAt = p.peek()
		if grouping, err = p.parseGrouping(); err != nil {
			return nil, err
		}
	} else if t := p.peek(); t.word("by") || t.word("without") {
		return nil, p.fail(t, name+" is grouped twice", "")
	}
	if grouping != nil && op.grouping == forbidden {
		return nil, p.fail(groupAt, name+" cannot be grouped", "")
	}
	agg.Grouping = grouping
	return agg, nil
}

// parseK reads the number that topk and bottomk take first.
func (p *parser) parseK(op vectorOp, agg *VectorAggregation) error {
	t := p.peek()
	if !op.param {
		if t.kind == tokNumber && p.peekAt(1).is(",") {
			return p.fail(t, agg.Op+" takes no number", "")
		}
		return nil
	}
	if t.kind != tokNumber {
		return p.unexpected("a whole number above zero")
	}
	if t.number < 1 || t.number != math.Trunc(t.number) || t.number > math.MaxInt32 {
		return p.fail(t, agg.Op+" takes a whole number above zero, not "+t.text, "")
	}
	p.take()
	k := t.number
	agg.Param = &k
	return p.expect(",")
}
