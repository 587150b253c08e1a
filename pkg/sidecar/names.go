package sidecar

import (
	"encoding/binary"
	"slices"

	"logstore/pkg/model"
)

// maxValues is the most values that a name of metadata may have in a block to be a column.
const maxValues = 255

// nameTable collects the metadata of a block while it is built.
type nameTable struct {
	names  []*nameValues
	byName map[string]*nameValues
}

// nameValues are the values of one name.
type nameValues struct {
	name string
	// numbers of the values, counted from 1; values beyond maxValues are in the map only.
	numbers map[string]uint64
	values  []string
	// index has the number of each entry's value, 0 for none, up to the last entry that has one.
	index []uint64
}

func (t *nameTable) reset() {
	t.names = t.names[:0]
	clear(t.byName)
}

// add notes the pair of entry i of n. It reports whether the pair is new.
func (t *nameTable) add(i, n int, p model.Pair) bool {
	v := t.byName[p.Name]
	if v == nil {
		if t.byName == nil {
			t.byName = map[string]*nameValues{}
		}
		v = &nameValues{name: p.Name, numbers: map[string]uint64{}, index: make([]uint64, 0, n)}
		t.byName[p.Name] = v
		t.names = append(t.names, v)
	}
	number, known := v.numbers[p.Value]
	if !known {
		number = uint64(len(v.numbers) + 1)
		v.numbers[p.Value] = number
		if number <= maxValues {
			v.values = append(v.values, p.Value)
		}
	}
	if number <= maxValues {
		for len(v.index) < i {
			v.index = append(v.index, 0)
		}
		v.index = append(v.index, number)
	}
	return !known
}

// appendTo writes the names: uv number of names, and for each one a section name and a section that is empty if the name is no
// column, else: uv number of values, a section for each, and the packed numbers of the entries' values.
func (t *nameTable) appendTo(dst []byte, entries int, columns bool) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(t.names)))
	var column []byte
	for _, v := range t.names {
		dst = appendSection(dst, []byte(v.name))
		column = column[:0]
		if columns && len(v.numbers) <= maxValues {
			for len(v.index) < entries {
				v.index = append(v.index, 0)
			}
			column = binary.AppendUvarint(column, uint64(len(v.values)))
			for _, value := range v.values {
				column = appendSection(column, []byte(value))
			}
			column = appendPacked(column, v.index)
		}
		dst = appendSection(dst, column)
	}
	return dst
}

// Column is the values of one name of metadata.
type Column struct {
	Name string
	// Values are the different ones.
	Values []string
	// Index has the number of each entry's value in Values plus one; 0 is none.
	Index []uint64
}

// Columns decodes the metadata of the names that want accepts; all if it is nil. complete is false if one of them is not stored as a
// column, or nothing is known. The result shares no memory with the block.
func (b *Block) Columns(want func(name string) bool) (columns []Column, complete bool) {
	rest, ok := b.nameSection()
	count, n := binary.Uvarint(rest)
	if !ok || n <= 0 || count > uint64(len(rest)) {
		return nil, false
	}
	rest = rest[n:]
	for range count {
		var name, section []byte
		var ok1, ok2 bool
		if name, rest, ok1 = cutSection(rest); ok1 {
			section, rest, ok2 = cutSection(rest)
		}
		if !ok2 {
			return nil, false
		}
		if want != nil && !want(string(name)) {
			continue
		}
		c, ok := readColumn(section, b.Entries)
		if !ok {
			return nil, false
		}
		c.Name = string(name)
		columns = append(columns, c)
	}
	slices.SortFunc(columns, func(x, y Column) int {
		if x.Name < y.Name {
			return -1
		}
		return 1
	})
	return columns, len(rest) == 0
}

// HasColumns reports whether the metadata of the names that want accepts is stored as columns; see Columns.
func (b *Block) HasColumns(want func(name string) bool) bool {
	rest, ok := b.nameSection()
	count, n := binary.Uvarint(rest)
	if !ok || n <= 0 || count > uint64(len(rest)) {
		return false
	}
	rest = rest[n:]
	for range count {
		var name, section []byte
		if name, rest, ok = cutSection(rest); ok {
			section, rest, ok = cutSection(rest)
		}
		if !ok || len(section) == 0 && (want == nil || want(string(name))) {
			return false
		}
	}
	return true
}

// nameSection is what stands behind times and lengths.
func (b *Block) nameSection() ([]byte, bool) {
	if len(b.columns) == 0 {
		return nil, false
	}
	_, rest, ok := cutSection(b.columns[1:])
	if ok {
		_, rest, ok = cutSection(rest)
	}
	return rest, ok
}

func readColumn(section []byte, entries int) (c Column, ok bool) {
	count, n := binary.Uvarint(section)
	if n <= 0 || count > maxValues || count > uint64(len(section)) {
		return c, false
	}
	rest := section[n:]
	for range count {
		var value []byte
		if value, rest, ok = cutSection(rest); !ok {
			return c, false
		}
		c.Values = append(c.Values, string(value))
	}
	if c.Index, ok = readPacked(nil, rest, entries); !ok {
		return c, false
	}
	for _, x := range c.Index {
		if x > count {
			return c, false
		}
	}
	return c, true
}
