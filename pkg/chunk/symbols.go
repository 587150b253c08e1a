package chunk

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"hash/maphash"
	"strings"
	"sync"
	"unsafe"

	"logstore/pkg/compress"
)

// Symbols is the table of a chunk's metadata names and values: immutable and safe for concurrent use. That of a
// chunk from the bucket is decompressed when it is first needed.
type Symbols struct {
	once    sync.Once
	section []byte
	sum     uint32
	enc     compress.Encoding
	err     error

	strings []string
	// names holds the label names made of symbols that are not valid ones.
	names sync.Map
}

// Len returns the number of symbols; it is 0 if the table is corrupt.
func (s *Symbols) Len() int {
	if s.load() != nil {
		return 0
	}
	return len(s.strings)
}

// load decodes the table once.
func (s *Symbols) load() error {
	s.once.Do(func() {
		if s.section != nil {
			if s.strings, s.err = readSymbols(s.section, s.sum, s.enc); s.err != nil {
				s.err = fmt.Errorf("cannot read symbols: %w", s.err)
			}
			s.section = nil
		}
	})
	return s.err
}

// readSymbols decodes a symbol section: the number of symbols and a compressed run of lengths and bytes.
func readSymbols(section []byte, sum uint32, enc compress.Encoding) ([]string, error) {
	if crc32.Checksum(section, castagnoli) != sum {
		return nil, ErrChecksum
	}
	count, n := binary.Uvarint(section)
	if n <= 0 {
		return nil, fmt.Errorf("%w: bad number of symbols", ErrCorrupt)
	}
	if count == 0 {
		return nil, nil
	}
	buf, err := enc.AppendDecompress(nil, section[n:], 0, MaxBlockBytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	// Each symbol takes a byte at least, so that the count cannot ask for more memory than the data justifies.
	if count > uint64(len(buf)) {
		return nil, fmt.Errorf("%w: %d symbols in %d bytes", ErrCorrupt, count, len(buf))
	}
	all := unsafe.String(unsafe.SliceData(buf), len(buf))
	list := make([]string, count)
	for i := range list {
		l, n := binary.Uvarint(buf)
		if n <= 0 || l > uint64(len(buf)-n) {
			return nil, fmt.Errorf("%w: bad length of symbol %d", ErrCorrupt, i)
		}
		at := len(all) - len(buf) + n
		list[i] = all[at : at+int(l)]
		buf = buf[n+int(l):]
	}
	if len(buf) > 0 {
		return nil, fmt.Errorf("%w: bytes behind the last symbol", ErrCorrupt)
	}
	return list, nil
}

// appendSymbols writes a symbol section.
func appendSymbols(dst []byte, list []string, enc compress.Encoding) ([]byte, error) {
	var raw []byte
	for _, s := range list {
		raw = binary.AppendUvarint(raw, uint64(len(s)))
		raw = append(raw, s...)
	}
	dst = binary.AppendUvarint(dst, uint64(len(list)))
	return enc.AppendCompress(dst, raw)
}

// name returns symbol i as a valid label name. The caller has loaded the table and checked the bounds.
func (s *Symbols) name(i uint64) string {
	raw := s.strings[i]
	if validName(raw) {
		return raw
	}
	if v, ok := s.names.Load(raw); ok {
		return v.(string)
	}
	clean := cleanName(raw)
	s.names.Store(raw, clean)
	return clean
}

func validName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' || c >= '0' && c <= '9' && i > 0 {
			continue
		}
		return false
	}
	return s != ""
}

// cleanName makes a label name of a metadata name, as it is done where names come in: an underscore for each run of odd characters and
// underscores, key_ before a leading digit.
func cleanName(s string) string {
	if s == "" {
		return "_"
	}
	var b strings.Builder
	if s[0] >= '0' && s[0] <= '9' {
		b.WriteString("key_")
	}
	under := false
	for i := range len(s) {
		c := s[i]
		if c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' {
			b.WriteByte(c)
			under = false
		} else if !under {
			b.WriteByte('_')
			under = true
		}
	}
	return b.String()
}

// table collects the symbols of a chunk that is being built. Strings are only ever added, so that a view of the first n
// stays valid while it grows. It is not safe for concurrent use, its views are.
type table struct {
	strings []string
	// slots is a hash table of indexes into strings plus one, at most three quarters full.
	slots []uint32
	// arena is where the next strings' bytes go. A full one is left behind, never moved.
	arena []byte
	bytes int
	view  *Symbols
}

var tableSeed = maphash.MakeSeed()

// intern returns the number of s, which is copied if it is new.
func (t *table) intern(s string) uint32 {
	if 4*len(t.strings) >= 3*len(t.slots) {
		t.rehash()
	}
	mask := uint64(len(t.slots) - 1)
	at := maphash.String(tableSeed, s) & mask
	for ; t.slots[at] != 0; at = (at + 1) & mask {
		if i := t.slots[at] - 1; t.strings[i] == s {
			return i
		}
	}
	t.strings = append(t.strings, t.copy(s))
	t.slots[at] = uint32(len(t.strings))
	return uint32(len(t.strings) - 1)
}

func (t *table) rehash() {
	t.slots = make([]uint32, max(16, 2*len(t.slots)))
	mask := uint64(len(t.slots) - 1)
	for i, s := range t.strings {
		at := maphash.String(tableSeed, s) & mask
		for t.slots[at] != 0 {
			at = (at + 1) & mask
		}
		t.slots[at] = uint32(i + 1)
	}
}

func (t *table) copy(s string) string {
	if s == "" {
		return ""
	}
	if cap(t.arena)-len(t.arena) < len(s) {
		size := max(min(max(128, t.bytes), 16<<10), len(s))
		t.arena = make([]byte, 0, size)
		t.bytes += size
	}
	begin := len(t.arena)
	t.arena = append(t.arena, s...)
	return unsafe.String(&t.arena[begin], len(s))
}

// symbols returns an immutable view of the table as it is now; nil if it is empty.
func (t *table) symbols() *Symbols {
	if t == nil || len(t.strings) == 0 {
		return nil
	}
	if t.view == nil || len(t.view.strings) != len(t.strings) {
		t.view = &Symbols{strings: t.strings[:len(t.strings):len(t.strings)]}
	}
	return t.view
}

// memory returns how many bytes the table holds.
func (t *table) memory() int {
	if t == nil {
		return 0
	}
	return t.bytes + 16*cap(t.strings) + 4*cap(t.slots)
}
