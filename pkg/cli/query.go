package cli

import (
	"context"
	"flag"
	"time"

	"logstore/pkg/client"
	"logstore/pkg/command"
	"logstore/pkg/logql/syntax"
)

// query are the flags of `query`.
type query struct {
	conn
	span
	outputFlags
	emptyFlag
	limit, batch   int
	step, interval durationFlag
	forward        bool
	stats          bool
	tail           bool
	delay          durationFlag
	part           durationFlag
	workers        int
	parts          partFlags
	stdin          bool
	set            *flag.FlagSet
}

const (
	defaultLimit = 30
	defaultBatch = 1000
)

func queryCommand() *command.Command {
	q := &query{}
	return &command.Command{
		Name: "query", Args: "QUERY", Summary: "search logs, or compute metrics of them over a time range",
		Help: `The query is LogQL, or - to read it from the standard input. Entries of a log query are written newest first, oldest first
with -forward. A metric query is written as JSON, with -output=table in columns.

  logstore query '{app="web"} |= "timeout"'
  logstore query -since=24h -limit=0 -forward -output=jsonl '{app="web"} | json | status >= 500' > errors.jsonl
  logstore query -since=24h -limit=0 -forward -output=export '{app="web"}' | logstore push -addr=http://other:3100 -input=jsonl
  logstore query -since=6h -step=5m -output=table 'sum by (app) (rate({env="prod"}[5m]))'

More entries than the store gives at once are fetched page by page (-batch), and a range that is longer than it takes in pieces.
-parallel-duration and -parallel-max-workers fetch several pieces at a time; they come out in order. A long download goes to files, one
for each piece, with -part-path-prefix: run again after a break, it fetches only what is missing.

  logstore query -from=2026-01-01T00:00:00Z -to=2026-01-31T00:00:00Z -output=jsonl -parallel-duration=15m -parallel-max-workers=4 \
    -part-path-prefix=/tmp/january -merge-parts '{app="web"}' > january.jsonl

With -stdin the lines come from the standard input and no store is asked. The query is the stages alone, such as '|= "error" | json';
a selector before them is not looked at. Lines come out in their order, all of them if -limit is not given.

  kubectl logs -f deploy/web | logstore query -stdin -output=raw '| json | status >= 500 | line_format "{{.path}} {{.status}}"'

` + connectHelp,
		Flags: q.register,
		Run:   q.run(1, 1, q.do),
	}
}

func (q *query) register(set *flag.FlagSet) {
	q.conn.register(set)
	q.span.register(set, time.Hour)
	q.outputFlags.register(set)
	q.emptyFlag.register(set)
	set.IntVar(&q.limit, "limit", defaultLimit, "most `ENTRIES` to write; 0: all")
	set.IntVar(&q.batch, "batch", defaultBatch, "`ENTRIES` to ask for at a time")
	q.step, q.interval, q.delay, q.part = 0, 0, 0, durationFlag(time.Hour)
	set.Var(&q.step, "step", "`DURATION` between the points of a metric query; the store chooses if not given")
	set.Var(&q.interval, "interval", "write one entry of a log query for each `DURATION`")
	set.BoolVar(&q.forward, "forward", false, "write the oldest entries first")
	set.BoolVar(&q.stats, "stats", false, "write the store's statistics of the query to the standard error")
	for _, name := range []string{"tail", "t", "follow", "f"} {
		set.BoolVar(&q.tail, name, false, "go on with new lines, as the command tail does")
	}
	set.Var(&q.delay, "delay-for", "with -tail: hold lines back for this `DURATION`, at most 5s, so that late ones find their place")
	set.Var(&q.part, "parallel-duration", "with several workers or parts: `DURATION` of a piece")
	set.IntVar(&q.workers, "parallel-max-workers", 1, "how many `WORKERS` fetch pieces of a log query at a time")
	q.parts.register(set)
	set.BoolVar(&q.stdin, "stdin", false, "run the stages of a log query over the lines of the standard input")
	q.set = set
}

func (q *query) do(ctx context.Context, io *command.IO, cl *client.Client, args []string) error {
	if q.limit < 0 || q.batch < 1 || q.workers < 1 || q.part <= 0 {
		return command.Usagef("-limit must not be negative, and -batch, -parallel-duration and -parallel-max-workers must be above 0")
	}
	if err := q.parts.check(); err != nil {
		return err
	}
	if q.stdin {
		return q.stages(ctx, io, args[0])
	}
	text, err := queryText(io, args[0])
	if err != nil {
		return err
	}
	now := time.Now()
	span, err := q.at(now)
	if err != nil {
		return err
	}
	p, err := q.printer(io, q.quiet)
	if err != nil {
		return err
	}
	r := client.Range{
		Query: text, Start: span.Start, End: span.End, Limit: q.limit, Direction: client.Backward,
		Step: time.Duration(q.step), Interval: time.Duration(q.interval), Categorize: q.mode == modeExport,
	}
	if q.forward {
		r.Direction = client.Forward
	}
	switch expr, err := syntax.Parse(text); {
	case q.tail:
		return follow(ctx, io, cl, client.TailRequest{Query: text, Start: span.Start, Limit: max(q.limit, 1), Delay: time.Duration(q.delay)}, p, q.quiet)
	case err == nil && isMetric(expr):
		if q.parts.prefix != "" {
			return command.Usagef("-part-path-prefix is for log queries")
		}
		return q.metric(ctx, io, cl, r, p)
	}
	// What this program cannot parse, the store may: it answers or says what is wrong.
	return q.logs(ctx, io, cl, r, p)
}

// stages is do for lines of the standard input.
func (q *query) stages(ctx context.Context, io *command.IO, text string) error {
	if text == "-" || q.tail || q.parts.prefix != "" {
		return command.Usagef("with -stdin the query is an argument, and there is nothing to follow or to fetch in parts")
	}
	p, err := q.printer(io, true)
	if err != nil {
		return err
	}
	if p.mode == modeTable {
		return command.Usagef("-output=table is for metric queries")
	}
	p.includeCommon = true // lines are written as they come, before it is known what they have in common
	limit := 0
	q.set.Visit(func(f *flag.Flag) {
		if f.Name == "limit" {
			limit = q.limit
		}
	})
	return q.filter(ctx, io, text, limit, p)
}

func isMetric(expr syntax.Expr) bool {
	_, ok := expr.(syntax.SampleExpr)
	return ok
}

func (q *query) logs(ctx context.Context, io *command.IO, cl *client.Client, r client.Range, p *printer) error {
	if p.mode == modeTable {
		return command.Usagef("-output=table is for metric queries")
	}
	show := newProgress(io, r, q.quiet)
	defer show.end()
	all := &stats{}
	emit := func(page []client.Entry) error {
		show.end()
		return p.page(page)
	}
	var err error
	if q.parts.prefix != "" {
		if err = q.download(ctx, io, cl, r, all, show); err == nil {
			all.note(io, q.stats)
		}
		return err
	}
	if q.workers > 1 && r.End.Sub(r.Start) > time.Duration(q.part) {
		err = q.parallel(ctx, cl, r, all, show, emit)
	} else {
		pages := &pager{client: cl, query: r, batch: q.batch, most: maxPage, stats: all, progress: show.reached}
		err = pages.run(ctx, emit)
	}
	show.end()
	if err != nil {
		return err
	}
	all.note(io, q.stats)
	return q.check(p.count > 0)
}

// progress draws how far in time a query got.
type progress struct {
	*command.Progress
	query client.Range
	quiet bool
}

func newProgress(io *command.IO, r client.Range, quiet bool) *progress {
	return &progress{Progress: io.Progress("", 0), query: r, quiet: quiet}
}

func (p *progress) reached(at time.Time, entries int) {
	if p.quiet {
		return
	}
	done := p.query.End.Sub(at)
	if p.query.Direction == client.Forward {
		done = at.Sub(p.query.Start)
	}
	percent := 100 * float64(done) / float64(p.query.End.Sub(p.query.Start))
	p.Show("%.0f%% of the time range, at %s, %d entries", percent, at.Format(time.RFC3339), entries)
}

func (p *progress) end() { p.End() }
