package conformance

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sort"
)

// Line is one line of the dataset.
type Line struct {
	Tenant string            `json:"tenant"`
	Labels map[string]string `json:"labels"`
	Ts     string            `json:"ts"`
	Line   string            `json:"line"`
	Meta   map[string]string `json:"meta"`
}

// EachLine calls fn for every line of the dataset's files, in the order of their names.
func EachLine(dir string, fn func(Line) error) error {
	names, err := filepath.Glob(filepath.Join(dir, "*.jsonl.gz"))
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return fmt.Errorf("no dataset in %s", dir)
	}
	sort.Strings(names)
	for _, name := range names {
		if err := eachLineOf(name, fn); err != nil {
			return fmt.Errorf("cannot read %s: %w", name, err)
		}
	}
	return nil
}

func eachLineOf(name string, fn func(Line) error) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	zr, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	dec := json.NewDecoder(bufio.NewReader(zr))
	for {
		var l Line
		switch err := dec.Decode(&l); err {
		case nil:
		case io.EOF:
			return nil
		default:
			return err
		}
		if err := fn(l); err != nil {
			return err
		}
	}
}

// batchLines is how many lines of a tenant go into one push.
const batchLines = 2000

// Load pushes the dataset to the store at base as gzip JSON and asks it to flush.
func Load(client *http.Client, base, dir string) (int, error) {
	pending, total := map[string][]Line{}, 0
	send := func(tenant string) error {
		err := push(client, base, tenant, pending[tenant])
		pending[tenant] = pending[tenant][:0]
		return err
	}
	err := EachLine(dir, func(l Line) error {
		pending[l.Tenant] = append(pending[l.Tenant], l)
		total++
		if len(pending[l.Tenant]) >= batchLines {
			return send(l.Tenant)
		}
		return nil
	})
	if err != nil {
		return total, err
	}
	for tenant, lines := range pending {
		if len(lines) > 0 {
			if err := send(tenant); err != nil {
				return total, err
			}
		}
	}
	return total, post(client, base+"/flush", "", nil, nil)
}

func push(client *http.Client, base, tenant string, lines []Line) error {
	type stream struct {
		Stream map[string]string `json:"stream"`
		Values [][]any           `json:"values"`
	}
	var order []*stream
	byLabels := map[string]*stream{}
	for _, l := range lines {
		k := fmt.Sprint(l.Labels) // maps print sorted by key
		s := byLabels[k]
		if s == nil {
			s = &stream{Stream: l.Labels}
			byLabels[k] = s
			order = append(order, s)
		}
		value := []any{l.Ts, l.Line}
		if len(l.Meta) > 0 {
			value = append(value, l.Meta)
		}
		s.Values = append(s.Values, value)
	}
	var body bytes.Buffer
	zw := gzip.NewWriter(&body)
	enc := json.NewEncoder(zw)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(map[string]any{"streams": order}); err != nil {
		return err
	}
	if err := zw.Close(); err != nil {
		return err
	}
	return post(client, base+"/loki/api/v1/push", tenant, body.Bytes(), map[string]string{
		"Content-Type": "application/json", "Content-Encoding": "gzip",
	})
}

func post(client *http.Client, target, tenant string, body []byte, headers map[string]string) error {
	req, err := http.NewRequest(http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if tenant != "" {
		req.Header.Set("X-Scope-OrgID", tenant)
	}
	for k, v := range headers {
		req.Header.Set(k, v)
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s: status %d: %.500q", target, resp.StatusCode, text)
	}
	return nil
}
