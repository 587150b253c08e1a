package pipeline

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/template"
	"text/template/parse"
	"time"

	"logstore/pkg/logql/syntax"
)

// ValidateTemplate reports what is wrong with the template of a line_format or label_format.
func ValidateTemplate(text string) error {
	_, err := newFormatter("line", text)
	return err
}

// formatter is a compiled template. Templates of nothing but text, labels and the line are run without text/template.
type formatter struct {
	tmpl     *template.Template
	segments []segment
	simple   bool
}

// segment is a piece of a simple template: text, a label or the line.
type segment struct {
	text  string
	label string
	line  bool
}

func newFormatter(name, text string) (*formatter, error) {
	t, err := template.New(name).Option("missingkey=zero").Funcs(templateFuncs(nil)).Parse(text)
	if err != nil {
		return nil, err
	}
	f := &formatter{tmpl: t}
	f.segments, f.simple = simpleTemplate(t)
	return f, nil
}

// simpleTemplate splits a template into segments if it consists of them only.
func simpleTemplate(t *template.Template) ([]segment, bool) {
	if t.Tree == nil || t.Root == nil {
		return nil, true
	}
	var out []segment
	for _, n := range t.Root.Nodes {
		switch n := n.(type) {
		case *parse.TextNode:
			out = append(out, segment{text: string(n.Text)})
		case *parse.ActionNode:
			if len(n.Pipe.Decl) > 0 || len(n.Pipe.Cmds) != 1 || len(n.Pipe.Cmds[0].Args) != 1 {
				return nil, false
			}
			switch arg := n.Pipe.Cmds[0].Args[0].(type) {
			case *parse.FieldNode:
				if len(arg.Ident) != 1 {
					return nil, false
				}
				out = append(out, segment{label: arg.Ident[0]})
			case *parse.IdentifierNode:
				if arg.Ident != "__line__" {
					return nil, false
				}
				out = append(out, segment{line: true})
			default:
				return nil, false
			}
		default:
			return nil, false
		}
	}
	return out, true
}

// templateNeeds returns the labels that a template names; all of them if it looks at the labels as a whole.
func templateNeeds(name, text string) (needs, error) {
	t, err := template.New(name).Funcs(templateFuncs(nil)).Parse(text)
	if err != nil {
		return needs{}, err
	}
	var n needs
	for _, sub := range t.Templates() {
		if sub.Tree != nil && sub.Root != nil {
			collectNeeds(sub.Root, &n)
		}
	}
	slices.Sort(n.names)
	n.names = slices.Compact(n.names)
	return n, nil
}

func collectNeeds(n parse.Node, out *needs) {
	switch n := n.(type) {
	case *parse.ListNode:
		if n == nil {
			return
		}
		for _, c := range n.Nodes {
			collectNeeds(c, out)
		}
	case *parse.ActionNode:
		collectNeeds(n.Pipe, out)
	case *parse.PipeNode:
		if n == nil {
			return
		}
		for _, c := range n.Cmds {
			for _, a := range c.Args {
				collectNeeds(a, out)
			}
		}
	case *parse.FieldNode:
		out.names = append(out.names, n.Ident[0])
	case *parse.ChainNode:
		collectNeeds(n.Node, out)
	case *parse.DotNode:
		out.all = true
	case *parse.VariableNode:
		if n.Ident[0] == "$" {
			out.all = true
		}
	case *parse.TemplateNode:
		collectNeeds(n.Pipe, out)
	case *parse.IfNode:
		collectBranch(&n.BranchNode, out)
	case *parse.RangeNode:
		collectBranch(&n.BranchNode, out)
	case *parse.WithNode:
		collectBranch(&n.BranchNode, out)
	}
}

func collectBranch(n *parse.BranchNode, out *needs) {
	collectNeeds(n.Pipe, out)
	collectNeeds(n.List, out)
	collectNeeds(n.ElseList, out)
}

func templateReadsLine(text string) bool { return strings.Contains(text, "__line__") }

// maxOutput bounds what a template prints and what its functions make, in bytes: some functions can make much of little.
const maxOutput = 4 << 20

var errOutput = errors.New("the template prints too much")

// cappedBuffer is a buffer that refuses more than maxOutput.
type cappedBuffer struct{ bytes.Buffer }

func (b *cappedBuffer) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxOutput {
		return 0, errOutput
	}
	return b.Buffer.Write(p)
}

// boundFormatter is a formatter of one Stream.
type boundFormatter struct {
	s        *Stream
	f        *formatter
	segments []boundSegment
	tmpl     *template.Template
	line     []byte
	buf      cappedBuffer
	regexps  regexpCache
}

type boundSegment struct {
	text string
	slot *slot
	line bool
}

func (f *formatter) bind(s *Stream) *boundFormatter {
	b := &boundFormatter{s: s, f: f}
	for _, seg := range f.segments {
		bs := boundSegment{text: seg.text, line: seg.line}
		if seg.label != "" {
			bs.slot = s.pin(seg.label)
		}
		b.segments = append(b.segments, bs)
	}
	return b
}

// append runs the template and appends what it prints to dst. data holds the labels; for simple templates it is not used.
func (b *boundFormatter) append(dst, line []byte, data map[string]string) ([]byte, error) {
	if b.f.simple {
		for i := range b.segments {
			switch seg := &b.segments[i]; {
			case seg.line:
				dst = append(dst, line...)
			case seg.slot != nil:
				v, _ := b.s.get(seg.slot)
				dst = append(dst, v...)
			default:
				dst = append(dst, seg.text...)
			}
		}
		return dst, nil
	}
	if b.tmpl == nil {
		t, err := b.f.tmpl.Clone()
		if err != nil {
			return dst, fmt.Errorf("cannot clone template: %w", err)
		}
		b.tmpl = t.Funcs(templateFuncs(b))
	}
	b.line = line
	b.buf.Reset()
	if err := b.tmpl.Execute(&b.buf, data); err != nil {
		return dst, err
	}
	return append(dst, b.buf.Bytes()...), nil
}

// currentLine and currentTime are what __line__ and __timestamp__ print.
func (b *boundFormatter) currentLine() string { return text(b.line) }

func (b *boundFormatter) currentTime() time.Time { return time.Unix(0, b.s.ts).UTC() }

// labelMap fills m with the labels of the line, errors included.
func (s *Stream) labelMap(m map[string]string) {
	clear(m)
	s.eachLabel(func(sl *slot, _ category, val string) { m[sl.name] = val })
	if s.err != "" {
		m[errorLabel] = s.err
	}
	if s.details != "" {
		m[errorDetailsLabel] = s.details
	}
}

// lineFormat replaces the line by what a template prints.
type lineFormat struct{ f *formatter }

type boundLineFormat struct {
	s    *Stream
	f    *boundFormatter
	data map[string]string
	out  []byte
	// field is set for a template of a single label; it does not see the error labels.
	field *slot
}

func newLineFormat(st *syntax.LineFormat) (stage, error) {
	f, err := newFormatter("line", st.Template)
	if err != nil {
		return nil, fmt.Errorf("invalid line template: %w", err)
	}
	return &lineFormat{f: f}, nil
}

func (l *lineFormat) bind(s *Stream) boundStage {
	b := &boundLineFormat{s: s, f: l.f.bind(s), data: map[string]string{}}
	if segs := b.f.segments; l.f.simple && len(segs) == 1 {
		b.field = segs[0].slot
	}
	return b
}

func (l *boundLineFormat) process(line []byte) ([]byte, bool) {
	if l.field != nil {
		v := ""
		if !l.field.special {
			v, _ = l.s.get(l.field)
		}
		l.out = append(l.out[:0], v...)
		return l.out, true
	}
	if !l.f.f.simple {
		l.s.labelMap(l.data)
	}
	out, err := l.f.append(l.out[:0], line, l.data)
	if err != nil {
		l.s.setError(errTemplate, err.Error())
		return line, true
	}
	l.out = out
	return out, true
}

// labelFormat renames labels and fills them from templates, in the order written.
type labelFormat struct{ ops []formatOp }

type formatOp struct {
	name string
	from string
	f    *formatter
}

type boundLabelFormat struct {
	s    *Stream
	ops  []boundOp
	data map[string]string
	// simple says that no template needs the map of labels.
	snapshot bool
	values   []opValue
}

type boundOp struct {
	slot, from *slot
	f          *boundFormatter
}

type opValue struct {
	val string
	ok  bool
}

func newLabelFormat(st *syntax.LabelFormat) (stage, error) {
	out := &labelFormat{}
	seen := map[string]bool{}
	for _, op := range st.Ops {
		if op.Name == errorLabel {
			return nil, fmt.Errorf("%s cannot be formatted", op.Name)
		}
		if seen[op.Name] {
			return nil, fmt.Errorf("multiple label name '%s' not allowed in a single format operation", op.Name)
		}
		seen[op.Name] = true
		if op.Rename {
			out.ops = append(out.ops, formatOp{name: op.Name, from: op.Value})
			continue
		}
		f, err := newFormatter("label", op.Value)
		if err != nil {
			return nil, fmt.Errorf("invalid template for label '%s': %w", op.Name, err)
		}
		out.ops = append(out.ops, formatOp{name: op.Name, f: f})
	}
	return out, nil
}

func (l *labelFormat) bind(s *Stream) boundStage {
	b := &boundLabelFormat{s: s, data: map[string]string{}, values: make([]opValue, len(l.ops))}
	for _, op := range l.ops {
		bo := boundOp{slot: s.pin(op.name)}
		if op.f == nil {
			bo.from = s.pin(op.from)
		} else {
			bo.f = op.f.bind(s)
			b.snapshot = b.snapshot || !op.f.simple
		}
		b.ops = append(b.ops, bo)
	}
	return b
}

// process renames before the first template, then runs all templates on the labels as they are there, and last does what
// is left in the order written: templates do not see each other.
func (l *boundLabelFormat) process(line []byte) ([]byte, bool) {
	first := 0
	for first < len(l.ops) && l.ops[first].f == nil {
		l.rename(&l.ops[first])
		first++
	}
	if first == len(l.ops) {
		return line, true
	}
	if l.snapshot {
		l.s.labelMap(l.data)
	}
	for i := first; i < len(l.ops); i++ {
		if l.ops[i].f != nil {
			l.values[i] = l.print(&l.ops[i], line)
		}
	}
	for i := first; i < len(l.ops); i++ {
		switch op := &l.ops[i]; {
		case op.f == nil:
			l.rename(op)
		case l.values[i].ok:
			l.s.set(op.slot, catParsed, l.values[i].val)
		}
	}
	return line, true
}

func (l *boundLabelFormat) rename(op *boundOp) {
	if v, ok := l.s.get(op.from); ok {
		l.s.set(op.slot, catParsed, v)
		l.s.del(op.from)
	}
}

func (l *boundLabelFormat) print(op *boundOp, line []byte) opValue {
	start := len(l.s.arena)
	out, err := op.f.append(l.s.arena, line, l.data)
	if err != nil {
		l.s.setError(errTemplate, err.Error())
		return opValue{}
	}
	l.s.arena = out
	return opValue{val: text(out[start:len(out):len(out)]), ok: true}
}
