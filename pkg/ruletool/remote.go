package ruletool

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"logstore/pkg/client"
	"logstore/pkg/command"
	"logstore/pkg/rules"
)

// store is a running store, as the flags name it.
type store struct {
	flags client.Flags
	json  bool
}

// register adds the flags of every client, and the names that -addr and -org-id had here before.
func (s *store) register(set *flag.FlagSet) {
	s.flags.Register(set)
	set.Func("url", "another name of -addr: the `ADDRESS` of the store", func(text string) error { return set.Set("addr", text) })
	set.Func("tenant", "another name of -org-id: the `TENANT` of the rules", func(text string) error { return set.Set("org-id", text) })
	set.BoolVar(&s.json, "json", false, "write JSON")
}

// ask sends a request and returns the answer's body; a refusal is an error with its text.
func (s *store) ask(ctx context.Context, to *command.IO, method string, body []byte, parts ...string) ([]byte, error) {
	c, err := s.flags.Client(to.Env, func(err error, pause time.Duration) { to.Notef("%v; trying again in %s", err, pause) })
	if err != nil {
		return nil, command.Usagef("%w", err)
	}
	path := "/loki/api/v1/rules"
	for _, p := range parts {
		path += "/" + url.PathEscape(p)
	}
	text, _, err := c.Do(ctx, client.Request{
		Method: method, Path: path, Body: body, Header: http.Header{"Content-Type": {"application/yaml"}},
	})
	if advice := client.Advice(err); advice != "" {
		err = fmt.Errorf("%w\n  %s", err, advice)
	}
	return text, err
}

// write writes YAML as it is, or as JSON.
func (s *store) write(to *command.IO, text []byte) error {
	if !s.json {
		_, err := to.Stdout.Write(text)
		return err
	}
	var v any
	if err := rules.Decode(text, &v); err != nil {
		return err
	}
	return to.JSON(v)
}

const remoteHelp = "The store's address comes from -addr or $LOKI_ADDR, the tenant from -org-id or $LOKI_ORG_ID; -url and $LOGSTORE_URL, -tenant and $LOGSTORE_TENANT say the same."

// remoteCommands are those that talk to a running store.
func remoteCommands() []*command.Command {
	s := &store{}
	return []*command.Command{
		{
			Name: "list", Args: "[NAMESPACE]", Summary: "show the rule groups of a running store", Help: remoteHelp, Flags: s.register,
			Run: func(ctx context.Context, io *command.IO, args []string) error {
				if len(args) > 1 {
					return command.Usagef("one namespace at most")
				}
				text, err := s.ask(ctx, io, http.MethodGet, nil, args...)
				if err != nil {
					return err
				}
				return s.write(io, text)
			},
		},
		{
			Name: "get", Args: "NAMESPACE GROUP", Summary: "show one rule group of a running store", Help: remoteHelp, Flags: s.register,
			Run: func(ctx context.Context, io *command.IO, args []string) error {
				if len(args) != 2 {
					return command.Usagef("want a namespace and a group")
				}
				text, err := s.ask(ctx, io, http.MethodGet, nil, args...)
				if err != nil {
					return err
				}
				return s.write(io, text)
			},
		},
		{
			Name: "set", Args: "NAMESPACE FILE...", Summary: "store the rule groups of files in a running store",
			Help:  "A file holds groups, or one group alone. Groups of the same name are replaced, others are left alone. Nothing is stored if a file is bad.\n\n" + remoteHelp,
			Flags: s.register,
			Run: func(ctx context.Context, io *command.IO, args []string) error {
				if len(args) < 2 {
					return command.Usagef("want a namespace and files")
				}
				var groups []rules.Group
				for _, file := range args[1:] {
					g, err := groupsOf(file)
					if err != nil {
						return fmt.Errorf("%s: %w", file, err)
					}
					groups = append(groups, g...)
				}
				for _, g := range groups {
					text, err := rules.Marshal(g)
					if err != nil {
						return err
					}
					if _, err := s.ask(ctx, io, http.MethodPost, text, args[0]); err != nil {
						return fmt.Errorf("group %s: %w", g.Name, err)
					}
					io.Notef("stored %s/%s", args[0], g.Name)
				}
				return nil
			},
		},
		{
			Name: "delete", Args: "NAMESPACE [GROUP]", Summary: "remove a rule group, or all of a namespace, from a running store", Help: remoteHelp, Flags: s.register,
			Run: func(ctx context.Context, io *command.IO, args []string) error {
				if len(args) != 1 && len(args) != 2 {
					return command.Usagef("want a namespace and perhaps a group")
				}
				if _, err := s.ask(ctx, io, http.MethodDelete, nil, args...); err != nil {
					return err
				}
				io.Notef("removed %s", strings.Join(args, "/"))
				return nil
			},
		},
	}
}

// groupsOf reads a file of groups, or of one group alone.
func groupsOf(file string) ([]rules.Group, error) {
	text, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		return nil, err
	}
	if g, err := rules.DecodeGroup(text); err == nil && g.Name != "" {
		if errs := g.Validate(); len(errs) > 0 {
			return nil, errs[0]
		}
		return []rules.Group{g}, nil
	}
	f, errs := rules.ParseFile(text)
	if len(errs) > 0 {
		return nil, errs[0]
	}
	if len(f.Groups) == 0 {
		return nil, fmt.Errorf("no rule groups")
	}
	return f.Groups, nil
}
