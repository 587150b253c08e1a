package cli

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"logstore/pkg/client"
	"logstore/pkg/command"
	"logstore/pkg/logql/syntax"
	"logstore/pkg/wire"
)

// lookup are the flags of commands that ask about a time range and can answer in JSON.
type lookup struct {
	conn
	span
	emptyFlag
	json bool
}

func (l *lookup) register(set *flag.FlagSet) {
	l.conn.register(set)
	l.span.register(set, time.Hour)
	l.emptyFlag.register(set)
	set.BoolVar(&l.json, "json", false, "write JSON")
}

// lines writes a list, an item a line, or as JSON.
func (l *lookup) lines(io *command.IO, list []string) error {
	if l.json {
		return l.writeJSON(io, emptyNotNull(list), len(list))
	}
	for _, s := range list {
		if _, err := fmt.Fprintln(io.Stdout, s); err != nil {
			return err
		}
	}
	return l.check(len(list) > 0)
}

// writeJSON writes a list of n items.
func (l *lookup) writeJSON(io *command.IO, list any, n int) error {
	if err := io.JSON(list); err != nil {
		return err
	}
	return l.check(n > 0)
}

// inPieces asks for a whole time range, or piece by piece if the store refuses it for its length, and returns what it finds, each item
// (by its key) once.
func inPieces[T any](span client.Span, ask func(client.Span) ([]T, error), key func(T) string) ([]T, error) {
	list, err := ask(span)
	longest, ok := client.LengthLimit(err)
	if !ok || longest >= span.End.Sub(span.Start) {
		return list, err
	}
	if longest > time.Minute {
		longest -= time.Second // stores may round the ends of a range outwards
	}
	seen := map[string]bool{}
	for at := span.Start; at.Before(span.End); at = at.Add(longest) {
		part := client.Span{Start: at, End: at.Add(longest)}
		if part.End.After(span.End) {
			part.End = span.End
		}
		found, err := ask(part)
		if err != nil {
			return nil, err
		}
		for _, item := range found {
			if k := key(item); !seen[k] {
				seen[k] = true
				list = append(list, item)
			}
		}
	}
	return list, nil
}

func labelsCommand() *command.Command {
	var l lookup
	var selector string
	return &command.Command{
		Name: "labels", Args: "[LABEL]", Summary: "list the labels, or the values of one",
		Help: "  logstore labels\n  logstore labels -since=24h -query='{env=\"prod\"}' app\n\n" + connectHelp,
		Flags: func(set *flag.FlagSet) {
			l.register(set)
			set.StringVar(&selector, "query", "", "only of streams that this `SELECTOR` matches")
		},
		Run: l.run(0, 1, func(ctx context.Context, io *command.IO, cl *client.Client, args []string) error {
			span, err := l.at(time.Now())
			if err != nil {
				return err
			}
			list, err := inPieces(span, func(part client.Span) ([]string, error) {
				if len(args) == 0 {
					return cl.Labels(ctx, selector, part)
				}
				return cl.LabelValues(ctx, args[0], selector, part)
			}, func(s string) string { return s })
			if err != nil {
				return err
			}
			slices.Sort(list)
			return l.lines(io, list)
		}),
	}
}

func seriesCommand() *command.Command {
	var l lookup
	var analyze bool
	return &command.Command{
		Name: "series", Args: "[SELECTOR...]", Summary: "list streams by their labels, or count the values of labels",
		Help: "Without a selector all streams are listed. -analyze-labels shows which labels make many streams.\n\n" +
			"  logstore series -analyze-labels '{env=\"prod\"}'\n\n" + connectHelp,
		Flags: func(set *flag.FlagSet) {
			l.register(set)
			set.BoolVar(&analyze, "analyze-labels", false, "count the values of each label instead")
		},
		Run: l.run(0, -1, func(ctx context.Context, io *command.IO, cl *client.Client, args []string) error {
			span, err := l.at(time.Now())
			if err != nil {
				return err
			}
			if len(args) == 0 {
				args = []string{"{}"}
			}
			list, err := inPieces(span, func(part client.Span) ([]map[string]string, error) { return cl.Series(ctx, args, part) }, formatLabels)
			if err != nil {
				return err
			}
			if analyze {
				return l.analyze(io, list)
			}
			if l.json {
				return l.writeJSON(io, emptyNotNull(list), len(list))
			}
			var lines []string
			for _, s := range list {
				lines = append(lines, formatLabels(s))
			}
			slices.Sort(lines)
			return l.lines(io, lines)
		}),
	}
}

// labelUse says how a label is used by streams.
type labelUse struct {
	Label   string `json:"label"`
	Values  int    `json:"values"`
	Streams int    `json:"streams"`
}

func (l *lookup) analyze(io *command.IO, series []map[string]string) error {
	values, streams := map[string]map[string]bool{}, map[string]int{}
	for _, s := range series {
		for name, value := range s {
			if values[name] == nil {
				values[name] = map[string]bool{}
			}
			values[name][value] = true
			streams[name]++
		}
	}
	use := []labelUse{}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		use = append(use, labelUse{Label: name, Values: len(values[name]), Streams: streams[name]})
	}
	slices.SortStableFunc(use, func(a, b labelUse) int { return b.Values - a.Values })
	if l.json {
		return io.JSON(map[string]any{"streams": len(series), "labels": use})
	}
	rows := [][]string{{"label", "values", "streams"}}
	for _, u := range use {
		rows = append(rows, []string{u.Label, strconv.Itoa(u.Values), strconv.Itoa(u.Streams)})
	}
	if _, err := fmt.Fprintf(io.Stdout, "%d streams, %d labels\n\n", len(series), len(use)); err != nil {
		return err
	}
	if err := io.Table(rows...); err != nil {
		return err
	}
	return l.check(len(series) > 0)
}

func statsCommand() *command.Command {
	var l lookup
	return &command.Command{
		Name: "stats", Args: "SELECTOR", Summary: "tell how much a query would read: streams, chunks, bytes, entries",
		Help:  "The numbers come from the index, without a look at the lines.\n\n  logstore stats -since=24h '{app=\"web\"}'\n\n" + connectHelp,
		Flags: l.register,
		Run: l.run(1, 1, func(ctx context.Context, io *command.IO, cl *client.Client, args []string) error {
			span, err := l.at(time.Now())
			if err != nil {
				return err
			}
			s, err := cl.Stats(ctx, args[0], span)
			if err != nil {
				return err
			}
			if l.json {
				err = io.JSON(s)
			} else {
				err = io.Table(
					[]string{"streams", strconv.FormatInt(s.Streams, 10)}, []string{"chunks", strconv.FormatInt(s.Chunks, 10)},
					[]string{"entries", strconv.FormatInt(s.Entries, 10)}, []string{"bytes", fmt.Sprintf("%d (%s)", s.Bytes, wire.FormatBytes(int(s.Bytes)))},
				)
			}
			if err != nil {
				return err
			}
			return l.check(s.Streams > 0)
		}),
	}
}

func patternsCommand() *command.Command {
	var l lookup
	var step durationFlag
	return &command.Command{
		Name: "patterns", Args: "SELECTOR", Summary: "list the templates that lines have in common, with how many lines have each",
		Help: "The store must look for patterns: pattern_ingester.enabled.\n\n  logstore patterns -since=3h '{app=\"web\"}'\n\n" + connectHelp,
		Flags: func(set *flag.FlagSet) {
			l.register(set)
			step = 0
			set.Var(&step, "step", "`DURATION` between the counts that -json writes")
		},
		Run: l.run(1, 1, func(ctx context.Context, io *command.IO, cl *client.Client, args []string) error {
			span, err := l.at(time.Now())
			if err != nil {
				return err
			}
			list, err := cl.Patterns(ctx, args[0], span, time.Duration(step))
			if err != nil {
				return err
			}
			if l.json {
				return l.writeJSON(io, emptyNotNull(list), len(list))
			}
			slices.SortStableFunc(list, func(a, b client.Pattern) int { return int(count(b) - count(a)) })
			rows := [][]string{{"lines", "level", "pattern"}}
			for _, p := range list {
				rows = append(rows, []string{strconv.FormatInt(count(p), 10), cell(p.Level), cell(p.Pattern)})
			}
			if err := io.Table(rows...); err != nil {
				return err
			}
			return l.check(len(list) > 0)
		}),
	}
}

func count(p client.Pattern) (n int64) {
	for _, s := range p.Samples {
		n += s[1]
	}
	return n
}

func formatCommand() *command.Command {
	return &command.Command{
		Name: "fmt", Args: "[QUERY]", Summary: "write a query in good form, or say what is wrong with it",
		Help: "The query is an argument or comes from the standard input. No store is asked.\n\n  echo 'sum(rate({app=\"web\"}[5m]))by(host)' | logstore fmt",
		Run: func(_ context.Context, io *command.IO, args []string) error {
			if len(args) > 1 {
				return command.Usagef("one query at most")
			}
			text, err := queryText(io, append(args, "-")[0])
			if err != nil {
				return err
			}
			expr, err := syntax.Parse(text)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(io.Stdout, syntax.Format(expr))
			return err
		},
	}
}
