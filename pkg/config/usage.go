package config

import (
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
)

const usageHead = `logstore keeps logs and answers LogQL over the API of Grafana Loki.

Usage:
  logstore                                     a single node with its data in ./data, HTTP on port 3100
  logstore -config.file=loki.yaml              with a configuration file in the format of Loki
  logstore -config.file=loki.yaml -verify-config

Each key of the file that has an effect has a flag. A flag beats the file, the file beats the default. Lists are
separated by commas, durations look like 30s, 5m, 1h30m, 7d, sizes like 256KB, 4MB (1024 bytes are a KB).
What only the file can say: schema_config, retention_stream, otlp_config and other lists of blocks.

Command:
  -config.file               Configuration file, or several separated by commas: the first that exists is read.
  -config.expand-env         Replace ${VAR} and ${VAR:default} in the file by environment variables.
  -verify-config             Check the configuration and stop.
  -print-config-stderr       Write the configuration that is in effect to the standard error, without its secrets.
  -list-targets              List what -target takes.
  -version                   Print the version.
  -help                      Print this.
`

// Usage writes what -help shows. The flags of a block that occurs several times are written once.
func Usage(w io.Writer) error {
	c := Default()
	deriver{c: &c, set: map[string]position{}}.run()
	var out strings.Builder
	out.WriteString(usageHead)
	group := ""
	written := map[string]string{} // a block, to the prefix under which it was written
	for _, def := range flagDefs() {
		if def.group != group {
			group = def.group
			fmt.Fprintf(&out, "\n%s:\n", group)
		}
		name := "-" + def.flags[0]
		if def.block != "" {
			prefix, ok := written[def.block]
			if !ok {
				prefix = def.prefix
				written[def.block] = prefix
				out.WriteString(blockHead(def.block))
			}
			if prefix != def.prefix {
				continue
			}
			name = "-PREFIX" + strings.TrimPrefix(def.flags[0], def.prefix)
		}
		v, f := lookup(reflect.ValueOf(&c).Elem(), def.key)
		writeFlag(&out, name, def.help+showDefault(v, f))
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// FlagNames returns the names of all flags, without their dashes.
func FlagNames() []string {
	var names []string
	_, text, _ := strings.Cut(usageHead, "Command:\n")
	for line := range strings.Lines(text) {
		if name, _, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "-"), " "); ok {
			names = append(names, name)
		}
	}
	for _, def := range flagDefs() {
		names = append(names, def.flags[0])
	}
	return names
}

// blockHead says which prefixes a block has.
func blockHead(block string) string {
	var prefixes []string
	for _, def := range flagDefs() {
		prefix := def.prefix
		if prefix == "" {
			prefix = "(nothing)"
		}
		if def.block == block && !slices.Contains(prefixes, prefix) {
			prefixes = append(prefixes, prefix)
		}
	}
	return "  " + wrap("PREFIX is one of: "+strings.Join(prefixes, ", "), 2, 120) + "\n"
}

func writeFlag(out *strings.Builder, name, help string) {
	head := "  " + name
	if len(head) < 28 {
		head += strings.Repeat(" ", 28-len(head))
	} else {
		head += "\n" + strings.Repeat(" ", 28)
	}
	out.WriteString(head + " " + wrap(help, 29, 120) + "\n")
}

func showDefault(v reflect.Value, f field) string {
	text := scalarText(v, f)
	if text == "" || v.Type() == timeType || v.Kind() == reflect.Bool && text == "false" {
		return ""
	}
	return " (default " + strings.ReplaceAll(text, ",", ", ") + ")"
}

// wrap breaks a text into lines that begin at a column and end before another.
func wrap(text string, from, to int) string {
	var out strings.Builder
	column := from
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
		case column+1+len(word) > to:
			out.WriteString("\n" + strings.Repeat(" ", from))
			column = from
		default:
			out.WriteByte(' ')
			column++
		}
		out.WriteString(word)
		column += len(word)
	}
	return out.String()
}
