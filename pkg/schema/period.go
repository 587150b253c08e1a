package schema

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"logstore/pkg/model"
)

// MillisPerDay is the length of a day, and with it of a table.
const MillisPerDay = 24 * 60 * 60 * 1000

// The index stores that a period may name.
const (
	StoreBoltDB = "boltdb-shipper"
	StoreTSDB   = "tsdb"
)

// Filesystem is the object store whose chunk names are base64 on disk.
const Filesystem = "filesystem"

// Defaults of a period, as Loki's.
const (
	DefaultIndexPrefix = "index_"
	DefaultPathPrefix  = "index/"
	DefaultRowShards   = 16
)

// maxRowShards bounds what a lookup of one label has to look at.
const maxRowShards = 1 << 12

// ErrPeriod is wrapped by every error of Periods.Validate.
var ErrPeriod = errors.New("invalid schema period")

// Version is the number of a schema, 9 for v9.
type Version uint8

// The range of versions that are read and written.
const (
	MinVersion Version = 9
	MaxVersion Version = 13
)

// ParseVersion reads "v9" to "v13".
func ParseVersion(s string) (Version, error) {
	n, err := strconv.ParseUint(strings.TrimPrefix(s, "v"), 10, 8)
	if err != nil || !strings.HasPrefix(s, "v") || Version(n) < MinVersion || Version(n) > MaxVersion {
		return 0, fmt.Errorf("%w: schema %q is not one of v9, v10, v11, v12, v13", ErrPeriod, s)
	}
	return Version(n), nil
}

// String returns the version as the configuration writes it.
func (v Version) String() string { return "v" + strconv.Itoa(int(v)) }

// Sharded reports whether hashes of series and label rows begin with the number of a row shard.
func (v Version) Sharded() bool { return v >= 10 }

// HasLabelNames reports whether a series has a row with its label names.
func (v Version) HasLabelNames() bool { return v >= 11 }

// Layout returns the form of the object keys of chunks that begin in a period of this version.
func (v Version) Layout() Layout {
	if v >= 12 {
		return Nested
	}
	return Flat
}

// PeriodConfig says what is in force from one day until the next period begins.
type PeriodConfig struct {
	// From is the first instant, midnight UTC.
	From time.Time
	// Store is the index store: StoreBoltDB or StoreTSDB.
	Store string
	// ObjectStore names the bucket that holds chunks and index tables of the period.
	ObjectStore string
	Schema      Version
	// RowShards is the number of shards over which a label's rows are spread, from v10 on.
	RowShards uint32
	// IndexPrefix begins the name of each table; the day's number follows it.
	IndexPrefix string
	// PathPrefix stands before the table in an index object's key, with its slash.
	PathPrefix string
	// IndexPeriod is the span of one table. Only 24 hours are allowed.
	IndexPeriod time.Duration
}

// DefaultPeriod is what a period has for the fields that a configuration leaves out, and what a store without a
// configuration uses.
var DefaultPeriod = PeriodConfig{
	From:        time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC),
	Store:       StoreBoltDB,
	ObjectStore: Filesystem,
	Schema:      13,
	RowShards:   DefaultRowShards,
	IndexPrefix: DefaultIndexPrefix,
	PathPrefix:  DefaultPathPrefix,
	IndexPeriod: 24 * time.Hour,
}

// Validate reports the first thing wrong with the period.
func (p *PeriodConfig) Validate() error {
	switch {
	case p.From.UnixMilli()%MillisPerDay != 0:
		return fmt.Errorf("%w: from %s is not midnight UTC", ErrPeriod, p.From.UTC().Format(time.RFC3339))
	case p.Store != StoreBoltDB && p.Store != StoreTSDB:
		return fmt.Errorf("%w: store %q is not one of %s, %s", ErrPeriod, p.Store, StoreBoltDB, StoreTSDB)
	case p.Schema < MinVersion || p.Schema > MaxVersion:
		return fmt.Errorf("%w: schema %s is not one of v9, v10, v11, v12, v13", ErrPeriod, p.Schema)
	case p.IndexPeriod != 24*time.Hour:
		return fmt.Errorf("%w: index.period %s is not 24h, which store %s wants", ErrPeriod, p.IndexPeriod, p.Store)
	case p.Schema.Sharded() && (p.RowShards == 0 || p.RowShards > maxRowShards):
		return fmt.Errorf("%w: row_shards %d is not between 1 and %d", ErrPeriod, p.RowShards, maxRowShards)
	case strings.ContainsRune(p.IndexPrefix, '/'):
		return fmt.Errorf("%w: index.prefix %q contains a slash", ErrPeriod, p.IndexPrefix)
	case p.PathPrefix != "" && !strings.HasSuffix(p.PathPrefix, "/"):
		return fmt.Errorf("%w: index.path_prefix %q does not end with a slash", ErrPeriod, p.PathPrefix)
	case strings.HasPrefix(p.PathPrefix, "/"):
		return fmt.Errorf("%w: index.path_prefix %q begins with a slash", ErrPeriod, p.PathPrefix)
	}
	return nil
}

// Table returns the name of the table of a day.
func (p *PeriodConfig) Table(day int64) string {
	return p.IndexPrefix + strconv.FormatInt(day, 10)
}

// ParseTable returns the day of a table of this period's prefix.
func (p *PeriodConfig) ParseTable(name string) (day int64, ok bool) {
	digits, ok := strings.CutPrefix(name, p.IndexPrefix)
	if !ok || digits == "" || digits[0] == '+' {
		return 0, false
	}
	day, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || p.Table(day) != name {
		return 0, false
	}
	return day, true
}

// TableKey returns what the keys of all index objects of a table begin with.
func (p *PeriodConfig) TableKey(table string) string { return p.PathPrefix + table + "/" }

// Periods are all periods of a store, oldest first.
type Periods []PeriodConfig

// Validate reports the first thing wrong with any period or with their order.
func (ps Periods) Validate() error {
	if len(ps) == 0 {
		return fmt.Errorf("%w: schema_config has no period", ErrPeriod)
	}
	for i := range ps {
		if err := ps[i].Validate(); err != nil {
			return fmt.Errorf("schema_config.configs[%d]: %w", i, err)
		}
		if i > 0 && !ps[i-1].From.Before(ps[i].From) {
			return fmt.Errorf("schema_config.configs[%d]: %w: from %s is not after the period before it", i, ErrPeriod,
				ps[i].From.UTC().Format(time.DateOnly))
		}
	}
	return nil
}

// At returns the number of the period that holds an instant. Whatever lies before the first period is held by it.
func (ps Periods) At(ms int64) int {
	for i := len(ps) - 1; i > 0; i-- {
		if ps[i].From.UnixMilli() <= ms {
			return i
		}
	}
	return 0
}

// Bounds returns the first and the last millisecond of a period.
func (ps Periods) Bounds(i int) (from, through int64) {
	from, through = math.MinInt64, math.MaxInt64
	if i > 0 {
		from = ps[i].From.UnixMilli()
	}
	if i+1 < len(ps) {
		through = ps[i+1].From.UnixMilli() - 1
	}
	return from, through
}

// LayoutOf returns the form of the key of a chunk that begins at an instant.
func (ps Periods) LayoutOf(from int64) Layout { return ps[ps.At(from)].Schema.Layout() }

// FindTable returns the period and the day of a table's name.
func (ps Periods) FindTable(name string) (period int, day int64, ok bool) {
	for i := range ps {
		day, ok := ps[i].ParseTable(name)
		if ok && ps.At(day*MillisPerDay) == i {
			return i, day, true
		}
	}
	return 0, 0, false
}

// Span is a day of a period that a span of time touches.
type Span struct {
	// Period is the number of the period.
	Period int
	// Day counts days since 1970.
	Day int64
	// From and Through are the time within the day and the period, both inclusive.
	From, Through int64
	// End is the end of the time within the period as an offset in the day, at most MillisPerDay: what a chunk row says.
	End int64
}

// Spans returns the days that a span of time touches, both ends inclusive, oldest first. A chunk is indexed in each of them.
func (ps Periods) Spans(from, through int64) []Span {
	var out []Span
	for i := ps.At(from); i < len(ps); i++ {
		first, last := ps.Bounds(i)
		if first > through {
			break
		}
		lo, hi := max(from, first), min(through, last)
		for d := Day(lo); d <= Day(hi); d++ {
			out = append(out, Span{
				Period: i, Day: d,
				From: max(lo, d*MillisPerDay), Through: min(hi, (d+1)*MillisPerDay-1),
				End: min(hi-d*MillisPerDay, MillisPerDay),
			})
		}
	}
	return out
}

// SpansOf returns the days of the instants of an interval.
func (ps Periods) SpansOf(i model.Interval) []Span {
	if i.Empty() {
		return nil
	}
	return ps.Spans(floorDiv(i.Start, int64(time.Millisecond)), floorDiv(i.End-1, int64(time.Millisecond)))
}

// Day returns the number of the day that holds an instant.
func Day(ms int64) int64 { return floorDiv(ms, MillisPerDay) }

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
