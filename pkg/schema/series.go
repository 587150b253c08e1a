package schema

import (
	"crypto/sha256"
	"encoding/base64"
	"strconv"

	"github.com/cespare/xxhash/v2"
	"github.com/prometheus/prometheus/model/labels"
)

// metricLabel is the label under which Loki files every stream as "logs"; streams of ours do not carry it.
const metricLabel = "__name__"

// seriesIDLen is the length of base64 over 32 bytes without padding.
const seriesIDLen = 43

// SeriesID joins the rows of a stream: the base64 text of a SHA-256 over its labels.
type SeriesID [seriesIDLen]byte

// String returns the text.
func (id SeriesID) String() string { return string(id[:]) }

// Shard returns the row shard of the series.
func (id SeriesID) Shard(shards uint32) uint32 {
	n := uint32(id[0])<<24 | uint32(id[1])<<16 | uint32(id[2])<<8 | uint32(id[3])
	return n % shards
}

// ParseSeriesID reads the text.
func ParseSeriesID(text []byte) (id SeriesID, ok bool) {
	if len(text) != seriesIDLen {
		return id, false
	}
	copy(id[:], text)
	return id, true
}

// SeriesIDOf returns the id of a label set.
func SeriesIDOf(lbls labels.Labels) SeriesID {
	var scratch [512]byte
	return hashText(appendMetric(scratch[:0], lbls))
}

// appendMetric appends the labels as their hash sees them: logs{a="1", b="2"}.
func appendMetric(dst []byte, lbls labels.Labels) []byte {
	dst = append(dst, metricName...)
	n := 0
	lbls.Range(func(l labels.Label) {
		if l.Name == metricLabel {
			return
		}
		if n == 0 {
			dst = append(dst, '{')
		} else {
			dst = append(dst, ',', ' ')
		}
		n++
		dst = append(dst, l.Name...)
		dst = append(dst, '=')
		dst = strconv.AppendQuote(dst, l.Value)
	})
	if n > 0 {
		dst = append(dst, '}')
	}
	return dst
}

func hashText(text []byte) (id SeriesID) {
	sum := sha256.Sum256(text)
	base64.RawStdEncoding.Encode(id[:], sum[:])
	return id
}

// Fingerprint returns the hash that names a stream in a chunk's key. A reader must take it from the key instead: streams
// of one tenant that collide are numbered from 1.
func Fingerprint(lbls labels.Labels) uint64 {
	var scratch [512]byte
	buf := scratch[:0]
	lbls.Range(func(l labels.Label) {
		if l.Name == metricLabel {
			return
		}
		buf = append(buf, l.Name...)
		buf = append(buf, 0xff)
		buf = append(buf, l.Value...)
		buf = append(buf, 0xff)
	})
	return xxhash.Sum64(buf)
}
