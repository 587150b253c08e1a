package pipeline

import "logstore/pkg/logql/syntax"

// reorder moves line filters ahead of the stages before them, up to the nearest label filter, line_format or unpack. They
// are cheap and drop lines, and users have come to rely on what follows from it: a line filter behind decolorize still
// sees the colours.
func reorder(stages []syntax.Stage) []syntax.Stage {
	out := make([]syntax.Stage, 0, len(stages))
	front := 0
	for _, st := range stages {
		switch st.(type) {
		case *syntax.LineFilter:
			out = append(out, nil)
			copy(out[front+1:], out[front:])
			out[front] = st
			front++
		case *syntax.LabelFilterStage, *syntax.LineFormat, *syntax.UnpackParser:
			out = append(out, st)
			front = len(out)
		default:
			out = append(out, st)
		}
	}
	return out
}

// dropLineWriters removes stages that change the line where nothing reads it any more: of a metric query only the bytes
// operations look at lines in the end. So a line_format that fails there sets no error.
func dropLineWriters(stages []syntax.Stage, bytes bool) []syntax.Stage {
	if bytes {
		return stages
	}
	read := false
	out := make([]syntax.Stage, len(stages))
	n := len(stages)
	for i := len(stages) - 1; i >= 0; i-- {
		switch stages[i].(type) {
		case *syntax.LineFormat, *syntax.Decolorize:
			if !read {
				continue
			}
		}
		read = read || readsLine(stages[i])
		n--
		out[n] = stages[i]
	}
	return out[n:]
}

// readsLine reports whether the stage looks at the line.
func readsLine(st syntax.Stage) bool {
	switch st := st.(type) {
	case *syntax.LineFilter, *syntax.JSONParser, *syntax.LogfmtParser, *syntax.RegexpParser, *syntax.PatternParser,
		*syntax.UnpackParser, *syntax.LineFormat, *syntax.Decolorize:
		return true
	case *syntax.LabelFormat:
		for _, op := range st.Ops {
			if !op.Rename && templateReadsLine(op.Value) {
				return true
			}
		}
	}
	return false
}
