package cli

import (
	"context"
	"flag"
	"time"

	"logstore/pkg/client"
	"logstore/pkg/command"
)

func instantCommand() *command.Command {
	var c conn
	var out outputFlags
	var empty emptyFlag
	var now string
	var limit int
	var withStats bool
	return &command.Command{
		Name: "instant-query", Args: "QUERY", Summary: "compute a metric of logs at one instant",
		Help: `The query is a metric query in LogQL, or - to read it from the standard input. The result is written as JSON, with
-output=table in columns.

  logstore instant-query -output=table 'topk(5, sum by (app) (count_over_time({env="prod"}[1h])))'

` + connectHelp,
		Flags: func(set *flag.FlagSet) {
			c.register(set)
			out.register(set)
			empty.register(set)
			set.StringVar(&now, "now", "", "the instant, a `TIME` as 2026-01-31T12:00:00Z or 2h for two hours ago; now if not given")
			set.IntVar(&limit, "limit", defaultLimit, "most `ENTRIES`, for stores that answer log queries here")
			set.BoolVar(&withStats, "stats", false, "write the store's statistics of the query to the standard error")
		},
		Run: c.run(1, 1, func(ctx context.Context, io *command.IO, cl *client.Client, args []string) error {
			text, err := queryText(io, args[0])
			if err != nil {
				return err
			}
			at := time.Now()
			if now != "" {
				if at, err = parseTime(now, at); err != nil {
					return command.Usagef("-now: %w", err)
				}
			}
			p, err := out.printer(io, c.quiet)
			if err != nil {
				return err
			}
			result, err := cl.Query(ctx, text, at, limit)
			if err != nil {
				return err
			}
			if err := p.result(result); err != nil {
				return err
			}
			all := &stats{}
			all.add(result)
			all.note(io, withStats)
			return empty.check(!isEmpty(result))
		}),
	}
}
