// Command logstore is a Loki-compatible log store in one process: see README.md, and logstore -help.
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

	"logstore/pkg/api"
	"logstore/pkg/app"
	"logstore/pkg/buckets"
	"logstore/pkg/config"
	"logstore/pkg/failpoint"
)

// Set by the linker, see the Makefile.
var (
	version   = "dev"
	revision  = "unknown"
	branch    = "unknown"
	buildUser = ""
	buildDate = ""
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run returns the exit code: 0 for a clean end, 1 for a failure while running, 2 for a bad command line or configuration.
func run(args []string, stdout, stderr io.Writer) int {
	if root := commands(); root.Names(args) {
		return runCommand(root, args, stdout, stderr)
	}
	setup, err := config.Load(args, os.LookupEnv)
	if err != nil {
		fmt.Fprintf(stderr, "logstore: %v\n", err)
		return 2
	}
	if names, err := failpoint.Activate(os.Getenv(failpoint.Variable)); err != nil {
		fmt.Fprintf(stderr, "logstore: %v\n", err)
		return 2
	} else if len(names) > 0 {
		fmt.Fprintf(stderr, "logstore: failpoints are on: %v\n", names)
	}
	build := api.BuildInfo{
		Version: version, Revision: revision, Branch: branch, BuildUser: buildUser, BuildDate: buildDate, GoVersion: runtime.Version(),
	}
	switch {
	case setup.Help:
		err = errors.Join(config.Usage(stdout), usageOfCommands(stdout))
	case setup.Version:
		err = writeVersion(stdout)
	case setup.ListTargets:
		_, err = fmt.Fprintln(stdout, "all")
	case setup.VerifyOnly:
		app.LogSetup(app.NewLogger(setup.Config, stderr, nil), setup)
		if err = errors.Join(buckets.Verify(setup.Config), setup.Config.CheckUsers()); err == nil {
			_, err = fmt.Fprintln(stderr, "config is valid")
		}
	default:
		err = serve(setup, build, stderr)
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintf(stderr, "logstore: %v\n", err)
		return 1
	}
	return 0
}

// serve runs the store until a signal asks it to stop. A second signal ends it at once.
func serve(setup *config.Setup, build api.BuildInfo, stderr io.Writer) error {
	if setup.PrintConfig {
		if err := setup.Config.WriteYAML(stderr, config.ModeEffective); err != nil {
			return err
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	a, err := app.New(setup, build, stderr)
	if err != nil {
		return err
	}
	run, end := context.WithCancel(context.Background())
	defer end()
	// The default is restored before the end begins, and says so: the second signal kills.
	context.AfterFunc(ctx, func() { stop(); end() })
	return a.Run(run)
}
