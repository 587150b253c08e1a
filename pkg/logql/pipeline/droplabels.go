package pipeline

import (
	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/logql/syntax"
)

// dropStage removes labels: those it names, or with a matcher those whose value it accepts.
type dropStage struct{ items []syntax.LabelItem }

type boundDrop struct {
	s     *Stream
	items []boundItem
}

type boundItem struct {
	slot  *slot
	match *labels.Matcher
}

func bindItems(s *Stream, items []syntax.LabelItem) []boundItem {
	out := make([]boundItem, len(items))
	for i, item := range items {
		out[i] = boundItem{slot: s.pin(item.Name), match: item.Matcher}
	}
	return out
}

func (d *dropStage) bind(s *Stream) boundStage {
	return &boundDrop{s: s, items: bindItems(s, d.items)}
}

func (d *boundDrop) process(line []byte) ([]byte, bool) {
	for i := range d.items {
		item := &d.items[i]
		v, ok := d.s.get(item.slot)
		if ok && (item.match == nil || item.match.Matches(v)) {
			d.s.del(item.slot)
		}
	}
	return line, true
}

// keepStage removes all labels but those it names, with a matcher only while it accepts the value. The error labels always
// stay.
type keepStage struct{ items []syntax.LabelItem }

type boundKeep struct {
	s     *Stream
	items []boundItem
	gone  []*slot
}

func (k *keepStage) bind(s *Stream) boundStage {
	return &boundKeep{s: s, items: bindItems(s, k.items)}
}

func (k *boundKeep) kept(sl *slot, val string) bool {
	if sl.special {
		return true
	}
	for i := range k.items {
		if k.items[i].slot == sl && (k.items[i].match == nil || k.items[i].match.Matches(val)) {
			return true
		}
	}
	return false
}

func (k *boundKeep) process(line []byte) ([]byte, bool) {
	k.gone = k.gone[:0]
	k.s.eachLabel(func(sl *slot, _ category, val string) {
		if !k.kept(sl, val) {
			k.gone = append(k.gone, sl)
		}
	})
	for _, sl := range k.gone {
		k.s.del(sl)
	}
	return line, true
}
