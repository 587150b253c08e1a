package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"logstore/pkg/limits"
)

// Index stores of a period.
const (
	StoreBoltDBShipper = "boltdb-shipper"
	StoreTSDB          = "tsdb"
)

const (
	indexPathPrefix = "index/"
	indexPrefix     = "index_"
	day             = 24 * time.Hour
)

// Schema is the block `schema_config`: how data of which days is laid out in the bucket.
type Schema struct {
	Configs []Period `loki:"configs"`
}

// Period is the layout from one UTC day until the next period's.
type Period struct {
	From        time.Time    `loki:"from,date"`
	Store       string       `loki:"store"` // boltdb-shipper, tsdb
	ObjectStore string       `loki:"object_store"`
	Schema      string       `loki:"schema" allow:"v9|v10|v11|v12|v13"`
	RowShards   int          `loki:"row_shards"`
	Index       PeriodTables `loki:"index"`
	// Chunks is part of old files; with a shipper it means nothing.
	Chunks PeriodTables `loki:"chunks"`
}

// PeriodTables are the tables of a period.
type PeriodTables struct {
	PathPrefix string            `loki:"path_prefix"`
	Prefix     string            `loki:"prefix"`
	Period     time.Duration     `loki:"period"`
	Tags       map[string]string `loki:"tags"`
}

func defaultPeriod() Period {
	return Period{RowShards: 16, Index: PeriodTables{PathPrefix: indexPathPrefix}}
}

// defaultSchema is used when no file says otherwise: structured metadata need v13.
func defaultSchema() Schema {
	p := defaultPeriod()
	p.From = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	p.Store = StoreBoltDBShipper
	p.ObjectStore = "filesystem"
	p.Schema = "v13"
	p.Index.Prefix = indexPrefix
	p.Index.Period = day
	return Schema{Configs: []Period{p}}
}

// At returns the period that holds at an instant, or nil if the instant lies before the first.
func (s Schema) At(t time.Time) *Period {
	for i := len(s.Configs) - 1; i >= 0; i-- {
		if !s.Configs[i].From.After(t) {
			return &s.Configs[i]
		}
	}
	return nil
}

// Has reports whether a period has an index store.
func (s Schema) Has(store string) bool {
	return slices.ContainsFunc(s.Configs, func(p Period) bool { return p.Store == store })
}

// ReadOnly is a span of days that can be read and not written.
type ReadOnly struct {
	// From is the first instant; Until is the first one behind, the zero time if no other period follows.
	From, Until time.Time
	// Why says so, and what to do about it.
	Why string
}

// Contains reports whether an instant is in the span.
func (r ReadOnly) Contains(t time.Time) bool {
	return !t.Before(r.From) && (r.Until.IsZero() || t.Before(r.Until))
}

// ReadOnly returns the periods that are only read. now is the time of the advice.
func (s Schema) ReadOnly(now time.Time) []ReadOnly {
	var out []ReadOnly
	for i, p := range s.Configs {
		if p.Store != StoreTSDB {
			continue
		}
		r := ReadOnly{From: p.From, Why: fmt.Sprintf("the schema period from %s has store tsdb, which is read here and not written", p.From.Format(time.DateOnly))}
		if i+1 < len(s.Configs) {
			r.Until = s.Configs[i+1].From
		}
		if r.Until.IsZero() || r.Until.After(now) {
			r.Why += ": " + p.advice(now)
		}
		out = append(out, r)
	}
	return out
}

// advice says how to go on from a period that is only read.
func (p Period) advice(now time.Time) string {
	next := p
	next.From = now.UTC().Truncate(day).Add(day)
	if p.From.After(now) {
		next.From = p.From
	}
	return fmt.Sprintf("pushes of its days are refused. To take them, let a period with store %s follow in schema_config.configs, such as "+
		"{from: %s, store: %s, object_store: %s, schema: %s, index: {prefix: %s, period: 24h}}, and keep the Loki that writes the bucket until that day begins (UTC)",
		StoreBoltDBShipper, next.From.Format(time.DateOnly), StoreBoltDBShipper, p.ObjectStore, p.Schema, p.Index.Prefix)
}

// validate reports what would put data where nobody finds it.
func (s Schema) validate(c *Config, add addError) {
	if len(s.Configs) == 0 {
		add("schema_config.configs", "at least one period is needed, such as {from: 2024-01-01, store: boltdb-shipper, "+
			"object_store: filesystem, schema: v13, index: {prefix: index_, period: 24h}}")
	}
	for i, p := range s.Configs {
		path := fmt.Sprintf("schema_config.configs[%d]", i)
		p.validate(path, c, add)
		if i == 0 || p.From.IsZero() {
			continue
		}
		if prev := s.Configs[i-1]; !p.From.After(prev.From) {
			add(path+".from", "%s is not after %s of the period before; periods stand in the order of their days",
				p.From.Format(time.DateOnly), prev.From.Format(time.DateOnly))
		}
	}
}

func (p Period) validate(path string, c *Config, add addError) {
	for _, missing := range []struct {
		key string
		is  bool
	}{{".from", p.From.IsZero()}, {".store", p.Store == ""}, {".object_store", p.ObjectStore == ""}, {".schema", p.Schema == ""}} {
		if missing.is {
			add(path+missing.key, "it is missing")
		}
	}
	if p.Store != "" && p.Store != StoreBoltDBShipper && p.Store != StoreTSDB {
		add(path+".store", "the index store %q is not supported, only %s, and %s for reading: "+
			"copy the data with a Loki that knows the store, or start a new bucket", p.Store, StoreBoltDBShipper, StoreTSDB)
	}
	if p.Index.Period != day && (p.Store == StoreBoltDBShipper || p.Store == StoreTSDB) {
		add(path+".index.period", "%s needs 24h, not %s", p.Store, limits.FormatDuration(p.Index.Period))
	}
	if p.ObjectStore != "" {
		if _, err := c.ObjectStore(p.ObjectStore); err != nil {
			add(path+".object_store", "%s", err)
		}
	}
	if p.RowShards < 0 || p.RowShards == 0 && p.Schema != "v9" && p.Schema != "" {
		add(path+".row_shards", "%d is not allowed, %s needs at least 1", p.RowShards, p.Schema)
	}
	if strings.Contains(p.Index.Prefix, "/") {
		add(path+".index.prefix", "%q holds a slash; path_prefix is for folders", p.Index.Prefix)
	}
}

// stores returns the names of the object stores that periods use, each once.
func (s Schema) stores() []string {
	var names []string
	for _, p := range s.Configs {
		if !slices.Contains(names, p.ObjectStore) {
			names = append(names, p.ObjectStore)
		}
	}
	return names
}
