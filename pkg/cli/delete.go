package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"strings"
	"time"

	"logstore/pkg/client"
	"logstore/pkg/command"
)

func deleteCommand() *command.Command {
	return &command.Command{
		Name: "delete", Summary: "ask for the deletion of lines, list and cancel such requests",
		Sub: []*command.Command{deleteListCommand(), deleteCreateCommand(), deleteCancelCommand()},
	}
}

// explainDelete says what a store lacks that knows no delete requests.
func explainDelete(err error) error {
	var refused *client.StatusError
	if errors.As(err, &refused) && refused.Status == http.StatusNotFound && strings.Contains(refused.Message, "page not found") {
		return errors.New("the store takes no delete requests: set compactor.retention_enabled and compactor.delete_request_store in its configuration")
	}
	return err
}

const deleteHelp = "The store must take such requests: compactor.retention_enabled and compactor.delete_request_store.\n\n"

func deleteListCommand() *command.Command {
	var c conn
	var asJSON bool
	return &command.Command{
		Name: "list", Summary: "list the delete requests, oldest first", Help: deleteHelp + connectHelp,
		Flags: func(set *flag.FlagSet) {
			c.register(set)
			set.BoolVar(&asJSON, "json", false, "write JSON")
		},
		Run: c.run(0, 0, func(ctx context.Context, io *command.IO, cl *client.Client, _ []string) error {
			list, err := cl.Deletes(ctx)
			if err != nil {
				return explainDelete(err)
			}
			if asJSON {
				return io.JSON(emptyNotNull(list))
			}
			rows := [][]string{{"id", "status", "created", "from", "to", "query"}}
			at := func(seconds float64) string { return time.Unix(int64(seconds), 0).Format(time.RFC3339) }
			for _, d := range list {
				rows = append(rows, []string{d.ID, d.Status, at(d.CreatedAt), at(d.StartTime), at(d.EndTime), cell(d.Query)})
			}
			return io.Table(rows...)
		}),
	}
}

func deleteCreateCommand() *command.Command {
	var c conn
	var s span
	var interval durationFlag
	return &command.Command{
		Name: "create", Args: "QUERY", Summary: "ask the store to delete the lines of a query in a time range",
		Help: `The query is a selector, perhaps with line filters. -from must be given. The store deletes after a while, in which the request can be
cancelled; queries do not show the lines any more as soon as the request is there. The id of the request is written.

  logstore delete create -from=2026-01-31T10:00:00Z -to=2026-01-31T11:00:00Z '{app="web"} |= "secret"'

` + deleteHelp + connectHelp,
		Flags: func(set *flag.FlagSet) {
			c.register(set)
			s.register(set, 0)
			interval = 0
			set.Var(&interval, "max-interval", "with line filters: `DURATION` of the pieces that the request is worked off in")
		},
		Run: c.run(1, 1, func(ctx context.Context, io *command.IO, cl *client.Client, args []string) error {
			if s.from == "" && s.since == 0 {
				return command.Usagef("-from or -since must say from when on lines are deleted")
			}
			span, err := s.at(time.Now())
			if err != nil {
				return err
			}
			id, err := cl.CreateDelete(ctx, args[0], span, time.Duration(interval))
			if err != nil || id == "" {
				return explainDelete(err)
			}
			_, err = fmt.Fprintln(io.Stdout, id)
			return err
		}),
	}
}

func deleteCancelCommand() *command.Command {
	var c conn
	var force bool
	return &command.Command{
		Name: "cancel", Args: "ID", Summary: "take a delete request back", Help: deleteHelp + connectHelp,
		Flags: func(set *flag.FlagSet) {
			c.register(set)
			set.BoolVar(&force, "force", false, "though the time for it is over, or a part is deleted")
		},
		Run: c.run(1, 1, func(ctx context.Context, _ *command.IO, cl *client.Client, args []string) error {
			return explainDelete(cl.CancelDelete(ctx, args[0], force))
		}),
	}
}
