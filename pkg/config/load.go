package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Setup is what a command line and a configuration file ask for.
type Setup struct {
	// Config is complete and valid.
	Config *Config
	// File is the file that was read, or empty.
	File string
	// NoEffect are the keys of the file that Loki knows and that have no effect here, in ascending order.
	NoEffect []string
	// Warnings are sentences about what is allowed and probably not meant. NoEffect is not among them.
	Warnings []string

	// What to do instead of running, or beside it.
	Help        bool
	Version     bool
	ListTargets bool
	VerifyOnly  bool
	PrintConfig bool
}

// Load reads the command line (without the program's name), the first configuration file that exists among those
// it names, and the environment as far as -config.expand-env asks for it. A flag beats the file, the file beats the default. The error
// is of type Errors if the configuration is at fault; it holds all mistakes that were found.
func Load(args []string, env LookupEnv) (*Setup, error) {
	cl, err := parseFlags(args)
	if err != nil {
		return nil, err
	}
	setup := &Setup{
		Help: cl.help, Version: cl.version, ListTargets: cl.listTargets, VerifyOnly: cl.verify, PrintConfig: cl.print,
	}
	if setup.Help || setup.Version || setup.ListTargets {
		return setup, nil
	}
	var text []byte
	if setup.File, text, err = readFirst(cl.files); err != nil {
		return nil, err
	}
	if cl.expandEnv {
		expanded, err := expandEnv(string(text), env)
		if err != nil {
			return nil, fmt.Errorf("cannot expand %s: %w", setup.File, err)
		}
		text = []byte(expanded)
	}
	if err := setup.build(text, cl); err != nil {
		return nil, err
	}
	return setup, nil
}

// build makes the configuration from the text of the file and the flags.
func (s *Setup) build(text []byte, cl *commandLine) error {
	_, err := s.decode(text, cl.apply)
	return err
}

// decode reads the text of the file, lets a later hand change what it says, completes and checks it.
func (s *Setup) decode(text []byte, later ...func(c *Config, d *decoder)) (*decoder, error) {
	c := Default()
	if s.File != "" {
		// Loki's default. With false, the data of all tenants would be mixed.
		c.AuthEnabled = true
	}
	d := newDecoder(s.File)
	d.document(text, reflect.ValueOf(&c).Elem(), knownKeys())
	for _, change := range later {
		change(&c, d)
	}
	deriver{c: &c, set: d.set}.run()
	c.validate(collect(&d.errs, d.set, s.File))
	if len(d.errs) > 0 {
		return d, d.errs.sorted()
	}
	for path := range d.leaves {
		if unread(path) {
			d.noEffect = append(d.noEffect, path)
		}
	}
	slices.Sort(d.noEffect)
	s.Config = &c
	s.NoEffect = slices.Compact(d.noEffect)
	s.Warnings = c.warnings(deriver{set: d.set}.isSet)
	return d, nil
}

// readFirst returns the name and the text of the first file that exists.
func readFirst(names []string) (string, []byte, error) {
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err == nil {
			return name, text, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", nil, fmt.Errorf("cannot read configuration: %w", err)
		}
	}
	if len(names) > 0 {
		return "", nil, fmt.Errorf("cannot read configuration: there is no file %s", strings.Join(names, ", nor "))
	}
	return "", nil, nil
}

// document reads the one YAML document of a file into a struct.
func (d *decoder) document(text []byte, v reflect.Value, known *key) {
	reader := yaml.NewDecoder(bytes.NewReader(text))
	var doc, second yaml.Node
	err := reader.Decode(&doc)
	if errors.Is(err, io.EOF) {
		return
	}
	if err == nil && reader.Decode(&second) == nil {
		d.fail(&second, "", "a second document begins here, only one is allowed")
	}
	if err != nil {
		d.errs = append(d.errs, d.syntaxError(err))
		return
	}
	d.block(doc.Content[0], v, "", known, 0)
}

// syntaxError gives an error of the YAML parser its place. What the parser quotes from the file is left out, since it may
// be a secret.
func (d *decoder) syntaxError(err error) *Error {
	e := &Error{At: position{file: d.file}}
	message := strings.TrimPrefix(err.Error(), "yaml: ")
	var line int
	if _, scanErr := fmt.Sscanf(message, "line %d:", &line); scanErr == nil {
		e.At.line, e.At.column = line, 1
		_, message, _ = strings.Cut(message, ": ")
	}
	switch {
	case strings.HasPrefix(message, "unknown anchor"):
		message = "a value that begins with * must stand in quotation marks"
	case strings.HasPrefix(message, "found character that cannot start any token"):
		message = "a tab, where only spaces are allowed, or a value that must stand in quotation marks"
	}
	if i := strings.IndexAny(message, "'\"`"); i > 0 && !strings.HasPrefix(message[i:], "':'") && !strings.HasPrefix(message[i:], "'-'") {
		message = strings.TrimSpace(message[:i])
	}
	e.Message = "bad YAML: " + message
	return e
}
