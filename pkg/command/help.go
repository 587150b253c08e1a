package command

import (
	"flag"
	"fmt"
	"io"
	"strings"
)

// writeHelp writes what -help shows: usage, what it does, the commands of a group or the flags of a leaf.
func (c *Command) writeHelp(w io.Writer, path string) error {
	var out strings.Builder
	c.writeUsage(&out, path)
	if c.Run == nil {
		out.WriteString("\nCommands:\n")
		c.writeCommands(&out, "  ", "")
		fmt.Fprintf(&out, "\n%s COMMAND -help says more about a command.\n", path)
	} else {
		writeFlags(&out, c.flagSet())
		out.WriteString("\nExit codes: 0 done and clean, 1 it could not be done, 2 bad command line or configuration,\n" +
			"3 done, and something wrong was found.\n")
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// WriteCommands lists all commands below c, a line each.
func (c *Command) WriteCommands(w io.Writer) error {
	var out strings.Builder
	c.writeCommands(&out, "  ", "")
	_, err := io.WriteString(w, out.String())
	return err
}

func (c *Command) writeCommands(out *strings.Builder, indent, path string) {
	for _, s := range c.Sub {
		if s.Run == nil {
			s.writeCommands(out, indent, path+s.Name+" ")
			continue
		}
		fmt.Fprintf(out, "%s%-24s %s\n", indent, path+s.Name, s.Summary)
	}
}

func writeFlags(out *strings.Builder, set *flag.FlagSet) {
	first := true
	set.VisitAll(func(f *flag.Flag) {
		if first {
			out.WriteString("\nFlags:\n")
			first = false
		}
		value, usage := flag.UnquoteUsage(f)
		name := "-" + f.Name
		if value != "" {
			name += " " + value
		}
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0" && f.DefValue != "0s" {
			usage += " (default " + f.DefValue + ")"
		}
		if len(name) > 24 {
			name += "\n" + strings.Repeat(" ", 26)
		}
		fmt.Fprintf(out, "  %-24s %s\n", name, strings.ReplaceAll(usage, "\n", "\n"+strings.Repeat(" ", 27)))
	})
}
