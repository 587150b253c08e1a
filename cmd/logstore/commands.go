package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"logstore/pkg/cli"
	"logstore/pkg/command"
	"logstore/pkg/configtool"
	"logstore/pkg/ruletool"
	"logstore/pkg/tools"
)

// commands returns the tree of all commands beside the store itself.
func commands() *command.Command {
	root := &command.Command{
		Name:    "logstore",
		Summary: "ask a running store, and tools for its bucket and its local folders",
		Help:    "Without a command, logstore runs the store: logstore -help lists its flags.",
	}
	root.Sub = append(cli.Commands(),
		tools.Inspect(),
		tools.Check(),
		tools.Rebuild(),
		tools.Migrate(),
		ruletool.Command(),
		configtool.Command(),
		tools.Failpoints(),
		command.Completion(root),
		health(),
		credentials(),
	)
	return root
}

// runCommand runs one command until it ends or a signal asks it to stop.
func runCommand(root *command.Command, args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // restores the default: the second signal kills
	in := command.OS()
	in.Stdout, in.Stderr = stdout, stderr
	return root.Main(ctx, in, args)
}

// usageOfCommands ends what -help shows.
func usageOfCommands(w io.Writer) error {
	_, err := fmt.Fprint(w, "\nCommands (logstore COMMAND -help says more):\n")
	return errors.Join(err, commands().WriteCommands(w))
}
