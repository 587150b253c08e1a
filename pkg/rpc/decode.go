package rpc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/chunk"
	"logstore/pkg/model"
	"logstore/pkg/wire"
)

// errMessage is wrapped by errors of messages that are not as FORMAT.md says.
var errMessage = errors.New("bad message")

// decoder reads the parts of a message; after a failure everything is zero.
type decoder struct {
	b   []byte
	err error
}

// newDecoder checks the version and returns a decoder of the rest.
func newDecoder(b []byte) *decoder {
	d := &decoder{b: b}
	if v := d.byte(); d.err == nil && v != formatVersion {
		d.fail(fmt.Sprintf("version %d is not known here", v))
	}
	return d
}

func (d *decoder) fail(what string) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s", errMessage, what)
	}
	d.b = nil
}

func (d *decoder) take(n uint64) []byte {
	if n > uint64(len(d.b)) {
		d.fail("it ends early")
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) byte() byte {
	if v := d.take(1); v != nil {
		return v[0]
	}
	return 0
}

func (d *decoder) uint32() uint32 {
	if v := d.take(4); v != nil {
		return binary.LittleEndian.Uint32(v)
	}
	return 0
}

func (d *decoder) uint64() uint64 {
	if v := d.take(8); v != nil {
		return binary.LittleEndian.Uint64(v)
	}
	return 0
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail("bad number")
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail("bad number")
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) int() int {
	v := d.uvarint()
	if v > math.MaxInt32 {
		d.fail("number is too large")
		return 0
	}
	return int(v)
}

func (d *decoder) bytes() []byte { return d.take(d.uvarint()) }

// str returns a string of its own.
func (d *decoder) str() string { return string(d.bytes()) }

// count returns the number of things that follow and take a byte each at least.
func (d *decoder) count() int {
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.fail("it names more than it has")
		return 0
	}
	return int(n)
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendLabels(b []byte, lbls labels.Labels) []byte {
	b = binary.AppendUvarint(b, uint64(lbls.Len()))
	lbls.Range(func(l labels.Label) {
		b = appendString(b, l.Name)
		b = appendString(b, l.Value)
	})
	return b
}

func (d *decoder) labels() labels.Labels {
	n := d.count()
	b := labels.NewScratchBuilder(n)
	last := ""
	for i := range n {
		name, value := d.str(), d.str()
		if i > 0 && name <= last && d.err == nil {
			d.fail("labels do not ascend")
		}
		if d.err != nil {
			return labels.EmptyLabels()
		}
		b.Add(name, value)
		last = name
	}
	return b.Labels()
}

// pushDecoder is the memory of one push.
type pushDecoder struct {
	streams []wire.Stream
	entries []wire.PushEntry
	runs    []wire.Run
	pairs   []model.Pair
}

var pushDecoders = sync.Pool{New: func() any { return new(pushDecoder) }}

// maxPooledEntries bounds the arenas that go back to the pool.
const maxPooledEntries = 1 << 16

func (p *pushDecoder) release() {
	if cap(p.entries)+cap(p.pairs) > maxPooledEntries {
		return
	}
	clear(p.streams)
	clear(p.entries)
	clear(p.runs)
	clear(p.pairs)
	p.streams, p.entries, p.runs, p.pairs = p.streams[:0], p.entries[:0], p.runs[:0], p.pairs[:0]
	pushDecoders.Put(p)
}

// decode reads a message of EncodePush. Entries and runs alias it.
func (p *pushDecoder) decode(message []byte, cache *labelCache) error {
	d := newDecoder(message)
	for n := d.count(); n > 0 && d.err == nil; n-- {
		hash, text := d.uint64(), d.bytes()
		runs, entries := len(p.runs), len(p.entries)
		for {
			kind := d.byte()
			if d.err != nil || kind == runsEnd {
				break
			}
			if kind > 1 {
				d.fail("unknown kind of run")
				break
			}
			p.run(d, kind == 1)
		}
		if d.err != nil {
			break
		}
		known, err := cache.get(hash, text)
		if err != nil {
			return err
		}
		p.streams = append(p.streams, wire.Stream{
			Labels: known.labels, Text: known.text, Hash: hash, Entries: p.entries[entries:len(p.entries):len(p.entries)],
			Runs: p.runs[runs:len(p.runs):len(p.runs)],
		})
	}
	if d.err == nil && len(d.b) > 0 {
		d.fail("bytes behind the end")
	}
	return d.err
}

// run reads a run behind its kind. What the head says of the entries is checked: the ingester goes by it.
func (p *pushDecoder) run(d *decoder, rich bool) {
	r, length := readRunHead(d, rich)
	r.Data = d.take(uint64(length))
	if d.err != nil {
		return
	}
	from, sum := len(p.entries), 0
	oldest, newest := int64(math.MaxInt64), int64(math.MinInt64)
	for rest := r.Data; len(rest) > 0; {
		var e wire.PushEntry
		var err error
		if rich {
			first := len(p.pairs)
			e.Timestamp, e.Line, p.pairs, rest, err = chunk.ReadRichEntry(rest, p.pairs)
			e.Metadata = p.pairs[first:len(p.pairs):len(p.pairs)]
		} else {
			e.Timestamp, e.Line, rest, err = chunk.ReadEntry(rest)
		}
		if err != nil {
			d.fail(err.Error())
			return
		}
		sum += e.Size()
		oldest, newest = min(oldest, e.Timestamp), max(newest, e.Timestamp)
		p.entries = append(p.entries, e)
	}
	if len(p.entries)-from != r.Entries || r.Entries == 0 || sum != r.Size || oldest != r.Oldest || newest != r.Newest {
		d.fail("a run is not what its head says")
		return
	}
	p.runs = append(p.runs, r)
}

// labelCache remembers label sets by their text, so that labels are parsed once per stream. There are two generations; one that is
// used moves to the younger.
type labelCache struct {
	mu            sync.RWMutex
	recent, older map[string]*knownLabels
}

// knownLabels is a label set. It is immutable.
type knownLabels struct {
	labels labels.Labels
	text   string
	hash   uint64
}

// maxKnownLabels is how many label sets a generation has.
const maxKnownLabels = 200_000

func newLabelCache() *labelCache { return &labelCache{recent: map[string]*knownLabels{}} }

// get returns the label set of a canonical text.
func (c *labelCache) get(hash uint64, text []byte) (*knownLabels, error) {
	c.mu.RLock()
	k := c.recent[string(text)]
	if k != nil {
		c.mu.RUnlock()
	} else {
		k = c.older[string(text)]
		c.mu.RUnlock()
		if k == nil {
			set, err := wire.ParseLabels(strings.Clone(string(text)))
			if err != nil {
				return nil, fmt.Errorf("%w: %w", errMessage, err)
			}
			lbls := labels.New(set...)
			k = &knownLabels{labels: lbls, text: string(text), hash: labels.StableHash(lbls)}
		}
		c.mu.Lock()
		if len(c.recent) >= maxKnownLabels {
			c.older, c.recent = c.recent, map[string]*knownLabels{}
		}
		c.recent[k.text] = k
		c.mu.Unlock()
	}
	if k.hash != hash {
		return nil, fmt.Errorf("%w: the hash of stream %s is not %x", errMessage, k.text, hash)
	}
	return k, nil
}
