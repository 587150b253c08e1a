package pipeline

import (
	"unsafe"

	"logstore/pkg/model"
)

// The labels that carry the error of a stage.
const (
	errorLabel        = "__error__"
	errorDetailsLabel = "__error_details__"
)

// extractedSuffix is added to the name of a parsed label that the stream or the metadata already have.
const extractedSuffix = "_extracted"

// The values of the error label.
const (
	errJSON        = "JSONParserErr"
	errLogfmt      = "LogfmtParserErr"
	errLabelFilter = "LabelFilterErr"
	errTemplate    = "TemplateFormatErr"
	errSample      = "SampleExtractionErr"
)

// category says where a label comes from.
type category uint8

const (
	catStream category = iota
	catMetadata
	catParsed
)

// slot is a label name and its value in the current line.
type slot struct {
	name string
	id   uint32
	// inBase and base are the stream's label of that name.
	inBase bool
	base   string
	// special marks the two error labels, whose values live in the line's state.
	special bool
	// excluded labels never get into a result.
	excluded bool

	// seq is the line for which the fields below hold; in other lines the slot has its base value.
	seq     uint64
	present bool
	cat     category
	val     string
	// extracted is the line in which a parser filled the slot: the first of equal keys wins.
	extracted uint64
}

// maxSlots bounds the names that a Stream remembers; beyond it those of passing parsed labels are forgotten.
const maxSlots = 4096

// lineState is the label state of the line being processed.
type lineState struct {
	byName map[string]*slot
	nextID uint32
	// pinned are the slots that the stream or a stage refers to; they are never forgotten.
	pinned []*slot
	// generation counts how often slots were forgotten: caches that refer to slots are valid within one generation.
	generation int
	// closed says that names without a slot matter to no stage and to no result.
	closed bool

	seq uint64
	ts  int64
	// touched are the slots with a value of their own in this line, in the order in which they got it.
	touched []*slot
	// arena holds values that are not part of the line.
	arena []byte
	// err and details are the error labels.
	err, details string
	// found counts the required labels that parsers extracted.
	found int

	metaSlots []metaSlot
}

// metaSlot remembers the slot of the metadata name at one position.
type metaSlot struct {
	name string
	slot *slot
}

// slotFor returns the slot of name, a new one if need be. The name must not share memory with a line.
func (s *lineState) slotFor(name string) *slot {
	if sl, ok := s.byName[name]; ok {
		return sl
	}
	sl := &slot{name: name, id: s.nextID, special: name == errorLabel || name == errorDetailsLabel}
	s.nextID++
	s.byName[name] = sl
	return sl
}

// pin returns the slot of name and keeps it for the life of the Stream.
func (s *lineState) pin(name string) *slot {
	sl := s.slotFor(name)
	for _, p := range s.pinned {
		if p == sl {
			return sl
		}
	}
	s.pinned = append(s.pinned, sl)
	return sl
}

// begin starts a new line.
func (s *lineState) begin(ts int64, meta []model.Pair) {
	if len(s.byName) > maxSlots {
		s.forget()
	}
	s.seq++
	s.ts = ts
	s.touched = s.touched[:0]
	s.arena = s.arena[:0]
	s.err, s.details = "", ""
	s.found = 0
	for i := range meta {
		s.addMetadata(i, &meta[i])
	}
}

func (s *lineState) addMetadata(i int, m *model.Pair) {
	var sl *slot
	if i < len(s.metaSlots) && s.metaSlots[i].name == m.Name {
		sl = s.metaSlots[i].slot
	} else {
		sl = s.metadataSlot(m.Name)
		for len(s.metaSlots) <= i {
			s.metaSlots = append(s.metaSlots, metaSlot{})
		}
		s.metaSlots[i] = metaSlot{name: m.Name, slot: sl}
	}
	if sl != nil {
		s.set(sl, catMetadata, m.Value)
	}
}

// metadataSlot returns the slot of a metadata name. A name that the stream has gets the suffix of parsed labels.
func (s *lineState) metadataSlot(name string) *slot {
	sl := s.byName[name]
	if sl != nil && sl.inBase {
		name += extractedSuffix
		sl = s.byName[name]
	}
	if sl == nil && !s.closed {
		sl = s.slotFor(name)
	}
	return sl
}

// forget drops the slots that nothing refers to.
func (s *lineState) forget() {
	clear(s.byName)
	for _, sl := range s.pinned {
		s.byName[sl.name] = sl
	}
	s.metaSlots = s.metaSlots[:0]
	s.generation++
}

// set gives a slot a value in this line.
func (s *lineState) set(sl *slot, cat category, val string) {
	if sl.seq != s.seq {
		sl.seq = s.seq
		s.touched = append(s.touched, sl)
	}
	sl.present, sl.cat, sl.val = true, cat, val
}

// del removes the label from this line.
func (s *lineState) del(sl *slot) {
	if sl.special {
		if sl.name == errorLabel {
			s.err = ""
		} else {
			s.details = ""
		}
	}
	if sl.seq != s.seq {
		if !sl.inBase {
			return
		}
		sl.seq = s.seq
		s.touched = append(s.touched, sl)
	}
	sl.present, sl.val = false, ""
}

// get returns the label's value in this line.
func (s *lineState) get(sl *slot) (string, bool) {
	if sl.special {
		if v := s.specialValue(sl); v != "" {
			return v, true
		}
	}
	if sl.seq == s.seq {
		return sl.val, sl.present
	}
	return sl.base, sl.inBase
}

func (s *lineState) specialValue(sl *slot) string {
	if sl.name == errorLabel {
		return s.err
	}
	return s.details
}

// setError records the error of a stage; a later one replaces it.
func (s *lineState) setError(kind, details string) {
	s.err, s.details = kind, details
}

// inMetadata reports whether the slot now holds structured metadata.
func (s *lineState) inMetadata(sl *slot) bool {
	return sl.seq == s.seq && sl.present && sl.cat == catMetadata
}

// eachLabel calls f for every label of the line but the error labels, in no particular order.
func (s *lineState) eachLabel(f func(sl *slot, cat category, val string)) {
	for _, sl := range s.pinned {
		if sl.inBase && sl.seq != s.seq {
			f(sl, catStream, sl.base)
		}
	}
	for _, sl := range s.touched {
		if sl.present && !(sl.special && s.specialValue(sl) != "") {
			f(sl, sl.cat, sl.val)
		}
	}
}

// text returns the bytes as a string that shares their memory.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// raw returns the string's bytes, which must not be written to.
func raw(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
