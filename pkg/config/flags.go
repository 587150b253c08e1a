package config

import (
	"flag"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// commandLine is what the flags say. Those that stand for a key are kept as text until the file has been read.
type commandLine struct {
	files       []string
	expandEnv   bool
	verify      bool
	print       bool
	help        bool
	version     bool
	listTargets bool
	values      []flagValue
}

// flagValue is a flag for a key, as it stood on the command line.
type flagValue struct {
	flag string
	def  flagDef
	text string
}

// textFlag takes the text of a flag without judging it.
type textFlag struct {
	name string
	def  flagDef
	bool bool
	cl   *commandLine
}

func (f *textFlag) String() string   { return "" }
func (f *textFlag) IsBoolFlag() bool { return f.bool }
func (f *textFlag) Set(text string) error {
	f.cl.values = append(f.cl.values, flagValue{flag: f.name, def: f.def, text: text})
	return nil
}

// parseFlags reads the command line. Each key of the file that is implemented has a flag, see flags.txt.
func parseFlags(args []string) (*commandLine, error) {
	cl := &commandLine{}
	set := flag.NewFlagSet("logstore", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.Usage = func() {}
	set.Func("config.file", "", func(text string) error {
		cl.files = parseList(text)
		return nil
	})
	set.BoolVar(&cl.expandEnv, "config.expand-env", false, "")
	set.BoolVar(&cl.verify, "verify-config", false, "")
	set.BoolVar(&cl.print, "print-config-stderr", false, "")
	set.BoolVar(&cl.version, "version", false, "")
	set.BoolVar(&cl.listTargets, "list-targets", false, "")
	set.BoolVar(&cl.help, "help", false, "")
	set.BoolVar(&cl.help, "h", false, "")
	for _, def := range flagDefs() {
		for _, name := range def.flags {
			set.Var(&textFlag{name: name, def: def, bool: def.kind == reflect.Bool, cl: cl}, name, "")
		}
	}
	switch err := set.Parse(args); {
	case err != nil:
		return nil, explainFlag(err, set)
	case set.NArg() > 0:
		return nil, fmt.Errorf("unexpected argument %s: only flags are allowed, see -help", quote(set.Arg(0)))
	}
	return cl, nil
}

// explainFlag names the flag that was probably meant.
func explainFlag(err error, set *flag.FlagSet) error {
	name, unknown := strings.CutPrefix(err.Error(), "flag provided but not defined: -")
	if !unknown {
		return err
	}
	names := map[string]bool{}
	set.VisitAll(func(f *flag.Flag) { names[f.Name] = true })
	if near := nearest(name, slices.Sorted(maps.Keys(names))); near != "" {
		return fmt.Errorf("unknown flag -%s, did you mean -%s?", name, near)
	}
	return fmt.Errorf("unknown flag -%s, see -help", name)
}

// apply sets the keys that flags stand for. A list whose flag occurs several times has all of the values.
func (cl *commandLine) apply(c *Config, d *decoder) {
	lists := map[string][]string{}
	for _, value := range cl.values {
		v, f := lookup(reflect.ValueOf(c).Elem(), value.def.key)
		text := value.text
		if v.Kind() == reflect.Slice {
			lists[value.def.key] = append(lists[value.def.key], text)
			text = strings.Join(lists[value.def.key], ",")
		}
		at := position{flag: value.flag}
		d.set[value.def.key], d.leaves[value.def.key] = at, true
		err := refuse(value.def.key, text)
		if err == nil {
			e := reflect.New(v.Type()).Elem()
			if err = setScalar(e, f, text); err == nil {
				v.Set(e)
				continue
			}
			shown := quote(redactText(text))
			if f.secret {
				shown = "this value"
			}
			err = fmt.Errorf("%s is not allowed, only %w", shown, err)
		}
		d.errs = append(d.errs, &Error{At: at, Path: value.def.key, Message: err.Error()})
	}
}

// lookup finds the field of a key.
func lookup(v reflect.Value, path string) (reflect.Value, field) {
	var f field
	for name := range strings.SplitSeq(path, ".") {
		var ok bool
		if f, ok = fieldOf(v.Type(), name); !ok {
			panic("BUG: flags.txt names a key that does not exist: " + path)
		}
		v = v.FieldByIndex(f.index)
	}
	return v, f
}

// flagDef is a key with its flags, the first of which is shown, and what it does.
type flagDef struct {
	key   string
	flags []string
	help  string
	group string
	kind  reflect.Kind

	// block and prefix tell where a flag of a block that occurs several times comes from.
	block, prefix string
}
