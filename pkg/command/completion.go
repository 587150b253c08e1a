package command

import (
	"context"
	"flag"
	"fmt"
	"io"
	"strings"
)

// Completion returns the command `completion`, which prints a script for a shell. root is the tree that is completed; flags are
// names of flags that root takes without a command.
func Completion(root *Command, flags ...string) *Command {
	scripts := map[string]func(io.Writer, *Command, []string) error{"bash": writeBash, "zsh": writeZsh, "fish": writeFish}
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
			return scripts[args[0]](o.Stdout, root, flags)
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

// rootNodes adds the flags that the root takes.
func rootNodes(root *Command, flags []string) []node {
	all := nodes(root, "")
	for _, f := range flags {
		all[0].words = append(all[0].words, "-"+f)
	}
	return all
}

// writeBash writes a script that follows the words that are commands: arguments and values of flags are passed over.
func writeBash(w io.Writer, root *Command, flags []string) error {
	var out strings.Builder
	all := rootNodes(root, flags)
	fmt.Fprintf(&out, "_%s() {\n  local cur=${COMP_WORDS[COMP_CWORD]} path=\"\" next word words\n", root.Name)
	out.WriteString("  for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n    [[ $word == -* ]] && continue\n")
	out.WriteString("    next=\"${path:+$path }$word\"\n    case $next in\n")
	for _, n := range all[1:] {
		fmt.Fprintf(&out, "    %q) path=$next ;;\n", n.path)
	}
	out.WriteString("    *) [[ -z $path ]] && COMPREPLY=() && return ;;\n    esac\n  done\n  case $path in\n")
	for _, n := range all {
		fmt.Fprintf(&out, "  %q) words=%q ;;\n", n.path, strings.Join(n.words, " "))
	}
	out.WriteString("  esac\n")
	out.WriteString("  COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n")
	fmt.Fprintf(&out, "}\ncomplete -o default -F _%s %s\n", root.Name, root.Name)
	_, err := io.WriteString(w, out.String())
	return err
}

// writeZsh uses the script of bash, which zsh can load.
func writeZsh(w io.Writer, root *Command, flags []string) error {
	if _, err := io.WriteString(w, "autoload -U +X compinit && compinit\nautoload -U +X bashcompinit && bashcompinit\n"); err != nil {
		return err
	}
	return writeBash(w, root, flags)
}

func writeFish(w io.Writer, root *Command, flags []string) error {
	var out strings.Builder
	all := rootNodes(root, flags)
	fmt.Fprintf(&out, "function __%s_at\n  set -l path ''\n  for word in (commandline -opc)[2..-1]\n", root.Name)
	out.WriteString("    string match -q -- '-*' $word; and continue\n    set -l next (string trim -- \"$path $word\")\n    switch $next\n      case")
	for _, n := range all[1:] {
		fmt.Fprintf(&out, " '%s'", n.path)
	}
	out.WriteString("\n        set path $next\n    end\n  end\n  test \"$argv\" = \"$path\"\nend\n")
	for _, n := range all {
		fmt.Fprintf(&out, "complete -c %s -n '__%s_at %s' -a '%s'\n", root.Name, root.Name, n.path, strings.Join(n.words, " "))
	}
	_, err := io.WriteString(w, out.String())
	return err
}
