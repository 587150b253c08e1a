package cli

import (
	"cmp"
	"context"
	"flag"
	"slices"
	"strconv"
	"time"

	"logstore/pkg/client"
	"logstore/pkg/command"
)

// fields are the flags of `detected-fields`.
type fields struct {
	lookup
	limit, lineLimit int
}

func fieldsCommand() *command.Command {
	f := &fields{}
	return &command.Command{
		Name: "detected-fields", Args: "QUERY [FIELD]", Summary: "list the fields that lines have, or the values of one",
		Help: "The fields are found in the newest lines of a log query: in metadata, in JSON, else in logfmt.\n\n" +
			"  logstore detected-fields '{app=\"web\"}'\n  logstore detected-fields '{app=\"web\"}' status\n\n" + connectHelp,
		Flags: func(set *flag.FlagSet) {
			f.lookup.register(set)
			set.IntVar(&f.limit, "limit", 100, "most `FIELDS`, or values, to list")
			set.IntVar(&f.lineLimit, "line-limit", 1000, "how many `LINES` to look at, as far as the store looks at so many")
		},
		Run: f.run(1, 2, func(ctx context.Context, io *command.IO, cl *client.Client, args []string) error {
			err := f.do(ctx, io, cl, args)
			if n, ok := client.EntriesLimit(err); ok && n < f.lineLimit {
				f.lineLimit = n
				err = f.do(ctx, io, cl, args)
			}
			return err
		}),
	}
}

func (f *fields) do(ctx context.Context, io *command.IO, cl *client.Client, args []string) error {
	span, err := f.at(time.Now())
	if err != nil {
		return err
	}
	if len(args) == 2 {
		values, err := cl.DetectedFieldValues(ctx, args[1], args[0], span, f.limit, f.lineLimit)
		if err != nil {
			return err
		}
		slices.Sort(values)
		return f.lines(io, values)
	}
	found, err := cl.DetectedFields(ctx, args[0], span, f.limit, f.lineLimit)
	if err != nil {
		return err
	}
	slices.SortFunc(found, func(a, b client.Field) int { return cmp.Compare(a.Label, b.Label) })
	if f.json {
		return f.writeJSON(io, emptyNotNull(found), len(found))
	}
	rows := [][]string{{"field", "type", "values", "from"}}
	for _, one := range found {
		from := "metadata"
		if len(one.Parsers) > 0 {
			from = one.Parsers[0]
		}
		rows = append(rows, []string{one.Label, one.Type, strconv.Itoa(one.Cardinality), from})
	}
	if err := io.Table(rows...); err != nil {
		return err
	}
	return f.check(len(found) > 0)
}
