package wire

import (
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/limits"
	"logstore/pkg/model"
)

// otlpRecord is a LogRecord.
type otlpRecord struct {
	time, observed  uint64
	severity        int32
	severityText    []byte
	body            otlpValue
	attrs           []otlpAttr
	dropped, flags  uint32
	traceID, spanID []byte
}

// otlpScope is a ScopeLogs with its scope.
type otlpScope struct {
	name, version []byte
	attrs         []otlpAttr
	dropped       uint32
	records       []otlpRecord
}

// otlpResource is a ResourceLogs with its resource.
type otlpResource struct {
	attrs  []otlpAttr
	scopes []otlpScope
}

// otlpDecoder turns one resource after the other into streams.
type otlpDecoder struct {
	r     *PushRequest
	rules *limits.OTLPRules
	now   int64

	resource otlpResource
	// attrs and records are the arenas of a resource's attributes (but for nested ones) and records.
	attrs   []otlpAttr
	records []otlpRecord

	// labels are those of the resource, own those of one record.
	labels, own []labels.Label
	// base is the metadata of the resource, then also that of the scope.
	base []model.Pair
	// streamOf is the stream of each entry of the resource, byText the streams by label text, texts the other way.
	streamOf []int32
	byText   map[string]int32
	texts    []string
	// scratch receives the entries of a resource of several streams.
	counts []int
}

var otlpPool = sync.Pool{New: func() any { return &otlpDecoder{byText: map[string]int32{}} }}

// maxPooledRecords bounds the arenas that go back to the pool.
const maxPooledRecords = 1 << 16

// DecodeOTLP decodes an uncompressed OTLP logs request by the rules of a tenant. Records without any time get now, in
// nanoseconds. The request aliases b; with JSON b is changed.
func (r *PushRequest) DecodeOTLP(b []byte, isJSON bool, rules *limits.OTLPRules, now int64) error {
	d := otlpPool.Get().(*otlpDecoder)
	d.r, d.rules, d.now = r, rules, now
	var err error
	if isJSON {
		err = d.decodeJSON(b)
	} else {
		err = d.decodeProto(b)
	}
	d.r, d.rules = nil, nil
	d.clear()
	if cap(d.records) <= maxPooledRecords {
		otlpPool.Put(d)
	}
	return err
}

// clear lets go of everything that aliases a body.
func (d *otlpDecoder) clear() {
	d.begin()
	clear(d.labels[:cap(d.labels)])
	clear(d.own[:cap(d.own)])
	clear(d.base[:cap(d.base)])
	clear(d.texts[:cap(d.texts)])
	clear(d.byText)
}

// emit turns the resource into streams and entries.
func (d *otlpDecoder) emit() error {
	d.labels, d.base, d.streamOf, d.texts = d.labels[:0], d.base[:0], d.streamOf[:0], d.texts[:0]
	clear(d.byText)
	first := len(d.r.entries)
	for i := range d.resource.attrs {
		a := &d.resource.attrs[i]
		d.labels, d.base = d.place(d.rules.Resource(a.key), "", a, d.labels, d.base)
	}
	fromResource, ofResource := len(d.base), len(d.labels)
	for i := range d.resource.scopes {
		s := &d.resource.scopes[i]
		d.base, d.labels = d.base[:fromResource], d.labels[:ofResource]
		for j := range s.attrs {
			d.labels, d.base = d.place(d.rules.Scope(s.attrs[j].key), "", &s.attrs[j], d.labels, d.base)
		}
		d.base = appendPair(d.base, "scope_name", str(s.name))
		d.base = appendPair(d.base, "scope_version", str(s.version))
		d.base = d.number(d.base, "scope_dropped_attributes_count", uint64(s.dropped))
		shared := int32(-1)
		for j := range s.records {
			if err := d.record(&s.records[j], &shared); err != nil {
				return err
			}
		}
	}
	d.cut(first)
	return nil
}

// begin makes room for the next resource.
func (d *otlpDecoder) begin() {
	clear(d.resource.scopes)
	clear(d.attrs)
	clear(d.records)
	d.resource.attrs, d.resource.scopes = nil, d.resource.scopes[:0]
	d.attrs, d.records = d.attrs[:0], d.records[:0]
}

// place puts an attribute where its action says. A map becomes one pair for each leaf.
func (d *otlpDecoder) place(action limits.OTLPAction, prefix string, a *otlpAttr, set []labels.Label, meta []model.Pair) ([]labels.Label, []model.Pair) {
	if action == limits.OTLPDrop {
		return set, meta
	}
	name := d.r.cleanPath(prefix, a.key)
	if a.value.kind == otlpMap {
		for i := range a.value.attrs() {
			set, meta = d.place(action, name, &a.value.kids.attrs[i], set, meta)
		}
		return set, meta
	}
	value := str(d.r.valueText(&a.value))
	switch {
	case value == "" || name == "":
	case action == limits.OTLPIndexLabel:
		set = setLabel(set, name, value)
	default:
		meta = append(meta, model.Pair{Name: name, Value: value})
	}
	return set, meta
}

func setLabel(set []labels.Label, name, value string) []labels.Label {
	for i := range set {
		if set[i].Name == name {
			set[i].Value = value
			return set
		}
	}
	return append(set, labels.Label{Name: name, Value: value})
}

func appendPair(meta []model.Pair, name, value string) []model.Pair {
	if value == "" {
		return meta
	}
	return append(meta, model.Pair{Name: name, Value: value})
}

func (d *otlpDecoder) number(meta []model.Pair, name string, n uint64) []model.Pair {
	if n == 0 {
		return meta
	}
	from := len(d.r.text)
	d.r.text = strconv.AppendUint(d.r.text, n, 10)
	return append(meta, model.Pair{Name: name, Value: str(d.r.text[from:])})
}

// hex adds an id unless it is absent or all zero, which means absent.
func (d *otlpDecoder) hex(meta []model.Pair, name string, id []byte) []model.Pair {
	if !slices.ContainsFunc(id, func(c byte) bool { return c != 0 }) {
		return meta
	}
	from := len(d.r.text)
	d.r.text = hex.AppendEncode(d.r.text, id)
	return append(meta, model.Pair{Name: name, Value: str(d.r.text[from:])})
}

// record turns a record into an entry. shared is the stream of the scope's records that have no labels of their own, -1
// as long as there is none.
func (d *otlpDecoder) record(rec *otlpRecord, shared *int32) error {
	r := d.r
	from := len(r.meta)
	r.meta = append(r.meta, d.base...)
	d.own = d.own[:0]
	for i := range rec.attrs {
		a := &rec.attrs[i]
		d.own, r.meta = d.place(d.rules.Log(a.key), "", a, d.own, r.meta)
	}
	e := PushEntry{Timestamp: clampTime(rec.time), Line: r.valueText(&rec.body)}
	switch {
	case rec.time == 0 && rec.observed != 0:
		e.Timestamp = clampTime(rec.observed)
	case rec.time == 0:
		e.Timestamp = d.now
	case rec.observed != 0:
		r.meta = d.number(r.meta, "observed_timestamp", rec.observed)
	}
	if rec.severity > 0 {
		r.meta = d.number(r.meta, "severity_number", uint64(rec.severity))
	}
	r.meta = appendPair(r.meta, "severity_text", str(rec.severityText))
	if d.rules.SeverityTextAsLabel && len(rec.severityText) > 0 {
		d.own = setLabel(d.own, "severity_text", str(rec.severityText))
	}
	r.meta = d.number(r.meta, "dropped_attributes_count", uint64(rec.dropped))
	r.meta = d.number(r.meta, "flags", uint64(rec.flags))
	r.meta = d.hex(r.meta, "trace_id", rec.traceID)
	r.meta = d.hex(r.meta, "span_id", rec.spanID)
	e.Metadata = r.cutMeta(from)
	r.entries = append(r.entries, e)
	return d.assign(shared)
}

// clampTime keeps a time beyond what nanoseconds can say in the far future, where it will be refused.
func clampTime(v uint64) int64 { return int64(min(v, math.MaxInt64)) }

// assign finds the stream of the entry just added.
func (d *otlpDecoder) assign(shared *int32) error {
	if len(d.own) == 0 && *shared >= 0 {
		d.streamOf = append(d.streamOf, *shared)
		return nil
	}
	n := len(d.labels)
	set := d.labels
	for _, l := range d.own {
		if i := slices.IndexFunc(set[:n], func(have labels.Label) bool { return have.Name == l.Name }); i >= 0 {
			// The record's label wins, but only for this record: the resource's set stays as it is.
			set = append(slices.Delete(slices.Clone(set), i, i+1), l)
			n--
			continue
		}
		set = append(set, l)
	}
	text, err := d.r.labelText(slices.Clone(set))
	if err != nil {
		return err
	}
	stream, ok := d.byText[text]
	if !ok {
		stream = int32(len(d.texts))
		d.byText[text] = stream
		d.texts = append(d.texts, text)
	}
	if len(d.own) == 0 {
		*shared = stream
	}
	d.streamOf = append(d.streamOf, stream)
	return nil
}

// cut makes streams of the entries from first on.
func (d *otlpDecoder) cut(first int) {
	r := d.r
	if len(d.texts) < 2 {
		for _, text := range d.texts {
			r.Streams = append(r.Streams, PushStream{Labels: text, Entries: r.cutEntries(first)})
		}
		return
	}
	d.counts = append(d.counts[:0], make([]int, len(d.texts)+1)...)
	for _, s := range d.streamOf {
		d.counts[s+1]++
	}
	for i := 1; i < len(d.counts); i++ {
		d.counts[i] += d.counts[i-1]
	}
	grouped := make([]PushEntry, len(d.streamOf))
	for i, text := range d.texts {
		from, to := d.counts[i], d.counts[i+1]
		r.Streams = append(r.Streams, PushStream{Labels: text, Entries: grouped[from:to:to]})
	}
	for i, s := range d.streamOf {
		grouped[d.counts[s]] = r.entries[first+i]
		d.counts[s]++
	}
}

// ReadOTLP reads and decodes an OTLP logs request. The caller releases the request, which is nil if there is an error. A
// *SizeError means 413; any other error is the client's, 400. Errors go to the client by AppendStatus.
func ReadOTLP(body io.Reader, h Header, o Options, rules *limits.OTLPRules, now int64) (*PushRequest, error) {
	isJSON := h.ContentType == "application/json"
	if !isJSON && h.ContentType != "application/x-protobuf" {
		return nil, fmt.Errorf("content type: %s is not supported", h.ContentType)
	}
	switch strings.TrimSpace(h.ContentEncoding) {
	case "", "identity", "gzip", "zstd", "lz4":
	default:
		return nil, fmt.Errorf("unsupported content encoding %s: only gzip, lz4 and zstd are supported", h.ContentEncoding)
	}
	r := GetPushRequest()
	b, err := []byte(nil), r.read(body, h, o)
	if err == nil {
		b, err = r.inflate(h.ContentEncoding, o)
	}
	if err == nil {
		r.BodyBytes = len(b)
		err = r.DecodeOTLP(b, isJSON, rules, now)
	}
	if err != nil {
		r.Release()
		return nil, err
	}
	return r, nil
}

// AppendStatus appends a google.rpc.Status that holds a message: the body of a refusal of OTLP, as
// application/x-protobuf.
func AppendStatus(dst []byte, message string) []byte {
	const tagMessage = 2<<3 | typeBytes
	return appendBytes(dst, tagMessage, message)
}
