package tsdb

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"hash/crc32"
	"maps"
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/schema"
)

// written is a series of a file that a test makes.
type written struct {
	tenant string
	labels labels.Labels
	chunks []Chunk
}

// build writes a file as FORMAT.md says, for tests. Series of all tenants are in it if one has a tenant.
func build(version byte, series []written) []byte {
	w := fileWriter{version: version, numbers: map[string]uint64{}}
	type full struct {
		written
		all labels.Labels
		fp  uint64
	}
	var list []full
	for _, s := range series {
		b := labels.NewBuilder(s.labels)
		if s.tenant != "" {
			b.Set(TenantLabel, s.tenant)
		}
		list = append(list, full{s, b.Labels(), schema.Fingerprint(s.labels)})
	}
	slices.SortFunc(list, func(a, b full) int {
		return cmp.Or(cmp.Compare(a.fp, b.fp), labels.Compare(a.all, b.all))
	})
	symbols := map[string]bool{}
	for _, s := range list {
		s.all.Range(func(l labels.Label) { symbols[l.Name], symbols[l.Value] = true, true })
	}
	w.b = binary.BigEndian.AppendUint32(nil, magic)
	w.b = append(w.b, version)
	var t toc
	t.symbols = w.section(func(b []byte) []byte {
		b = binary.BigEndian.AppendUint32(b, uint32(len(symbols)))
		for i, s := range slices.Sorted(maps.Keys(symbols)) {
			w.numbers[s] = uint64(i)
			b = appendString(b, s)
		}
		return b
	})
	postings := map[labels.Label][]uint32{{}: nil}
	w.pad(seriesAlign)
	t.series = uint64(len(w.b))
	t.from, t.through = 1<<62, -1<<62
	for _, s := range list {
		w.pad(seriesAlign)
		ref := uint32(len(w.b) / seriesAlign)
		postings[labels.Label{}] = append(postings[labels.Label{}], ref)
		s.all.Range(func(l labels.Label) { postings[l] = append(postings[l], ref) })
		body := w.seriesBody(s.fp, s.all, s.chunks)
		w.b = binary.AppendUvarint(w.b, uint64(len(body)))
		w.b = w.checksummed(append(w.b, body...), len(body))
		for _, c := range s.chunks {
			t.from, t.through = min(t.from, c.From), max(t.through, c.Through)
		}
	}
	w.pad(4)
	t.labelIndices = uint64(len(w.b))
	keys := slices.SortedFunc(maps.Keys(postings), func(a, b labels.Label) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Value, b.Value))
	})
	t.postings = uint64(len(w.b))
	offsets := map[labels.Label]uint64{}
	for _, k := range keys {
		w.pad(4)
		offsets[k] = w.section(func(b []byte) []byte {
			b = binary.BigEndian.AppendUint32(b, uint32(len(postings[k])))
			for _, ref := range postings[k] {
				b = binary.BigEndian.AppendUint32(b, ref)
			}
			return b
		})
	}
	t.labelIndexTable = w.section(func(b []byte) []byte { return append(b, 0, 0, 0, 0) })
	t.postingsTable = w.section(func(b []byte) []byte {
		b = binary.BigEndian.AppendUint32(b, uint32(len(keys)))
		for _, k := range keys {
			b = binary.AppendUvarint(appendString(appendString(append(b, 2), k.Name), k.Value), offsets[k])
		}
		return b
	})
	t.fingerprints = w.section(func(b []byte) []byte { return append(b, 0, 0, 0, 0) })
	n := len(w.b)
	for _, v := range []uint64{
		t.symbols, t.series, t.labelIndices, t.labelIndexTable, t.postings, t.postingsTable, t.fingerprints,
		uint64(t.from), uint64(t.through),
	} {
		w.b = binary.BigEndian.AppendUint64(w.b, v)
	}
	return w.checksummed(w.b, len(w.b)-n)
}

type fileWriter struct {
	version byte
	b       []byte
	numbers map[string]uint64
}

func (w *fileWriter) pad(to int) {
	w.b = append(w.b, bytes.Repeat([]byte{0}, (to-len(w.b)%to)%to)...)
}

// checksummed appends the checksum of the last n bytes.
func (w *fileWriter) checksummed(b []byte, n int) []byte {
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b[len(b)-n:], castagnoli))
}

func (w *fileWriter) section(content func([]byte) []byte) (at uint64) {
	at = uint64(len(w.b))
	c := content(nil)
	w.b = binary.BigEndian.AppendUint32(w.b, uint32(len(c)))
	w.b = w.checksummed(append(w.b, c...), len(c))
	return at
}

func (w *fileWriter) seriesBody(fp uint64, lbls labels.Labels, chunks []Chunk) []byte {
	b := binary.BigEndian.AppendUint64(nil, fp)
	b = binary.AppendUvarint(b, uint64(lbls.Len()))
	lbls.Range(func(l labels.Label) {
		b = binary.AppendUvarint(binary.AppendUvarint(b, w.numbers[l.Name]), w.numbers[l.Value])
	})
	b = binary.AppendUvarint(b, uint64(len(chunks)))
	var entries []byte
	var markers []byte
	end := int64(0)
	for i, c := range chunks {
		if i%16 == 0 {
			page := chunks[i:min(len(chunks), i+16)]
			markers = binary.AppendUvarint(markers, uint64(len(page)))
			markers = append(markers, 0, 0, 0, 0, 0, 0, 0, 0)
			markers = binary.AppendUvarint(markers, uint64(len(entries)))
			markers = binary.AppendVarint(binary.AppendVarint(markers, c.From), c.Through-c.From)
		}
		entries = binary.AppendVarint(entries, c.From-end)
		entries = binary.AppendUvarint(entries, uint64(c.Through-c.From))
		entries = binary.AppendUvarint(binary.AppendUvarint(entries, c.KB), c.Entries)
		entries = binary.BigEndian.AppendUint32(entries, c.Checksum)
		end = c.Through
	}
	if w.version >= markedVersion {
		pages := (len(chunks) + 15) / 16
		part := append(binary.AppendUvarint(nil, uint64(pages)), markers...)
		if len(chunks) == 0 {
			return append(b, 0, 0, 0, 0, 0)
		}
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(part))), part...)
	}
	return append(b, entries...)
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}
