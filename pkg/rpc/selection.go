package rpc

import (
	"encoding/binary"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/decbuf"
	"logstore/pkg/logql"
	"logstore/pkg/model"
)

// appendSelection writes a selection as FORMAT.md says, behind the version.
func appendSelection(b []byte, sel logql.Selection) []byte {
	b = binary.AppendVarint(b, sel.Interval.Start)
	b = binary.AppendVarint(b, sel.Interval.End)
	b = binary.AppendUvarint(b, sel.ShardIndex)
	b = binary.AppendUvarint(b, sel.ShardCount)
	b = binary.AppendUvarint(b, uint64(len(sel.Matchers)))
	for _, m := range sel.Matchers {
		b = append(b, byte(m.Type))
		b = decbuf.AppendString(b, m.Name)
		b = decbuf.AppendString(b, m.Value)
	}
	return b
}

// selection is its inverse.
func (d *decoder) selection() logql.Selection {
	sel := logql.Selection{Interval: model.Interval{Start: d.Varint(), End: d.Varint()}, ShardIndex: d.Uvarint(), ShardCount: d.Uvarint()}
	for n := d.Count(1); n > 0 && !d.Failed(); n-- {
		t, name, value := labels.MatchType(d.Byte()), d.Text(), d.Text()
		if d.Failed() {
			break
		}
		if t > labels.MatchNotRegexp {
			d.Fail("unknown matcher")
			break
		}
		m, err := labels.NewMatcher(t, name, value)
		if err != nil {
			d.Fail(err.Error())
			break
		}
		sel.Matchers = append(sel.Matchers, m)
	}
	return sel
}

func appendRef(b []byte, ref model.ChunkRef) []byte {
	b = binary.LittleEndian.AppendUint64(b, ref.Fingerprint)
	b = binary.AppendVarint(b, ref.From)
	b = binary.AppendUvarint(b, uint64(ref.Through-ref.From))
	return binary.LittleEndian.AppendUint32(b, ref.Checksum)
}

func (d *decoder) ref(tenant string) model.ChunkRef {
	r := model.ChunkRef{Tenant: tenant, Fingerprint: d.Le64(), From: d.Varint()}
	r.Through = r.From + int64(d.Uvarint())
	r.Checksum = d.Le32()
	if r.Through < r.From {
		d.Fail("bounds of a chunk are not in order")
	}
	return r
}

// appendStrings writes a list.
func appendStrings(b []byte, list []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, s := range list {
		b = decbuf.AppendString(b, s)
	}
	return b
}

func readStrings(b []byte) ([]string, error) {
	d := newDecoder(b)
	list := make([]string, d.Count(1))
	for i := range list {
		list[i] = d.Text()
	}
	return list, d.end()
}
