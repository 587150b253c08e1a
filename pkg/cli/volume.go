package cli

import (
	"context"
	"flag"
	"strings"
	"time"

	"logstore/pkg/client"
	"logstore/pkg/command"
)

// volume are the flags of `volume` and `volume-range`.
type volume struct {
	conn
	span
	outputFlags
	emptyFlag
	limit    int
	targets  []string
	byLabels bool
	step     durationFlag
}

const volumeHelp = `The bytes come from the index, largest first, without a look at the lines. Streams are summed up by the labels that the selector
names, or by those of -targetLabels; -aggregateByLabels shows how much of the bytes each label has.

`

func volumeCommand() *command.Command {
	v := &volume{}
	return &command.Command{
		Name: "volume", Args: "SELECTOR", Summary: "tell which streams or labels have how many bytes",
		Help:  volumeHelp + "  logstore volume -since=24h -targetLabels=app -output=table '{}'\n\n" + connectHelp,
		Flags: func(set *flag.FlagSet) { v.register(set, false) },
		Run:   v.run(1, 1, v.do),
	}
}

func volumeRangeCommand() *command.Command {
	v := &volume{}
	return &command.Command{
		Name: "volume-range", Args: "SELECTOR", Summary: "tell which streams or labels have how many bytes, step by step",
		Help:  volumeHelp + "  logstore volume-range -since=24h -step=1h -targetLabels=app -output=table '{}'\n\n" + connectHelp,
		Flags: func(set *flag.FlagSet) { v.register(set, true) },
		Run:   v.run(1, 1, v.do),
	}
}

func (v *volume) register(set *flag.FlagSet, steps bool) {
	v.conn.register(set)
	v.span.register(set, time.Hour)
	v.outputFlags.register(set)
	v.emptyFlag.register(set)
	set.IntVar(&v.limit, "limit", defaultLimit, "most `SERIES` to list")
	v.targets, v.step = nil, 0
	set.Func("targetLabels", "sum up by these `LABELS`, separated by commas; may be repeated", func(text string) error {
		v.targets = append(v.targets, strings.Split(text, ",")...)
		return nil
	})
	set.BoolVar(&v.byLabels, "aggregateByLabels", false, "sum up by names of labels instead of by streams")
	if steps {
		v.step = durationFlag(time.Hour)
		set.Var(&v.step, "step", "`DURATION` of a step")
	}
}

func (v *volume) do(ctx context.Context, io *command.IO, cl *client.Client, args []string) error {
	span, err := v.at(time.Now())
	if err != nil {
		return err
	}
	p, err := v.printer(io, v.quiet)
	if err != nil {
		return err
	}
	r, err := cl.Volume(ctx, client.VolumeRequest{
		Query: args[0], Span: span, Limit: v.limit, TargetLabels: v.targets, ByLabels: v.byLabels, Step: time.Duration(v.step),
	})
	if err != nil {
		return err
	}
	if err := p.result(r); err != nil {
		return err
	}
	return v.check(!isEmpty(r))
}
