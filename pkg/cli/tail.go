package cli

import (
	"context"
	"flag"
	"time"

	"logstore/pkg/client"
	"logstore/pkg/command"
)

// maxDelay is the longest that stores hold lines back.
const maxDelay = 5 * time.Second

func tailCommand() *command.Command {
	var c conn
	var s span
	var out outputFlags
	var limit int
	var delay durationFlag
	return &command.Command{
		Name: "tail", Args: "QUERY", Summary: "show logs as they come in",
		Help: `The query is a log query in LogQL, or - to read it from the standard input. First the newest lines of the past hour are shown, then
those that come in. When the connection breaks, or the store ends it, the command comes back after a pause, asks for what came in
between, and shows each line once. It runs until it is interrupted.

  logstore tail '{app="web"} |= "error"'
  logstore tail -limit=1 -output=jsonl '{app="web"}' | jq .line

` + connectHelp,
		Flags: func(set *flag.FlagSet) {
			c.register(set)
			s.register(set, time.Hour)
			out.register(set)
			set.IntVar(&limit, "limit", defaultLimit, "how many `LINES` of the past to show first")
			delay = 0
			set.Var(&delay, "delay-for", "hold lines back for this `DURATION` of whole seconds, at most 5s, so that late ones find their place")
		},
		Run: c.run(1, 1, func(ctx context.Context, io *command.IO, cl *client.Client, args []string) error {
			text, err := queryText(io, args[0])
			if err != nil {
				return err
			}
			if time.Duration(delay) > maxDelay || delay < 0 || time.Duration(delay)%time.Second != 0 {
				return command.Usagef("-delay-for: whole seconds from 0s to 5s are allowed")
			}
			if limit < 1 {
				return command.Usagef("-limit must be above 0: stores send at least one line of the past")
			}
			span, err := s.at(time.Now())
			if err != nil {
				return err
			}
			p, err := out.printer(io, c.quiet)
			if err != nil {
				return err
			}
			return follow(ctx, io, cl, client.TailRequest{Query: text, Start: span.Start, Limit: limit, Delay: time.Duration(delay)}, p, c.quiet)
		}),
	}
}

// follow shows a tail until it is interrupted, which is no failure, or cannot go on.
func follow(ctx context.Context, io *command.IO, cl *client.Client, r client.TailRequest, p *printer, quiet bool) error {
	if p.mode == modeTable || p.mode == modeExport {
		return command.Usagef("-output=%s is not for tails", p.mode)
	}
	p.common = map[string]string{} // lines to come may have others
	if p.width == 0 {
		p.width = -1 // the same for all lines
	}
	f := &follower{
		dial: func(ctx context.Context, r client.TailRequest) (frames, error) { return dialTail(ctx, cl, r) },
		fetch: func(ctx context.Context, r client.Range, emit func([]client.Entry) error) error {
			return fetchAll(ctx, cl, r, emit)
		},
		show: p.page, request: r,
		note: func(format string, args ...any) {
			if !quiet {
				io.Notef(format, args...)
			}
		},
	}
	err := f.run(ctx)
	if ctx.Err() != nil {
		return nil //nolint:nilerr // it was interrupted
	}
	return err
}

// dialTail opens a tail. The nil of a failure must not become an interface that is none.
func dialTail(ctx context.Context, cl *client.Client, r client.TailRequest) (frames, error) {
	t, err := cl.Tail(ctx, r)
	if err != nil {
		return nil, err
	}
	return t, nil
}

func fetchAll(ctx context.Context, cl *client.Client, r client.Range, emit func([]client.Entry) error) error {
	pages := &pager{client: cl, query: r, batch: defaultBatch, most: maxPage}
	return pages.run(ctx, emit)
}
