package rpc

import (
	"encoding/binary"
	"fmt"

	"github.com/prometheus/prometheus/model/labels"

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
		b = appendString(b, m.Name)
		b = appendString(b, m.Value)
	}
	return b
}

// selection is its inverse.
func (d *decoder) selection() logql.Selection {
	sel := logql.Selection{Interval: model.Interval{Start: d.varint(), End: d.varint()}, ShardIndex: d.uvarint(), ShardCount: d.uvarint()}
	for n := d.count(); n > 0 && d.err == nil; n-- {
		t, name, value := labels.MatchType(d.byte()), d.str(), d.str()
		if d.err != nil {
			break
		}
		if t > labels.MatchNotRegexp {
			d.fail("unknown matcher")
			break
		}
		m, err := labels.NewMatcher(t, name, value)
		if err != nil {
			d.fail(err.Error())
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
	r := model.ChunkRef{Tenant: tenant, Fingerprint: d.uint64(), From: d.varint()}
	r.Through = r.From + int64(d.uvarint())
	r.Checksum = d.uint32()
	if r.Through < r.From {
		d.fail("bounds of a chunk are not in order")
	}
	return r
}

// appendStrings writes a list.
func appendStrings(b []byte, list []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, s := range list {
		b = appendString(b, s)
	}
	return b
}

func readStrings(b []byte) ([]string, error) {
	d := newDecoder(b)
	list := make([]string, d.count())
	for i := range list {
		list[i] = d.str()
	}
	return list, d.end()
}

// end returns the error of a message that should be read to its end.
func (d *decoder) end() error {
	if d.err == nil && len(d.b) > 0 {
		d.fail(fmt.Sprintf("%d bytes behind the end", len(d.b)))
	}
	return d.err
}
