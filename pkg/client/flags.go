package client

import (
	"flag"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Flags are those of a command that talks to a store. They and their variables are named as those of logcli.
type Flags struct {
	cfg      Config
	headers  []string
	tls      TLSFlags
	tags     string
	noCache  bool
	compress bool
}

// Register adds the flags to a set. Defaults that come from the environment are not looked at before Config: help would show
// them.
func (f *Flags) Register(set *flag.FlagSet) {
	def := DefaultConfig()
	*f = Flags{cfg: def}
	c := &f.cfg
	set.StringVar(&c.Address, "addr", "", "`URL` of the store, http://localhost:3100 if nothing says otherwise; $LOKI_ADDR")
	set.StringVar(&c.Tenant, "org-id", "", "`TENANT` to ask for, where the store has several; $LOKI_ORG_ID")
	set.StringVar(&c.Username, "username", "", "`USER` of basic authentication; $LOKI_USERNAME")
	set.StringVar(&c.Password, "password", "", "`PASSWORD` of the user; other users of this machine can see a flag: rather $LOKI_PASSWORD")
	set.StringVar(&c.BearerToken, "bearer-token", "", "`TOKEN` to send; rather $LOKI_BEARER_TOKEN")
	set.StringVar(&c.BearerTokenFile, "bearer-token-file", "", "`FILE` that holds the token, read for each request; $LOKI_BEARER_TOKEN_FILE")
	set.StringVar(&c.AuthHeader, "auth-header", "", "`HEADER` that carries user or token, Authorization if not given; $LOKI_AUTH_HEADER")
	set.Func("header", "`NAME:VALUE` to send with each request; may be repeated", func(text string) error {
		if name, _, ok := strings.Cut(text, ":"); !ok || strings.TrimSpace(name) == "" {
			return fmt.Errorf("a header looks like Name: value")
		}
		f.headers = append(f.headers, text)
		return nil
	})
	f.tls.Register(set)
	set.StringVar(&c.ProxyURL, "proxy-url", "", "`URL` of a proxy; $LOKI_HTTP_PROXY_URL, else the environment's proxy")
	set.BoolVar(&f.compress, "compress", false, "ask for compressed answers; $LOKI_HTTP_COMPRESSION")
	set.StringVar(&f.tags, "query-tags", "", "`TAGS` of queries that the store logs, such as team=web; $LOKI_QUERY_TAGS")
	set.BoolVar(&f.noCache, "nocache", false, "let the store work anew instead of taking a result that it keeps")
	set.DurationVar(&c.Timeout, "timeout", def.Timeout, "longest wait for an answer; 0: no bound")
	set.IntVar(&c.Retries, "retries", def.Retries, "how often to try again on 429, 5xx or a failed connection; $LOKI_CLIENT_RETRIES")
	set.DurationVar(&c.MinBackoff, "min-backoff", def.MinBackoff, "first pause before trying again")
	set.DurationVar(&c.MaxBackoff, "max-backoff", def.MaxBackoff, "longest pause before trying again")
}

// Client makes a client of the flags, and of the environment where a flag was not given.
func (f *Flags) Client(lookup func(string) (string, bool), notify func(error, time.Duration)) (*Client, error) {
	cfg := f.cfg
	env := func(to *string, names ...string) {
		for _, name := range names {
			if value, ok := lookup(name); ok && *to == "" {
				*to = value
			}
		}
	}
	env(&cfg.Address, "LOKI_ADDR", "LOGSTORE_URL")
	if cfg.Address == "" {
		cfg.Address = DefaultConfig().Address
	}
	env(&cfg.Tenant, "LOKI_ORG_ID", "LOGSTORE_TENANT")
	env(&cfg.AuthHeader, "LOKI_AUTH_HEADER")
	f.credentials(&cfg, env)
	cfg.TLS = f.tls.Config(lookup)
	env(&cfg.ProxyURL, "LOKI_HTTP_PROXY_URL")
	var compress string
	env(&compress, "LOKI_HTTP_COMPRESSION")
	tags := f.tags
	env(&tags, "LOKI_QUERY_TAGS")
	if err := f.retries(&cfg, lookup); err != nil {
		return nil, err
	}
	cfg.Headers = f.header(tags, f.compress || compress == "true" || compress == "1")
	cfg.Notify = notify
	return New(cfg)
}

// credentials takes those of the environment only where none is on the command line, lest two of them contradict.
func (f *Flags) credentials(cfg *Config, env func(*string, ...string)) {
	if cfg.BearerToken != "" || cfg.BearerTokenFile != "" {
		return
	}
	if cfg.Username != "" {
		env(&cfg.Password, "LOKI_PASSWORD")
		return
	}
	env(&cfg.BearerToken, "LOKI_BEARER_TOKEN")
	env(&cfg.BearerTokenFile, "LOKI_BEARER_TOKEN_FILE")
	env(&cfg.Username, "LOKI_USERNAME")
	env(&cfg.Password, "LOKI_PASSWORD")
}

// retries reads the variable of a flag that has a default of its own.
func (f *Flags) retries(cfg *Config, lookup func(string) (string, bool)) error {
	def := DefaultConfig()
	if text, ok := lookup("LOKI_CLIENT_RETRIES"); ok && text != "" && cfg.Retries == def.Retries {
		if _, err := fmt.Sscanf(text, "%d", &cfg.Retries); err != nil {
			return fmt.Errorf("LOKI_CLIENT_RETRIES is no number")
		}
	}
	if cfg.Retries < 0 {
		return fmt.Errorf("-retries must not be negative")
	}
	return nil
}

func (f *Flags) header(tags string, compress bool) http.Header {
	h := http.Header{}
	for _, text := range f.headers {
		name, value, _ := strings.Cut(text, ":")
		h.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	if tags != "" {
		h.Set("X-Query-Tags", tags)
	}
	if f.noCache {
		h.Set("Cache-Control", "no-cache")
	}
	if !compress && h.Get("Accept-Encoding") == "" {
		h.Set("Accept-Encoding", "identity")
	}
	return h
}
