package configtool

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"logstore/pkg/command"
	"logstore/pkg/config"
)

func convertCommand() *command.Command {
	var expand expansion
	var output string
	return &command.Command{
		Name: "convert", Args: "FILE", Summary: "rewrite a file of any release of Loki into one that this store runs best with",
		Help: `Removes keys without effect and refused ones, gives keys with old names their new ones, and lets a period with boltdb-shipper follow,
from tomorrow on, where the index that is written is tsdb, which this store reads and does not write. Comments in the file say what
was done and why; the changes are listed on the standard error, too. Comments and variables of the file stay.

Exit code 3 tells that something is left which a person must decide, such as an object store that is not supported.

  logstore config convert -output=logstore.yaml loki.yaml && logstore config check logstore.yaml`,
		Flags: func(set *flag.FlagSet) {
			expand.register(set)
			set.StringVar(&output, "output", "", "`FILE` to write; the standard output if not given")
		},
		Run: func(_ context.Context, io *command.IO, args []string) error {
			if len(args) != 1 {
				return command.Usagef("one file is needed")
			}
			text, err := os.ReadFile(filepath.Clean(args[0]))
			if err != nil {
				return command.Usagef("cannot read configuration: %w", err)
			}
			c, err := config.Convert(args[0], text, expand.on, io.LookupEnv, time.Now())
			if err != nil {
				return command.Usagef("%w", err)
			}
			for _, change := range c.Changes {
				at := "new"
				if change.Line > 0 {
					at = fmt.Sprintf("line %d", change.Line)
				}
				io.Notef("%s: %s: %s. %s", at, change.Path, change.What, change.Why)
			}
			for _, w := range c.Warnings {
				io.Notef("warning: %s", w)
			}
			if output == "" {
				_, err = io.Stdout.Write(c.Text)
			} else {
				err = os.WriteFile(filepath.Clean(output), c.Text, 0o600) // it may hold secrets
			}
			if err != nil {
				return err
			}
			for _, p := range c.Problems {
				io.Notef("problem: %s", p)
			}
			if len(c.Problems) > 0 {
				return fmt.Errorf("%d things are left to decide: %w", len(c.Problems), command.ErrFindings)
			}
			return nil
		},
	}
}

func referenceCommand() *command.Command {
	return &command.Command{
		Name: "reference", Summary: "print what every key of a configuration file and every flag does here, as Markdown",
		Help: "That is docs/configuration.md.",
		Run: func(_ context.Context, io *command.IO, _ []string) error {
			return config.WriteReference(io.Stdout)
		},
	}
}
