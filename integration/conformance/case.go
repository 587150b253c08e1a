package conformance

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"
)

// Case is one recorded request and its answer.
type Case struct {
	ID       string            `json:"id"`
	Group    string            `json:"group"`
	Tenant   *string           `json:"tenant"`
	Method   string            `json:"method"`
	Path     string            `json:"path"`
	Params   [][2]any          `json:"params"`
	Headers  map[string]string `json:"headers"`
	Body     json.RawMessage   `json:"body"`
	BodyB64  string            `json:"body_b64"`
	Compare  string            `json:"compare"`
	Ignore   []string          `json:"ignore"`
	Ordered  bool              `json:"ordered"`
	Tol      float64           `json:"tol"`
	Serial   bool              `json:"serial"`
	Pause    float64           `json:"pause"`
	Contains []string          `json:"contains"`
	OrStatus []int             `json:"or_status"`
	Note     string            `json:"note"`
	// Quirk is true, or says why, where the reference's answer looks like a defect of its own.
	Quirk  any `json:"quirk"`
	Expect struct {
		Status  int               `json:"status"`
		Body    any               `json:"body"`
		Headers map[string]string `json:"headers"`
	} `json:"expect"`
}

// Query returns the parameter named query, or the path.
func (c *Case) Query() string {
	for _, p := range c.Params {
		if p[0] == "query" {
			return fmt.Sprint(p[1])
		}
	}
	return c.Path
}

// Values returns the parameters as a query string holds them.
func (c *Case) Values() url.Values {
	v := url.Values{}
	for _, p := range c.Params {
		v.Add(text(p[0]), text(p[1]))
	}
	return v
}

// text writes a parameter as Python's str does, since that is how the recorder sent it.
func text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		if v {
			return "True"
		}
		return "False"
	case nil:
		return "None"
	}
	return fmt.Sprint(v)
}

// Read returns the cases of one file in order.
func Read(path string) ([]Case, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var cases []Case
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 64<<20)
	for n := 1; sc.Scan(); n++ {
		line := bytes.TrimSpace(sc.Bytes())
		if len(line) == 0 || bytes.HasPrefix(line, []byte("//")) {
			continue
		}
		dec := json.NewDecoder(bytes.NewReader(line))
		dec.UseNumber()
		var c Case
		if err := dec.Decode(&c); err != nil {
			return nil, fmt.Errorf("cannot read case %s:%d: %w", path, n, err)
		}
		cases = append(cases, c)
	}
	return cases, sc.Err()
}

// ReadDir returns the cases of all files that match the pattern, files in the order of their names.
func ReadDir(dir, pattern string) ([]Case, error) {
	names, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		return nil, err
	}
	sort.Strings(names)
	var all []Case
	for _, name := range names {
		cases, err := Read(name)
		if err != nil {
			return nil, err
		}
		all = append(all, cases...)
	}
	return all, nil
}

// Run sends the case to the store at base and returns why the answer differs, or "".
func (c *Case) Run(client *http.Client, base string) string {
	time.Sleep(time.Duration(c.Pause * float64(time.Second)))
	req, err := c.request(base)
	if err != nil {
		return err.Error()
	}
	resp, err := client.Do(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	body, err := readBody(resp)
	if err != nil {
		return err.Error()
	}
	return c.Diff(resp.StatusCode, resp.Header, body)
}

func (c *Case) request(base string) (*http.Request, error) {
	target := strings.TrimRight(base, "/") + c.Path
	if len(c.Params) > 0 {
		target += "?" + c.encodeParams()
	}
	body, err := c.body()
	if err != nil {
		return nil, err
	}
	method := c.Method
	if method == "" {
		method = http.MethodGet
	}
	var r io.Reader
	if body != nil {
		r = bytes.NewReader(body)
	}
	req, err := http.NewRequest(method, target, r)
	if err != nil {
		return nil, err
	}
	if c.Tenant != nil {
		req.Header.Set("X-Scope-OrgID", *c.Tenant)
	}
	for k, v := range c.Headers {
		req.Header.Set(k, v)
	}
	if body != nil && req.Header.Get("Content-Type") == "" && c.Headers["Content-Type"] == "" {
		if _, named := c.Headers["Content-Type"]; !named {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
	}
	req.Header.Set("Accept-Encoding", orDefault(c.Headers["Accept-Encoding"], "identity"))
	return req, nil
}

func orDefault(s, def string) string {
	if s == "" {
		return def
	}
	return s
}

// encodeParams keeps the order of the parameters, which url.Values would not.
func (c *Case) encodeParams() string {
	parts := make([]string, len(c.Params))
	for i, p := range c.Params {
		parts[i] = url.QueryEscape(text(p[0])) + "=" + url.QueryEscape(text(p[1]))
	}
	return strings.Join(parts, "&")
}

func (c *Case) body() ([]byte, error) {
	switch {
	case c.BodyB64 != "":
		return base64.StdEncoding.DecodeString(c.BodyB64)
	case len(c.Body) == 0 || string(c.Body) == "null":
		return nil, nil
	case c.Body[0] == '"':
		var s string
		err := json.Unmarshal(c.Body, &s)
		return []byte(s), err
	}
	return c.Body, nil
}

func readBody(resp *http.Response) ([]byte, error) {
	if resp.Header.Get("Content-Encoding") != "gzip" {
		return io.ReadAll(resp.Body)
	}
	zr, err := gzip.NewReader(resp.Body)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(zr)
}
