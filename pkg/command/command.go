package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Exit codes.
const (
	ExitOK       = 0
	ExitFailure  = 1
	ExitUsage    = 2
	ExitFindings = 3
)

// ErrFindings is wrapped by the error of a command that did its work and found something wrong.
var ErrFindings = errors.New("something is wrong")

// Command is a node of the tree of commands.
type Command struct {
	// Name is one word.
	Name string
	// Args shows the arguments after the name, such as "KEY...". A leaf without it takes none.
	Args string
	// Summary is one line for the list of commands, without a full stop.
	Summary string
	// Help says more, in whole paragraphs; examples are indented.
	Help string
	// Flags registers the command's flags. It is called once for each command line.
	Flags func(*flag.FlagSet)
	// Run does the work. args are what is left when the flags are taken.
	Run func(ctx context.Context, io *IO, args []string) error
	// Sub are the commands of a group.
	Sub []*Command
}

// usageError is a bad command line.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

// Usagef returns an error that ends with ExitUsage: of a bad command line or configuration.
func Usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// Names reports whether args begin with the name of a command, and not with a flag.
func (c *Command) Names(args []string) bool { return len(args) > 0 && !strings.HasPrefix(args[0], "-") }

// Main runs the command that args name below c and returns the exit code. Errors are written to the standard error.
func (c *Command) Main(ctx context.Context, io *IO, args []string) int {
	path, err := c.run(ctx, io, args)
	if err == nil {
		return ExitOK
	}
	fmt.Fprintf(io.Stderr, "%s: %v\n", path, err)
	var usage usageError
	switch {
	case errors.As(err, &usage):
		fmt.Fprintf(io.Stderr, "See %s -help.\n", path)
		return ExitUsage
	case errors.Is(err, ErrFindings):
		return ExitFindings
	}
	return ExitFailure
}

// run finds the command and runs it. path are the words that led to it.
func (c *Command) run(ctx context.Context, io *IO, args []string) (path string, err error) {
	path = c.Name
	for c.Run == nil {
		if len(args) > 0 && args[0] == "help" {
			args = append(slices.Clone(args[1:]), "-help")
		}
		if len(args) == 0 || isHelp(args[0]) {
			return path, c.writeHelp(io.Stdout, path)
		}
		next := c.sub(args[0])
		if next == nil {
			return path, c.unknown(args[0])
		}
		c, path, args = next, path+" "+next.Name, args[1:]
	}
	set := c.flagSet()
	rest, err := parse(set, args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return path, c.writeHelp(io.Stdout, path)
	case err != nil:
		return path, usageError{err}
	case c.Args == "" && len(rest) > 0:
		return path, Usagef("unexpected argument %q", rest[0])
	}
	return path, c.Run(ctx, io, rest)
}

func isHelp(arg string) bool { return arg == "-h" || arg == "-help" || arg == "--help" }

func (c *Command) sub(name string) *Command {
	for _, s := range c.Sub {
		if s.Name == name {
			return s
		}
	}
	return nil
}

func (c *Command) unknown(name string) error {
	if strings.HasPrefix(name, "-") {
		return Usagef("unknown flag %s: a command comes first", name)
	}
	var names []string
	for _, s := range c.Sub {
		names = append(names, s.Name)
	}
	return Usagef("there is no command %q, only %s", name, strings.Join(names, ", "))
}

// flagSet returns the flags of a command, which write nothing on their own.
func (c *Command) flagSet() *flag.FlagSet {
	set := flag.NewFlagSet(c.Name, flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.Usage = func() {}
	if c.Flags != nil {
		c.Flags(set)
	}
	return set
}

// parse takes the flags out of args, wherever they stand before a "--", and returns the rest.
func parse(set *flag.FlagSet, args []string) (rest []string, err error) {
	for {
		if err := set.Parse(args); err != nil {
			return nil, err
		}
		left := set.Args()
		if len(left) == 0 {
			return rest, nil
		}
		// Parse stops behind a "--", and before the first argument.
		if n := len(args) - len(left); n > 0 && args[n-1] == "--" {
			return append(rest, left...), nil
		}
		rest, args = append(rest, left[0]), left[1:]
	}
}
