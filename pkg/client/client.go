package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// Config says where the store is and who asks.
type Config struct {
	// Address is a URL, with the prefix of all paths if there is one. A host and a port alone mean http.
	Address string
	// Tenant is sent as X-Scope-OrgID if it is not empty.
	Tenant string
	// At most one of user, token and token file may be given. The file is read for each request: tokens are renewed.
	Username, Password string
	BearerToken        string
	BearerTokenFile    string
	// AuthHeader is the header that carries them; empty: Authorization.
	AuthHeader string
	// Headers are sent with every request.
	Headers http.Header
	TLS     TLSConfig
	// ProxyURL is the proxy to use; empty: that of the environment.
	ProxyURL string
	// Timeout bounds each request, one try of it; 0: no bound.
	Timeout time.Duration
	// Retries is how often a request is tried again, after pauses that grow from MinBackoff to MaxBackoff.
	Retries                int
	MinBackoff, MaxBackoff time.Duration
	// Notify is told why a request is tried again, if it is not nil.
	Notify func(reason error, pause time.Duration)
}

// DefaultConfig returns what is used where nothing else is said.
func DefaultConfig() Config {
	return Config{
		Address: "http://localhost:3100", Timeout: 6 * time.Minute, Retries: 3,
		MinBackoff: 200 * time.Millisecond, MaxBackoff: 10 * time.Second,
	}
}

// maxAnswer bounds the body of an answer.
const maxAnswer = 2 << 30

// Client sends requests to one store. It is safe for concurrent use.
type Client struct {
	cfg  Config
	base *url.URL
	http *http.Client
	// socket speaks HTTP/1.1 only, as a websocket needs.
	socket *http.Client
}

// WithScheme returns an address as a URL: one that names no scheme is of http.
func WithScheme(address string) string {
	if strings.Contains(address, "://") {
		return address
	}
	return "http://" + address
}

// New checks the configuration and reads its certificates. It sends nothing.
func New(cfg Config) (*Client, error) {
	c := &Client{cfg: cfg}
	base, err := url.Parse(WithScheme(cfg.Address))
	switch {
	case err != nil:
		return nil, errors.New("the address is no URL such as http://localhost:3100") // the text may hold a password
	case base.Scheme != "http" && base.Scheme != "https", base.Host == "":
		return nil, fmt.Errorf("the address %s is no URL such as http://localhost:3100", base.Redacted())
	}
	if base.User != nil {
		if cfg.Username != "" || cfg.BearerToken != "" || cfg.BearerTokenFile != "" {
			return nil, errors.New("the address names a user, and another one is given")
		}
		c.cfg.Username = base.User.Username()
		c.cfg.Password, _ = base.User.Password()
		base.User = nil
	}
	base.Path, base.RawQuery, base.Fragment = strings.TrimRight(base.Path, "/"), "", ""
	c.base = base
	if (c.cfg.Username != "" && (cfg.BearerToken != "" || cfg.BearerTokenFile != "")) || (cfg.BearerToken != "" && cfg.BearerTokenFile != "") {
		return nil, errors.New("only one of user, bearer token and bearer token file may be given")
	}
	return c, c.transports()
}

// Address returns the URL of the store, without credentials.
func (c *Client) Address() string { return c.base.String() }

// Tenant returns the tenant that is asked for; empty: the user's own, or that of a store with one.
func (c *Client) Tenant() string { return c.cfg.Tenant }

func (c *Client) transports() error {
	conf, err := c.cfg.TLS.Load()
	if err != nil {
		return err
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = conf
	t.MaxIdleConnsPerHost = 16
	if c.cfg.ProxyURL != "" {
		proxy, err := url.Parse(c.cfg.ProxyURL)
		if err != nil {
			return errors.New("the proxy is no URL")
		}
		t.Proxy = http.ProxyURL(proxy)
	}
	c.http = &http.Client{Transport: t}
	plain := t.Clone()
	plain.ForceAttemptHTTP2 = false
	plain.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	c.socket = &http.Client{Transport: plain}
	return nil
}

// Request is a request below the store's address.
type Request struct {
	Method string
	// Path begins with a slash; its parts are escaped where needed.
	Path  string
	Query url.Values
	Body  []byte
	// Header is added to what the configuration says.
	Header http.Header
}

// Do sends a request, again and again as configured, and returns the body of a 2xx answer. The body belongs to the caller.
func (c *Client) Do(ctx context.Context, r Request) (body []byte, header http.Header, err error) {
	for try := 0; ; try++ {
		body, header, err = c.once(ctx, r)
		if err == nil || try >= c.cfg.Retries || !temporary(err) || ctx.Err() != nil {
			return body, header, err
		}
		pause := c.pause(try, err)
		if c.cfg.Notify != nil {
			c.cfg.Notify(err, pause)
		}
		select {
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		case <-time.After(pause):
		}
	}
}

// pause returns how long to wait after a try: what the store asks for, else twice as long as before.
func (c *Client) pause(try int, err error) time.Duration {
	var refused *StatusError
	if errors.As(err, &refused) && refused.RetryAfter > 0 {
		return min(refused.RetryAfter, c.cfg.MaxBackoff)
	}
	return min(c.cfg.MinBackoff<<min(try, 16), c.cfg.MaxBackoff)
}

func (c *Client) once(ctx context.Context, r Request) ([]byte, http.Header, error) {
	if c.cfg.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.cfg.Timeout)
		defer cancel()
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, c.url(r.Path, r.Query), bytes.NewReader(r.Body))
	if err != nil {
		return nil, nil, err
	}
	if err := c.setHeaders(req.Header); err != nil {
		return nil, nil, err
	}
	for name, values := range r.Header {
		req.Header[name] = values
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, nil, c.unreachable(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, nil, c.unreachable(err)
	}
	if resp.StatusCode/100 != 2 {
		return nil, nil, newStatusError(r, resp, body)
	}
	return body, resp.Header, nil
}

func (c *Client) url(path string, query url.Values) string {
	u := c.base.String() + path
	if len(query) > 0 {
		u += "?" + query.Encode()
	}
	return u
}

// setHeaders adds the tenant and the credentials.
func (c *Client) setHeaders(h http.Header) error {
	h.Set("User-Agent", "logstore")
	if c.cfg.Tenant != "" {
		h.Set("X-Scope-OrgID", c.cfg.Tenant)
	}
	for name, values := range c.cfg.Headers {
		h[http.CanonicalHeaderKey(name)] = values
	}
	token := c.cfg.BearerToken
	if c.cfg.BearerTokenFile != "" {
		text, err := os.ReadFile(c.cfg.BearerTokenFile)
		if err != nil {
			return fmt.Errorf("cannot read the bearer token: %w", err)
		}
		token = strings.TrimSpace(string(text))
	}
	name := c.cfg.AuthHeader
	if name == "" {
		name = "Authorization"
	}
	switch {
	case token != "":
		h.Set(name, "Bearer "+token)
	case c.cfg.Username != "":
		r := http.Request{Header: http.Header{}}
		r.SetBasicAuth(c.cfg.Username, c.cfg.Password)
		h.Set(name, r.Header.Get("Authorization"))
	}
	return nil
}

// get fetches a path and decodes its JSON.
func (c *Client) get(ctx context.Context, path string, query url.Values, into any) error {
	body, _, err := c.Do(ctx, Request{Method: http.MethodGet, Path: path, Query: query})
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("cannot read the answer of %s%s, is it a log store? %w", c.Address(), path, err)
	}
	return nil
}

// retryAfter reads the header of this name, in seconds.
func retryAfter(h http.Header) time.Duration {
	seconds, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(seconds) * time.Second
}
