package sidecar

import "slices"

// Needle is what must be in a block's filter if a text or a pair of metadata is in the block. Its zero value is in every block.
type Needle struct {
	keys []uint64
	// numbers are the keys that a filter may lack; see keyer.
	numbers []uint64
	// folded needles stand for text in any case.
	folded bool
}

// Blind reports whether the needle rules out nothing.
func (n Needle) Blind() bool { return len(n.keys)+len(n.numbers) == 0 }

// Text returns the needle of a text that must stand somewhere in a line. With fold its ASCII letters stand for themselves in either
// case, and for what else Unicode folds to them.
//
// The words at the bounds of the text may go on in the line; of them only what does not depend on these bounds counts.
func Text(text string, fold bool) Needle {
	n := Needle{folded: fold}
	b := []byte(text)
	add := func(key uint64) { n.keys = append(n.keys, key) }
	for from := 0; from < len(b); {
		if class[b[from]]&classWord == 0 {
			from++
			continue
		}
		to := from
		for to < len(b) && class[b[to]]&classWord != 0 {
			to++
		}
		n.word(b[from:to], from > 0, to < len(b), add)
		from = to
	}
	slices.Sort(n.keys)
	n.keys = slices.Compact(n.keys)
	return n
}

// word adds the keys of a word of the text; begins and ends say whether it begins and ends there in the line too.
func (n *Needle) word(word []byte, begins, ends bool, add func(uint64)) {
	eachGram(word, func(gram uint32) { add(gramKey(gram)) })
	digits, only := shape(word)
	if n.folded && !only {
		return // its bytes may be others in the line
	}
	if digits && len(word) >= longWord {
		eachSample(word, add)
	}
	switch {
	case digits && len(word) >= tailWord:
		if ends {
			add(tailKey(word))
		}
	case !begins || !ends || len(word) < minWord || only && len(word) < minNumber:
	case only:
		n.numbers = append(n.numbers, wordKey(word))
	default:
		add(wordKey(word))
	}
}

// Pair returns the needle of a pair of metadata.
func Pair(name, value string) Needle { return Needle{keys: []uint64{pairKey(name, value)}} }

// Demand is a condition on a block: one of the needles must be in it. A query's demands must all be met.
type Demand []Needle

// Blind reports whether the demand rules out nothing.
func (d Demand) Blind() bool { return slices.ContainsFunc(d, Needle.Blind) }
