package command

import (
	"flag"
	"fmt"
	"io"
	"strings"
)

// commonFrom is in how many commands a flag stands that the document of all commands shows once.
const commonFrom = 6

// WriteMarkdown writes the help of all commands below c as one document. Flags that many commands share stand at its end.
func (c *Command) WriteMarkdown(w io.Writer) error {
	var leaves []*Command
	paths := map[*Command]string{}
	var walk func(c *Command, path string)
	walk = func(c *Command, path string) {
		for _, s := range c.Sub {
			p := path + " " + s.Name
			if s.Run != nil {
				leaves, paths[s] = append(leaves, s), p
			}
			walk(s, p)
		}
	}
	walk(c, c.Name)
	count := map[string]int{} // by name and usage
	for _, leaf := range leaves {
		leaf.flagSet().VisitAll(func(f *flag.Flag) { count[f.Name+"\x00"+f.Usage]++ })
	}
	common := func(f *flag.Flag) bool { return count[f.Name+"\x00"+f.Usage] >= commonFrom }

	var out strings.Builder
	shared := flag.NewFlagSet("", flag.ContinueOnError)
	for _, leaf := range leaves {
		own := flag.NewFlagSet("", flag.ContinueOnError)
		var taken []string
		leaf.flagSet().VisitAll(func(f *flag.Flag) {
			if !common(f) {
				addFlag(own, f)
				return
			}
			taken = append(taken, "`-"+f.Name+"`")
			if shared.Lookup(f.Name) == nil {
				addFlag(shared, f)
			}
		})
		fmt.Fprintf(&out, "## %s\n\n```\n", paths[leaf])
		leaf.writeUsage(&out, paths[leaf])
		writeFlags(&out, own)
		out.WriteString("```\n\n")
		if len(taken) > 0 {
			fmt.Fprintf(&out, "Of the [common flags](#common-flags) it takes %s.\n\n", strings.Join(taken, ", "))
		}
	}
	out.WriteString("## Common flags\n\n```")
	writeFlags(&out, shared)
	out.WriteString("```\n")
	_, err := io.WriteString(w, out.String())
	return err
}

func addFlag(to *flag.FlagSet, f *flag.Flag) {
	to.Var(f.Value, f.Name, f.Usage)
	to.Lookup(f.Name).DefValue = f.DefValue
}

// writeUsage writes how a command is called and what it does.
func (c *Command) writeUsage(out *strings.Builder, path string) {
	switch {
	case c.Run == nil:
		fmt.Fprintf(out, "Usage: %s COMMAND\n\n", path)
	case c.Args == "":
		fmt.Fprintf(out, "Usage: %s [flags]\n\n", path)
	default:
		fmt.Fprintf(out, "Usage: %s [flags] %s\n\n", path, c.Args)
	}
	out.WriteString(strings.ToUpper(c.Summary[:1]) + c.Summary[1:] + ".\n")
	if c.Help != "" {
		out.WriteString("\n" + strings.TrimSpace(c.Help) + "\n")
	}
}
