package deletes

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"logstore/pkg/index"
	"logstore/pkg/schema"
)

// table is what delete_requests.gz holds.
type table struct {
	// parts are by Part.Name.
	parts map[string]Part
	// generations are by tenant, in nanoseconds.
	generations map[string]int64
}

func newTable() *table { return &table{parts: map[string]Part{}, generations: map[string]int64{}} }

// clone returns a copy that may be changed.
func (t *table) clone() *table {
	c := newTable()
	for k, v := range t.parts {
		c.parts[k] = v
	}
	for k, v := range t.generations {
		c.generations[k] = v
	}
	return c
}

// touch raises a tenant's generation.
func (t *table) touch(tenant string, generation int64) {
	t.generations[tenant] = max(t.generations[tenant], generation)
}

// encode returns the object. dir takes a temporary file.
func (t *table) encode(dir string) ([]byte, error) {
	var rows []schema.Row
	for _, p := range t.parts {
		rows = append(rows, p.rows()...)
	}
	for tenant, generation := range t.generations {
		rows = append(rows, generationRow(tenant, generation))
	}
	path, err := tempPath(dir)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(filepath.Dir(path))
	if err := index.Build(path, map[string][]schema.Row{index.SharedBucket: rows}); err != nil {
		return nil, err
	}
	return index.Compress(path)
}

// decodeTable reads an object.
func decodeTable(dir string, object []byte) (*table, error) {
	path, err := tempPath(dir)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(filepath.Dir(path))
	if err := index.Unpack(path, bytes.NewReader(object), true); err != nil {
		return nil, err
	}
	f, err := index.Open(path)
	if err != nil {
		return nil, err
	}
	t := newTable()
	states := map[string]string{}
	err = f.ViewBuckets(func(_ string, c *index.Cursor) error {
		for k, v := c.First(); k != nil; k, v = c.Next() {
			if err := t.add(string(k), string(v), states); err != nil {
				return err
			}
		}
		return nil
	})
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return nil, err
	}
	for name, p := range t.parts {
		// A part without a state was cut off while it was removed.
		if p.State = states[name]; p.State == "" {
			delete(t.parts, name)
			continue
		}
		t.parts[name] = p
	}
	return t, nil
}

// add takes a row. Rows of other kinds are a newer Loki's and left out.
func (t *table) add(key, value string, states map[string]string) error {
	hash, rng, ok := strings.Cut(key, "\x00")
	if !ok {
		return fmt.Errorf("%w: row %q", ErrTable, key)
	}
	switch {
	case hash == stateHash:
		states[rng] = value
	case strings.HasPrefix(hash, detailsHash):
		p := Part{Query: value}
		var err error
		if p.Tenant, p.ID, p.Number, err = parseName(hash[len(detailsHash):]); err != nil {
			return err
		}
		if err := p.parseDetails(rng); err != nil {
			return err
		}
		t.parts[hash[len(detailsHash):]] = p
	case strings.HasPrefix(hash, generationHash):
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return fmt.Errorf("%w: generation %q of %q", ErrTable, value, hash)
		}
		t.touch(hash[len(generationHash):], n)
	}
	return nil
}

func tempPath(dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return "", err
	}
	folder, err := os.MkdirTemp(dir, "delete-requests-*")
	if err != nil {
		return "", err
	}
	return filepath.Join(folder, "table"), nil
}

// requests gathers the parts of each id, by time of creation.
func (t *table) requests() []Request {
	byID := map[string]*Request{}
	for _, p := range t.parts {
		key := p.Tenant + ":" + p.ID
		r := byID[key]
		if r == nil {
			r = &Request{Tenant: p.Tenant, ID: p.ID, Created: p.Created, Start: p.Start, End: p.End, Query: p.Query}
			byID[key] = r
		}
		r.Start, r.End = min(r.Start, p.Start), max(r.End, p.End)
		r.Parts = append(r.Parts, p)
	}
	out := make([]Request, 0, len(byID))
	for _, r := range byID {
		slices.SortFunc(r.Parts, func(a, b Part) int { return a.Number - b.Number })
		out = append(out, *r)
	}
	slices.SortFunc(out, func(a, b Request) int {
		if a.Created != b.Created {
			return int(min(max(a.Created-b.Created, -1), 1))
		}
		return strings.Compare(a.ID, b.ID)
	})
	return out
}
