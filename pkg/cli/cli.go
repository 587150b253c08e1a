package cli

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"time"

	"logstore/pkg/client"
	"logstore/pkg/command"
)

// Commands returns the commands.
func Commands() []*command.Command {
	return []*command.Command{
		queryCommand(), instantCommand(), tailCommand(), labelsCommand(), seriesCommand(), statsCommand(),
		volumeCommand(), volumeRangeCommand(), fieldsCommand(), patternsCommand(), formatCommand(), pushCommand(), deleteCommand(),
	}
}

const connectHelp = "The store's address comes from -addr or $LOKI_ADDR, the tenant from -org-id or $LOKI_ORG_ID, user and password\n" +
	"from $LOKI_USERNAME and $LOKI_PASSWORD, a token from $LOKI_BEARER_TOKEN or $LOKI_BEARER_TOKEN_FILE."

// conn is the connection of a command, and whether it is to be quiet.
type conn struct {
	flags client.Flags
	quiet bool
}

func (c *conn) register(set *flag.FlagSet) {
	c.flags.Register(set)
	set.BoolVar(&c.quiet, "quiet", false, "write no notes, only results and errors")
	set.BoolVar(&c.quiet, "q", false, "short for -quiet")
}

// runner is the work of a command that has a client.
type runner func(ctx context.Context, io *command.IO, cl *client.Client, args []string) error

// run makes a command's Run of its work: it opens the client, and adds to errors what to do about them. Arguments are counted.
func (c *conn) run(least, most int, do runner) func(context.Context, *command.IO, []string) error {
	return func(ctx context.Context, io *command.IO, args []string) error {
		switch {
		case len(args) < least:
			return command.Usagef("an argument is missing")
		case most >= 0 && len(args) > most:
			return command.Usagef("unexpected argument %q: a query with spaces stands in quotation marks", args[most])
		}
		cl, err := c.open(io)
		if err != nil {
			return err
		}
		return advise(do(ctx, io, cl, args))
	}
}

func (c *conn) open(io *command.IO) (*client.Client, error) {
	cl, err := c.flags.Client(io.Env, func(err error, pause time.Duration) {
		if !c.quiet {
			io.Notef("%v; trying again in %s", err, pause.Round(10*time.Millisecond))
		}
	})
	if err != nil {
		return nil, command.Usagef("%w", err)
	}
	return cl, nil
}

// advise adds to an error what to do about it.
func advise(err error) error {
	if advice := client.Advice(err); advice != "" {
		return fmt.Errorf("%w\n  %s", err, advice)
	}
	return err
}

// queryText returns the query that an argument is: itself, or the standard input for "-".
func queryText(io *command.IO, arg string) (string, error) {
	if arg != "-" {
		return arg, nil
	}
	text, err := readAll(io.Stdin)
	return strings.TrimSpace(text), err
}

// emptyFlag makes an empty result a failure.
type emptyFlag struct{ fail bool }

func (e *emptyFlag) register(set *flag.FlagSet) {
	set.BoolVar(&e.fail, "fail-if-empty", false, "end with code 3 if nothing is found")
}

func (e *emptyFlag) check(found bool) error {
	if e.fail && !found {
		return fmt.Errorf("nothing was found: %w", command.ErrFindings)
	}
	return nil
}
