package ruletool

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"logstore/pkg/command"
	"logstore/pkg/rules"
)

// store is a running store, as the flags name it.
type store struct {
	url, tenant string
	json        bool
}

func (s *store) flags(set *flag.FlagSet) {
	def := os.Getenv("LOGSTORE_URL")
	if def == "" {
		def = "http://localhost:3100"
	}
	set.StringVar(&s.url, "url", def, "`ADDRESS` of the store; $LOGSTORE_URL")
	set.StringVar(&s.tenant, "tenant", os.Getenv("LOGSTORE_TENANT"), "`TENANT` of the rules, where the store has several; $LOGSTORE_TENANT")
	set.BoolVar(&s.json, "json", false, "write JSON")
}

// ask sends a request and returns the answer's body; a refusal is an error with its text.
func (s *store) ask(ctx context.Context, method string, body []byte, parts ...string) ([]byte, error) {
	path := strings.TrimSuffix(s.url, "/") + "/loki/api/v1/rules"
	for _, p := range parts {
		path += "/" + url.PathEscape(p)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, path, bytes.NewReader(body))
	if err != nil {
		return nil, command.Usagef("-url: %w", err)
	}
	req.Header.Set("Content-Type", "application/yaml")
	if s.tenant != "" {
		req.Header.Set("X-Scope-OrgID", s.tenant)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 != 2 {
		return nil, fmt.Errorf("%s: %s", resp.Status, strings.TrimSpace(string(text)))
	}
	return text, nil
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

const remoteHelp = "The store's address comes from -url or $LOGSTORE_URL, the tenant from -tenant or $LOGSTORE_TENANT."

// remoteCommands are those that talk to a running store.
func remoteCommands() []*command.Command {
	s := &store{}
	return []*command.Command{
		{
			Name: "list", Args: "[NAMESPACE]", Summary: "show the rule groups of a running store", Help: remoteHelp, Flags: s.flags,
			Run: func(ctx context.Context, io *command.IO, args []string) error {
				if len(args) > 1 {
					return command.Usagef("one namespace at most")
				}
				text, err := s.ask(ctx, http.MethodGet, nil, args...)
				if err != nil {
					return err
				}
				return s.write(io, text)
			},
		},
		{
			Name: "get", Args: "NAMESPACE GROUP", Summary: "show one rule group of a running store", Help: remoteHelp, Flags: s.flags,
			Run: func(ctx context.Context, io *command.IO, args []string) error {
				if len(args) != 2 {
					return command.Usagef("want a namespace and a group")
				}
				text, err := s.ask(ctx, http.MethodGet, nil, args...)
				if err != nil {
					return err
				}
				return s.write(io, text)
			},
		},
		{
			Name: "set", Args: "NAMESPACE FILE...", Summary: "store the rule groups of files in a running store",
			Help:  "A file holds groups, or one group alone. Groups of the same name are replaced, others are left alone. Nothing is stored if a file is bad.\n\n" + remoteHelp,
			Flags: s.flags,
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
					if _, err := s.ask(ctx, http.MethodPost, text, args[0]); err != nil {
						return fmt.Errorf("group %s: %w", g.Name, err)
					}
					io.Notef("stored %s/%s", args[0], g.Name)
				}
				return nil
			},
		},
		{
			Name: "delete", Args: "NAMESPACE [GROUP]", Summary: "remove a rule group, or all of a namespace, from a running store", Help: remoteHelp, Flags: s.flags,
			Run: func(ctx context.Context, io *command.IO, args []string) error {
				if len(args) != 1 && len(args) != 2 {
					return command.Usagef("want a namespace and perhaps a group")
				}
				if _, err := s.ask(ctx, http.MethodDelete, nil, args...); err != nil {
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
