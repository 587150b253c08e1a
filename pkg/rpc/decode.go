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
	"logstore/pkg/decbuf"
	"logstore/pkg/model"
	"logstore/pkg/wire"
)

// errMessage is wrapped by errors of messages that are not as FORMAT.md says.
var errMessage = errors.New("bad message")

// decoder reads the parts of a message; after a failure everything is zero.
type decoder struct{ decbuf.Buf }

// newDecoder checks the version and returns a decoder of the rest.
func newDecoder(b []byte) *decoder {
	d := &decoder{decbuf.Buf{B: b}}
	if v := d.Byte(); !d.Failed() && v != formatVersion {
		d.Fail(fmt.Sprintf("version %d is not known here", v))
	}
	return d
}

// err returns what is wrong with the message so far.
func (d *decoder) err() error { return d.Err(errMessage) }

// end returns what is wrong with the message, in which nothing may be left.
func (d *decoder) end() error { return d.End(errMessage) }

func (d *decoder) int() int { return int(d.Upto(math.MaxInt32)) }

func appendLabels(b []byte, lbls labels.Labels) []byte {
	b = binary.AppendUvarint(b, uint64(lbls.Len()))
	lbls.Range(func(l labels.Label) {
		b = decbuf.AppendString(b, l.Name)
		b = decbuf.AppendString(b, l.Value)
	})
	return b
}

func (d *decoder) labels() labels.Labels {
	n := d.Count(1)
	b := labels.NewScratchBuilder(n)
	last := ""
	for i := range n {
		name, value := d.Text(), d.Text()
		if i > 0 && name <= last && !d.Failed() {
			d.Fail("labels do not ascend")
		}
		if d.Failed() {
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
	for n := d.Count(1); n > 0 && !d.Failed(); n-- {
		hash, text := d.Le64(), d.Section()
		runs, entries := len(p.runs), len(p.entries)
		for {
			kind := d.Byte()
			if d.Failed() || kind == runsEnd {
				break
			}
			if kind > 1 {
				d.Fail("unknown kind of run")
				break
			}
			p.run(d, kind == 1)
		}
		if d.Failed() {
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
	return d.end()
}

// run reads a run behind its kind. What the head says of the entries is checked: the ingester goes by it.
func (p *pushDecoder) run(d *decoder, rich bool) {
	r, length := readRunHead(d, rich)
	r.Data = d.Take(uint64(length))
	if d.Failed() {
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
			d.Fail(err.Error())
			return
		}
		sum += e.Size()
		oldest, newest = min(oldest, e.Timestamp), max(newest, e.Timestamp)
		p.entries = append(p.entries, e)
	}
	if len(p.entries)-from != r.Entries || r.Entries == 0 || sum != r.Size || oldest != r.Oldest || newest != r.Newest {
		d.Fail("a run is not what its head says")
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
