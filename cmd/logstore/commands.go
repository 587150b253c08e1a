package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"logstore/pkg/cli"
	"logstore/pkg/command"
	"logstore/pkg/config"
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
		command.Completion(root, config.FlagNames()...),
		versionCommand(),
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

// versionCommand says what -version says.
func versionCommand() *command.Command {
	return &command.Command{
		Name: "version", Summary: "print the version",
		Run: func(_ context.Context, in *command.IO, _ []string) error { return writeVersion(in.Stdout) },
	}
}

func writeVersion(w io.Writer) error {
	_, err := fmt.Fprintf(w, "logstore, version %s (branch: %s, revision: %s)\n  go version: %s\n  platform: %s/%s\n",
		version, branch, revision, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}

// usageOfCommands ends what -help shows.
func usageOfCommands(w io.Writer) error {
	_, err := fmt.Fprint(w, "\nCommands (logstore COMMAND -help says more):\n")
	return errors.Join(err, commands().WriteCommands(w))
}
