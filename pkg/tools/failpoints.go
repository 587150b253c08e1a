package tools

import (
	"context"
	"flag"

	"logstore/pkg/command"
	"logstore/pkg/failpoint"
)

// Failpoints returns the command `failpoints`.
func Failpoints() *command.Command {
	var json bool
	return &command.Command{
		Name: "failpoints", Summary: "list the places at which a test can make the store die, fail or wait",
		Help: `
The environment variable ` + failpoint.Variable + ` of the store switches them on: point=kill, point=error, point=sleep(1s),
and point=3*kill for the third pass; several are separated by semicolons. A store that is not tested has none.`,
		Flags: func(set *flag.FlagSet) { set.BoolVar(&json, "json", false, "write one JSON document instead of text") },
		Run: func(_ context.Context, o *command.IO, _ []string) error {
			type point struct {
				Name string `json:"name"`
				Doc  string `json:"doc"`
			}
			points := []point{}
			rows := [][]string{{"point", "what has happened"}}
			for _, p := range failpoint.Table() {
				points = append(points, point{p.Name, p.Doc})
				rows = append(rows, []string{p.Name, p.Doc})
			}
			if json {
				return o.JSON(points)
			}
			return o.Table(rows...)
		},
	}
}
