package chunk

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/compress"
	"logstore/pkg/model"
)

const (
	// logsEncoding and oldLogsEncoding stand for the payload of package doc in an envelope; other numbers were metrics.
	logsEncoding    = 129
	oldLogsEncoding = 128
	metricLabel     = "__name__"
	metricName      = "logs"
	// maxHeader is the largest JSON header that is read.
	maxHeader = 16 << 20
)

// Open decodes a chunk object but for its blocks. The chunk points into data, which must not change any more.
// The checksum in the object's key is not looked at: see OpenRef.
func Open(data []byte) (*Chunk, error) {
	h, payload, err := readEnvelope(data)
	if err != nil {
		return nil, fmt.Errorf("cannot read chunk header: %w", err)
	}
	l, blocks, err := readPayload(payload)
	if err != nil {
		return nil, err
	}
	at := len(data) - len(payload)
	symbols := l.symbolsAt
	symbols.Offset += at
	return &Chunk{
		Labels: h.Labels, Blocks: blocks, Tenant: h.Tenant, Fingerprint: h.Fingerprint, From: h.From, Through: h.Through,
		Version: l.version, Encoding: l.enc, payloadAt: at, symbols: symbols,
	}, nil
}

// OpenRef opens a chunk object that was found under the key of ref: its checksum, tenant, fingerprint and bounds must be
// those of the key.
func OpenRef(data []byte, ref model.ChunkRef) (*Chunk, error) {
	if err := Verify(data, ref.Checksum); err != nil {
		return nil, err
	}
	c, err := Open(data)
	if err != nil {
		return nil, err
	}
	if err := c.header().Check(ref); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *Chunk) header() *Header {
	return &Header{Tenant: c.Tenant, Fingerprint: c.Fingerprint, From: c.From, Through: c.Through, Labels: c.Labels}
}

// OpenHeader decodes the envelope of a chunk object only. Data may be cut off behind it.
func OpenHeader(data []byte) (Header, error) {
	h, _, _, err := readHeader(data)
	if err != nil {
		return h, fmt.Errorf("cannot read chunk header: %w", err)
	}
	return h, nil
}

// readEnvelope splits an object into its header and its payload, which must reach to the end.
func readEnvelope(data []byte) (Header, []byte, error) {
	h, rest, _, err := readHeader(data)
	if err != nil {
		return h, nil, err
	}
	if len(rest) < 4 {
		return h, nil, fmt.Errorf("%w: no payload", ErrCorrupt)
	}
	if n := binary.BigEndian.Uint32(rest); uint64(n) != uint64(len(rest)-4) {
		return h, nil, fmt.Errorf("%w: payload of %d bytes, %d are there", ErrCorrupt, n, len(rest)-4)
	}
	return h, rest[4:], nil
}

// readHeader decodes the header and returns what stands behind it. The length in front may or may not include itself.
func readHeader(data []byte) (h Header, rest []byte, end int, err error) {
	if len(data) < 4 {
		return h, nil, 0, fmt.Errorf("%w: object of %d bytes", ErrCorrupt, len(data))
	}
	n := uint64(binary.BigEndian.Uint32(data))
	if n < 4 || n > uint64(len(data)) {
		return h, nil, 0, fmt.Errorf("%w: header of %d bytes, object of %d", ErrCorrupt, n, len(data))
	}
	for _, stop := range []uint64{n, n + 4} {
		if stop > uint64(len(data)) {
			break
		}
		var text []byte
		text, err = compress.Snappy.AppendDecompress(nil, data[4:stop], 0, maxHeader)
		if err == nil {
			h, err = parseHeader(text)
			return h, data[stop:], int(stop), err
		}
	}
	return h, nil, 0, fmt.Errorf("%w: %w", ErrCorrupt, err)
}

// wireHeader is the JSON object of the envelope.
type wireHeader struct {
	Fingerprint uint64            `json:"fingerprint"`
	UserID      string            `json:"userID"`
	From        json.Number       `json:"from"`
	Through     json.Number       `json:"through"`
	Metric      map[string]string `json:"metric"`
	Encoding    int               `json:"encoding"`
}

func parseHeader(text []byte) (Header, error) {
	if h, ok := parseUsualHeader(text); ok {
		return h, nil
	}
	var w wireHeader
	if err := json.Unmarshal(text, &w); err != nil {
		return Header{}, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if w.Encoding != logsEncoding && w.Encoding != oldLogsEncoding {
		return Header{}, fmt.Errorf("%w: encoding %d is not that of logs", ErrCorrupt, w.Encoding)
	}
	h := Header{Tenant: w.UserID, Fingerprint: w.Fingerprint}
	var err error
	if h.From, err = parseSeconds(string(w.From)); err != nil {
		return h, err
	}
	if h.Through, err = parseSeconds(string(w.Through)); err != nil {
		return h, err
	}
	b := labels.NewScratchBuilder(len(w.Metric))
	for name, value := range w.Metric {
		if name != metricLabel {
			b.Add(name, value)
		}
	}
	b.Sort()
	h.Labels = b.Labels()
	return h, nil
}

// parseSeconds turns a decimal number of seconds into milliseconds.
func parseSeconds(s string) (int64, error) {
	f, err := strconv.ParseFloat(s, 64)
	if ms := math.Round(f * 1000); err == nil && ms > -1<<62 && ms < 1<<62 {
		return int64(ms), nil
	}
	return 0, fmt.Errorf("%w: %q is no time", ErrCorrupt, s)
}

// parseUsualHeader reads the header as Loki and we write it: keys in one order, no spaces, no escapes. Anything else is left to
// a general parser, which is many times slower.
func parseUsualHeader(text []byte) (Header, bool) {
	var h Header
	if !utf8.Valid(text) {
		return h, false
	}
	p := headerParser{rest: string(text), ok: true}
	p.literal(`{"fingerprint":`)
	fp, err := strconv.ParseUint(p.number(), 10, 64)
	h.Fingerprint = fp
	p.literal(`,"userID":`)
	h.Tenant = strings.Clone(p.text())
	p.literal(`,"from":`)
	h.From = p.seconds()
	p.literal(`,"through":`)
	h.Through = p.seconds()
	p.literal(`,"metric":{`)
	h.Labels = p.labels()
	p.literal(`,"encoding":`)
	n := p.number()
	p.literal("}\n")
	return h, err == nil && p.ok && p.rest == "" && (n == "129" || n == "128")
}

// headerParser takes known pieces from the front of a text; ok becomes false at the first that is not there.
type headerParser struct {
	rest string
	ok   bool
}

func (p *headerParser) literal(s string) {
	rest, ok := strings.CutPrefix(p.rest, s)
	p.rest, p.ok = rest, p.ok && ok
}

func (p *headerParser) number() string {
	i := 0
	for i < len(p.rest) && p.rest[i] >= '0' && p.rest[i] <= '9' {
		i++
	}
	s := p.rest[:i]
	p.rest = p.rest[i:]
	p.ok = p.ok && (i == 1 || i > 1 && s[0] != '0')
	return s
}

// seconds reads a time of whole seconds or of seconds with three digits, as milliseconds.
func (p *headerParser) seconds() int64 {
	s, err := strconv.ParseInt(p.number(), 10, 64)
	p.ok = p.ok && err == nil && s < 1<<52
	ms := int64(0)
	if strings.HasPrefix(p.rest, ".") {
		if len(p.rest) < 4 {
			p.ok = false
			return 0
		}
		for _, c := range []byte(p.rest[1:4]) {
			p.ok = p.ok && c >= '0' && c <= '9'
			ms = 10*ms + int64(c-'0')
		}
		p.rest = p.rest[4:]
	}
	return s*1000 + ms
}

func (p *headerParser) text() string {
	p.literal(`"`)
	for i := 0; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c == '"':
			s := p.rest[:i]
			p.rest = p.rest[i+1:]
			return s
		case c == '\\' || c < 0x20:
			p.ok = false
			return ""
		}
	}
	p.ok = false
	return ""
}

func (p *headerParser) labels() labels.Labels {
	b := labels.NewScratchBuilder(16)
	last, sorted := "", true
	for p.ok && !strings.HasPrefix(p.rest, "}") {
		if last != "" {
			p.literal(",")
		}
		name := p.text()
		p.literal(":")
		value := p.text()
		// A name that comes twice, or an empty one, is for the general parser to judge.
		p.ok = p.ok && name != last
		sorted = sorted && name > last
		last = name
		if name != metricLabel {
			b.Add(name, value)
		}
	}
	p.literal("}")
	p.ok = p.ok && sorted
	return b.Labels()
}

// appendEnvelope writes the part of the object in front of the payload's length.
func appendEnvelope(dst []byte, h *Header) ([]byte, error) {
	text, err := appendHeader(nil, h)
	if err != nil {
		return dst, err
	}
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	if dst, err = compress.Snappy.AppendCompress(dst, text); err != nil {
		return dst, err
	}
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start))
	return dst, nil
}

func appendHeader(dst []byte, h *Header) ([]byte, error) {
	dst = append(dst, `{"fingerprint":`...)
	dst = strconv.AppendUint(dst, h.Fingerprint, 10)
	dst = append(dst, `,"userID":`...)
	dst = appendString(dst, h.Tenant)
	dst = append(dst, `,"from":`...)
	dst = appendSeconds(dst, h.From)
	dst = append(dst, `,"through":`...)
	dst = appendSeconds(dst, h.Through)
	dst = append(dst, `,"metric":{`...)
	list := make([]labels.Label, 0, h.Labels.Len()+1)
	list = append(list, labels.Label{Name: metricLabel, Value: metricName})
	h.Labels.Range(func(l labels.Label) {
		if l.Name != metricLabel {
			list = append(list, l)
		}
	})
	slices.SortFunc(list, func(a, b labels.Label) int { return strings.Compare(a.Name, b.Name) })
	for i, l := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, l.Name)
		dst = append(dst, ':')
		dst = appendString(dst, l.Value)
	}
	dst = append(dst, `},"encoding":`...)
	dst = strconv.AppendInt(dst, logsEncoding, 10)
	return append(dst, "}\n"...), nil
}

func appendSeconds(dst []byte, ms int64) []byte {
	if ms < 0 {
		dst, ms = append(dst, '-'), -ms
	}
	dst = strconv.AppendInt(dst, ms/1000, 10)
	if r := ms % 1000; r != 0 {
		dst = append(dst, '.', byte('0'+r/100), byte('0'+r/10%10), byte('0'+r%10))
	}
	return dst
}

// appendString quotes s: only quotes, backslashes and controls are escaped.
func appendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == '\r':
			dst = append(dst, '\\', 'r')
		case c == '\t':
			dst = append(dst, '\\', 't')
		case c < 0x20:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}
