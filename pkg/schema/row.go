package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/prometheus/prometheus/model/labels"
)

// metricName is the name that every stream has in the index.
const metricName = "logs"

// ErrRow is wrapped by every error of parsing a row.
var ErrRow = errors.New("invalid index row")

// Kind is the type character at the end of a row's range. On disk: never renumber.
type Kind byte

// The kinds of rows.
const (
	KindChunk      Kind = '3'
	KindSeries     Kind = '7'
	KindLabel      Kind = '8'
	KindLabelNames Kind = '9'
)

// Row is a row as it stands in a table file: the key is the hash, a zero byte and the range.
type Row struct {
	Key, Value []byte
}

// arenaSize is the size of the pieces from which a RowBuffer takes its keys. Rows are a hundred bytes and come by the
// million, so that each must not be an allocation.
const arenaSize = 256 << 10

// RowBuffer collects rows. Its zero value is ready. The rows stay valid until Reset.
type RowBuffer struct {
	Rows []Row

	arena  []byte
	values map[string]SeriesID
}

// Reset forgets the rows and keeps the memory of the last arena.
func (b *RowBuffer) Reset() {
	clear(b.Rows)
	b.Rows = b.Rows[:0]
	b.arena = b.arena[:0]
}

// room returns the arena with n bytes free behind its end.
func (b *RowBuffer) room(n int) []byte {
	if cap(b.arena)-len(b.arena) < n {
		b.arena = make([]byte, 0, max(arenaSize, n))
	}
	return b.arena
}

// seal takes what was appended to the arena behind start as a key.
func (b *RowBuffer) seal(arena []byte, start int, value []byte) {
	b.arena = arena
	b.Rows = append(b.Rows, Row{Key: arena[start:len(arena):len(arena)], Value: value})
}

// copyOf returns a copy of s in the arena.
func (b *RowBuffer) copyOf(s string) []byte {
	a := b.room(len(s))
	start := len(a)
	b.arena = append(a, s...)
	return b.arena[start:len(b.arena):len(b.arena)]
}

// valueHash returns the hash of a label's value. Values repeat over the streams of a batch, so that hashes are kept.
func (b *RowBuffer) valueHash(value string) SeriesID {
	if h, ok := b.values[value]; ok {
		return h
	}
	h := hashText([]byte(value))
	if b.values == nil || len(b.values) >= 1<<16 {
		b.values = make(map[string]SeriesID)
	}
	b.values[value] = h
	return h
}

var valueDash = []byte("-")

// AppendSeries appends the rows that a stream has in the table of a day: its series row, its label rows and, from v11 on,
// its label names. They are the same for each of its chunks.
func (p *PeriodConfig) AppendSeries(b *RowBuffer, tenant string, day int64, id SeriesID, lbls labels.Labels) {
	var prefixBuf [192]byte
	prefix := p.appendSeriesHash(prefixBuf[:0], tenant, day, id)

	a := b.room(len(prefix) + seriesIDLen + 6)
	start := len(a)
	a = append(a, prefix...)
	a = append(a, 0)
	a = append(a, id[:]...)
	a = append(a, 0, 0, 0, byte(KindSeries), 0)
	b.seal(a, start, valueDash)

	lbls.Range(func(l labels.Label) {
		if l.Name == metricLabel {
			return
		}
		hash := b.valueHash(l.Value)
		value := b.copyOf(l.Value)
		a := b.room(len(prefix) + len(l.Name) + 2*seriesIDLen + 8)
		start := len(a)
		a = append(a, prefix...)
		a = append(a, ':')
		a = append(a, l.Name...)
		a = append(a, 0)
		a = append(a, hash[:]...)
		a = append(a, 0)
		a = append(a, id[:]...)
		a = append(a, 0, 0, byte(KindLabel), 0)
		b.seal(a, start, value)
	})
	if p.Schema.HasLabelNames() {
		b.appendLabelNames(id, lbls)
	}
}

func (b *RowBuffer) appendLabelNames(id SeriesID, lbls labels.Labels) {
	n := 2
	lbls.Range(func(l labels.Label) { n += len(l.Name) + 3 })
	names := b.room(n)
	begin := len(names)
	names = append(names, '[')
	lbls.Range(func(l labels.Label) {
		if l.Name == metricLabel {
			return
		}
		if len(names) > begin+1 {
			names = append(names, ',')
		}
		names = appendJSONString(names, l.Name)
	})
	names = append(names, ']')
	value := names[begin:len(names):len(names)]
	b.arena = names

	a := b.room(seriesIDLen + 6)
	start := len(a)
	a = append(a, id[:]...)
	a = append(a, 0, 0, 0, 0, byte(KindLabelNames), 0)
	b.seal(a, start, value)
}

// appendJSONString leaves the usual label names to the short way.
func appendJSONString(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c >= 0x7f || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			quoted, err := json.Marshal(s)
			if err != nil {
				panic(fmt.Sprintf("BUG: a string has no JSON: %v", err))
			}
			return append(dst, quoted...)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

// AppendChunk appends the row that a chunk has in the table of a span's day.
func (p *PeriodConfig) AppendChunk(b *RowBuffer, span Span, id SeriesID, c ChunkName) {
	a := b.room(2*len(c.Tenant) + 192)
	start := len(a)
	a = appendChunkHash(a, c.Tenant, span.Day, id)
	a = append(a, 0)
	a = appendHex8(a, uint32(span.End))
	a = append(a, 0, 0)
	a = AppendChunkKey(a, c.ChunkRef, c.Layout)
	a = append(a, 0, byte(KindChunk), 0)
	value := valueDash
	if !p.Schema.Sharded() {
		value = nil
	}
	b.seal(a, start, value)
}

// appendSeriesHash appends "[SS:]tenant:dDAY:logs".
func (p *PeriodConfig) appendSeriesHash(dst []byte, tenant string, day int64, id SeriesID) []byte {
	if p.Schema.Sharded() {
		dst = appendShard(dst, id.Shard(p.RowShards))
	}
	return appendMetricHash(dst, tenant, day)
}

func appendShard(dst []byte, shard uint32) []byte {
	if shard < 10 {
		dst = append(dst, '0')
	}
	return append(strconv.AppendUint(dst, uint64(shard), 10), ':')
}

func appendTenantDay(dst []byte, tenant string, day int64) []byte {
	dst = append(dst, tenant...)
	dst = append(dst, ':', 'd')
	return strconv.AppendInt(dst, day, 10)
}

func appendMetricHash(dst []byte, tenant string, day int64) []byte {
	return append(appendTenantDay(dst, tenant, day), ":"+metricName...)
}

// appendChunkHash appends "tenant:dDAY:sid".
func appendChunkHash(dst []byte, tenant string, day int64, id SeriesID) []byte {
	dst = append(appendTenantDay(dst, tenant, day), ':')
	return append(dst, id[:]...)
}

func appendHex8(dst []byte, n uint32) []byte {
	const digits = "0123456789abcdef"
	for shift := 28; shift >= 0; shift -= 4 {
		dst = append(dst, digits[n>>shift&15])
	}
	return dst
}

// SeriesPrefixes returns what the keys of all series and label rows of a tenant in the table of a day begin with: one prefix
// for each row shard, ascending. A zero byte follows for a series row, a colon and the label's name for a label row.
func (p *PeriodConfig) SeriesPrefixes(tenant string, day int64) [][]byte {
	if !p.Schema.Sharded() {
		return [][]byte{appendMetricHash(nil, tenant, day)}
	}
	out := make([][]byte, 0, p.RowShards)
	for shard := range p.RowShards {
		out = append(out, appendMetricHash(appendShard(nil, shard), tenant, day))
	}
	return out
}

// AppendChunkPrefix appends what the keys of the chunk rows of a series begin with, up to and with the zero byte.
func AppendChunkPrefix(dst []byte, tenant string, day int64, id SeriesID) []byte {
	return append(appendChunkHash(dst, tenant, day, id), 0)
}

// AppendChunkSeek appends, behind AppendChunkPrefix, where the rows of chunks begin that end at or after an instant.
func AppendChunkSeek(dst []byte, day, from int64) []byte {
	offset := min(max(0, from-day*MillisPerDay), MillisPerDay)
	return appendHex8(dst, uint32(offset))
}

// ParsedRow is a row taken apart. Slices are parts of the row.
type ParsedRow struct {
	Kind Kind
	// Tenant and Day are empty for label names, which all tenants share.
	Tenant []byte
	Day    int64
	Series SeriesID
	// Label and Value are a label row's name and value; Value is the JSON array of a label names row.
	Label, Value []byte
	// Chunk and End are a chunk row's object key and the end of the chunk within the day.
	Chunk []byte
	End   uint32
}

// ParseRow takes a row of a period apart. Rows of another kind are an error.
func (p *PeriodConfig) ParseRow(key, value []byte) (ParsedRow, error) {
	var r ParsedRow
	if err := p.parse(&r, key, value); err != nil {
		return ParsedRow{}, fmt.Errorf("%w %q: %w", ErrRow, key, err)
	}
	return r, nil
}

var (
	errShape  = errors.New("no hash and range")
	errKind   = errors.New("unknown kind")
	errHash   = errors.New("unexpected hash")
	errSeries = errors.New("unexpected series id")
	errRange  = errors.New("unexpected range")
)

func (p *PeriodConfig) parse(r *ParsedRow, key, value []byte) error {
	hash, rng, ok := bytes.Cut(key, []byte{0})
	if !ok || len(rng) < 2 || rng[len(rng)-1] != 0 {
		return errShape
	}
	r.Kind = Kind(rng[len(rng)-2])
	// The range is three components and the kind, each closed by a zero byte.
	parts := bytes.SplitN(rng[:len(rng)-2], []byte{0}, 5)
	if len(parts) != 4 || len(parts[3]) != 0 {
		return errRange
	}
	switch r.Kind {
	case KindSeries:
		return p.parseSeries(r, hash, parts)
	case KindLabel:
		r.Value = value
		return p.parseLabel(r, hash, parts)
	case KindLabelNames:
		r.Value = value
		if r.Series, ok = ParseSeriesID(hash); !ok {
			return errSeries
		}
		return nil
	case KindChunk:
		return r.parseChunk(hash, parts)
	}
	return errKind
}

func (p *PeriodConfig) parseSeries(r *ParsedRow, hash []byte, parts [][]byte) error {
	rest, err := p.parseSeriesHash(r, hash)
	if err != nil {
		return err
	}
	if len(rest) != 0 {
		return errHash
	}
	var ok bool
	if r.Series, ok = ParseSeriesID(parts[0]); !ok {
		return errSeries
	}
	return nil
}

func (p *PeriodConfig) parseLabel(r *ParsedRow, hash []byte, parts [][]byte) error {
	rest, err := p.parseSeriesHash(r, hash)
	if err != nil {
		return err
	}
	if len(rest) < 2 || rest[0] != ':' {
		return errHash
	}
	r.Label = rest[1:]
	var ok bool
	if r.Series, ok = ParseSeriesID(parts[1]); !ok {
		return errSeries
	}
	return nil
}

// parseSeriesHash reads "[SS:]tenant:dDAY:logs" and returns what follows.
func (p *PeriodConfig) parseSeriesHash(r *ParsedRow, hash []byte) ([]byte, error) {
	if p.Schema.Sharded() {
		_, rest, ok := bytes.Cut(hash, []byte{':'})
		if !ok {
			return nil, errHash
		}
		hash = rest
	}
	rest, err := parseTenantDay(r, hash)
	if err != nil {
		return nil, err
	}
	rest, ok := bytes.CutPrefix(rest, []byte(metricName))
	if !ok {
		return nil, errHash
	}
	return rest, nil
}

func parseTenantDay(r *ParsedRow, hash []byte) ([]byte, error) {
	tenant, rest, ok := bytes.Cut(hash, []byte{':'})
	if !ok || len(tenant) == 0 {
		return nil, errHash
	}
	day, rest, ok := bytes.Cut(rest, []byte{':'})
	if !ok || len(day) < 2 || day[0] != 'd' {
		return nil, errHash
	}
	n, err := strconv.ParseInt(string(day[1:]), 10, 64)
	if err != nil {
		return nil, errHash
	}
	r.Tenant, r.Day = tenant, n
	return rest, nil
}

func (r *ParsedRow) parseChunk(hash []byte, parts [][]byte) error {
	rest, err := parseTenantDay(r, hash)
	if err != nil {
		return err
	}
	var ok bool
	if r.Series, ok = ParseSeriesID(rest); !ok {
		return errSeries
	}
	if len(parts[0]) != 8 {
		return errRange
	}
	end, err := strconv.ParseUint(string(parts[0]), 16, 32)
	if err != nil {
		return errRange
	}
	r.End, r.Chunk = uint32(end), parts[2]
	return nil
}

// ChunkKeyOfRange returns the object key in the range of a chunk row. ok is false for a row of another kind or shape.
func ChunkKeyOfRange(rng []byte) (key []byte, ok bool) {
	const head, tail = 8 + 2, 3 // the end with two zero bytes, and a zero byte, the kind, a zero byte
	n := len(rng)
	if n <= head+tail || rng[n-1] != 0 || Kind(rng[n-2]) != KindChunk || rng[n-3] != 0 || rng[8] != 0 || rng[9] != 0 {
		return nil, false
	}
	return rng[head : n-tail], true
}
