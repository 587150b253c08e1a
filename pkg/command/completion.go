package command

import (
	"context"
	"flag"
	"fmt"
	"io"
	"strings"
)

// Completion returns the command `completion`, which prints a script for a shell. root is the tree that is completed.
func Completion(root *Command) *Command {
	scripts := map[string]func(io.Writer, *Command) error{"bash": writeBash, "zsh": writeZsh, "fish": writeFish}
	return &Command{
		Name: "completion", Args: "bash|zsh|fish",
		Summary: "print a script that completes commands and flags in a shell",
		Help: `
Try it in the shell that is running:

  source <(logstore completion bash)

To keep it, write it to where the shell looks for completions, such as
/etc/bash_completion.d/logstore or ~/.config/fish/completions/logstore.fish.`,
		Run: func(_ context.Context, o *IO, args []string) error {
			if len(args) != 1 || scripts[args[0]] == nil {
				return Usagef("one shell is needed: bash, zsh or fish")
			}
			return scripts[args[0]](o.Stdout, root)
		},
	}
}

// node is what may follow the words of a path.
type node struct {
	path  string
	words []string
}

// nodes lists what may follow, for each path of words in the tree.
func nodes(c *Command, path string) []node {
	n := node{path: path}
	for _, s := range c.Sub {
		n.words = append(n.words, s.Name)
	}
	c.flagSet().VisitAll(func(f *flag.Flag) { n.words = append(n.words, "-"+f.Name) })
	n.words = append(n.words, "-help")
	all := []node{n}
	for _, s := range c.Sub {
		all = append(all, nodes(s, strings.TrimSpace(path+" "+s.Name))...)
	}
	return all
}

func writeBash(w io.Writer, root *Command) error {
	var out strings.Builder
	fmt.Fprintf(&out, "_%s() {\n  local cur=${COMP_WORDS[COMP_CWORD]} path=\"\" word words\n", root.Name)
	out.WriteString("  for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n    [[ $word == -* ]] || path=\"${path:+$path }$word\"\n  done\n")
	out.WriteString("  case $path in\n")
	for _, n := range nodes(root, "") {
		fmt.Fprintf(&out, "  %q) words=%q ;;\n", n.path, strings.Join(n.words, " "))
	}
	out.WriteString("  *) words=\"\" ;;\n  esac\n")
	out.WriteString("  COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n")
	fmt.Fprintf(&out, "}\ncomplete -o default -F _%s %s\n", root.Name, root.Name)
	_, err := io.WriteString(w, out.String())
	return err
}

// writeZsh uses the script of bash, which zsh can load.
func writeZsh(w io.Writer, root *Command) error {
	if _, err := io.WriteString(w, "autoload -U +X compinit && compinit\nautoload -U +X bashcompinit && bashcompinit\n"); err != nil {
		return err
	}
	return writeBash(w, root)
}

func writeFish(w io.Writer, root *Command) error {
	var out strings.Builder
	fmt.Fprintf(&out, "function __%s_at\n  set -l words (commandline -opc)\n  set -e words[1]\n", root.Name)
	out.WriteString("  test \"$argv\" = (string join ' ' (string match -v -- '-*' $words))\nend\n")
	for _, n := range nodes(root, "") {
		fmt.Fprintf(&out, "complete -c %s -n '__%s_at %s' -a '%s'\n", root.Name, root.Name, n.path, strings.Join(n.words, " "))
	}
	_, err := io.WriteString(w, out.String())
	return err
}
