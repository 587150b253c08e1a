package configtool

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"time"

	"logstore/pkg/command"
	"logstore/pkg/config"
)

// Command returns the command `config`.
func Command() *command.Command {
	return &command.Command{
		Name: "config", Summary: "explain, try, compare and convert configuration files",
		Sub: []*command.Command{checkCommand(), diffCommand(), convertCommand(), referenceCommand()},
	}
}

// expansion is the flag of files with variables.
type expansion struct{ on bool }

func (e *expansion) register(set *flag.FlagSet) {
	set.BoolVar(&e.on, "config.expand-env", false, "replace ${VAR} and ${VAR:default} in the file by environment variables")
}

// check are the flags of `config check`.
type check struct {
	expansion
	json, offline bool
	timeout       time.Duration
}

func checkCommand() *command.Command {
	c := &check{}
	return &command.Command{
		Name: "check", Args: "FILE", Summary: "say what each key of a file does here, and try the stores, caches and Alertmanagers that it names",
		Help: `Reads the file strictly and lists its keys with their lines: used, used under an old name, without effect and why, or refused and what to do.
A * marks values that differ from the default. Then it puts, gets, lists and deletes an object in each bucket, sets, gets and deletes
a key in each Redis, and asks each Alertmanager for its status. Nothing else is touched.

Exit code 2 tells that the file is refused, 3 that something it names does not work.

  logstore config check loki.yaml
  logstore config check -offline -json loki.yaml`,
		Flags: func(set *flag.FlagSet) {
			c.register(set)
			set.BoolVar(&c.json, "json", false, "write one JSON document")
			set.BoolVar(&c.offline, "offline", false, "read the file only and try nothing")
			set.DurationVar(&c.timeout, "timeout", 15*time.Second, "longest time for each thing that is tried")
		},
		Run: func(ctx context.Context, io *command.IO, args []string) error {
			if len(args) != 1 {
				return command.Usagef("one file is needed")
			}
			return c.run(ctx, io, args[0])
		},
	}
}

// Report is what check writes as JSON.
type Report struct {
	*config.Explanation
	Tried []Result `json:"tried,omitempty"`
	OK    bool     `json:"ok"`
}

func (c *check) run(ctx context.Context, io *command.IO, file string) error {
	e, err := config.Explain(file, c.on, io.LookupEnv)
	if err != nil {
		return command.Usagef("%w", err)
	}
	r := Report{Explanation: e}
	if e.Config != nil && !c.offline {
		r.Tried = try(ctx, e.Config, c.timeout)
	}
	failed := 0
	for _, t := range r.Tried {
		if t.Error != "" {
			failed++
		}
	}
	r.OK = len(e.Errors) == 0 && failed == 0
	if c.json {
		err = io.JSON(r)
	} else {
		err = writeReport(io, &r)
	}
	switch {
	case err != nil:
		return err
	case len(e.Errors) > 0:
		return command.Usagef("%s: the store would not start: %d mistakes", file, len(e.Errors))
	case failed > 0:
		return fmt.Errorf("%d of %d tries failed: %w", failed, len(r.Tried), command.ErrFindings)
	}
	return nil
}

func writeReport(io *command.IO, r *Report) error {
	rows := [][]string{{"line", "", "key", "value", "what it does here"}}
	counts := map[string]int{}
	for _, k := range r.Keys {
		counts[k.State]++
		mark := ""
		if k.Differs {
			mark = "*"
		}
		text := k.Text
		if k.State != config.KeyUsed {
			text = strings.ToUpper(k.State) + ": " + text
		}
		rows = append(rows, []string{fmt.Sprint(k.Line), mark, k.Path, shorten(k.Value), text})
	}
	if err := io.Table(rows...); err != nil {
		return err
	}
	var out strings.Builder
	fmt.Fprintf(&out, "\n%d keys: %d used, %d under old names, %d without effect, %d refused\n", len(r.Keys), counts[config.KeyUsed],
		counts[config.KeyOld], counts[config.KeyNoEffect], counts[config.KeyRefused])
	for _, w := range r.Warnings {
		fmt.Fprintf(&out, "warning: %s\n", w)
	}
	for _, e := range r.Errors {
		fmt.Fprintf(&out, "error: %s\n", e)
	}
	for _, t := range r.Tried {
		out.WriteString(t.String() + "\n")
	}
	_, err := fmt.Fprint(io.Stdout, out.String())
	return err
}

// shorten keeps a value in its column.
func shorten(value string) string {
	const most = 48
	value = strings.Join(strings.Fields(value), " ")
	if len(value) > most {
		value = strings.ToValidUTF8(value[:most], "") + "..."
	}
	return value
}

func diffCommand() *command.Command {
	var expand expansion
	var asJSON bool
	return &command.Command{
		Name: "diff", Args: "FILE [FILE]", Summary: "show the keys whose values differ between two files, or between a file and the defaults",
		Help: `Compared is what is in effect: defaults, common keys and old names are worked in, order and comments do not count. Secrets are not shown,
but that they differ is. Exit code 3 tells that there are differences.

  logstore config diff old.yaml new.yaml`,
		Flags: func(set *flag.FlagSet) {
			expand.register(set)
			set.BoolVar(&asJSON, "json", false, "write JSON")
		},
		Run: func(_ context.Context, io *command.IO, args []string) error {
			if len(args) != 1 && len(args) != 2 {
				return command.Usagef("one or two files are needed")
			}
			names := []string{"defaults"}
			configs := []*config.Config{config.Defaults()}
			if len(args) == 2 {
				names, configs = nil, nil
			}
			for _, file := range args {
				e, err := config.Explain(file, expand.on, io.LookupEnv)
				if err != nil {
					return command.Usagef("%w", err)
				}
				if e.Config == nil {
					return command.Usagef("%s", strings.Join(e.Errors, "\n"))
				}
				names, configs = append(names, file), append(configs, e.Config)
			}
			list := config.Diff(configs[0], configs[1])
			if asJSON {
				if err := io.JSON(list); err != nil {
					return err
				}
			} else if len(list) > 0 {
				rows := [][]string{{"key", names[0], names[1]}}
				for _, d := range list {
					rows = append(rows, []string{d.Path, quoteEmpty(d.A), quoteEmpty(d.B)})
				}
				if err := io.Table(rows...); err != nil {
					return err
				}
			}
			if len(list) > 0 {
				return fmt.Errorf("%d keys differ: %w", len(list), command.ErrFindings)
			}
			return nil
		},
	}
}

func quoteEmpty(value string) string {
	if value == "" {
		return `""`
	}
	return shorten(value)
}
