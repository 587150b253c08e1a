package schema

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"logstore/pkg/model"
)

// ErrChunkKey is wrapped by every error of parsing a chunk's key.
var ErrChunkKey = errors.New("invalid chunk key")

// Layout is the form of a chunk's object key.
type Layout uint8

// The two layouts: "tenant/fp:from:through:sum" up to schema v11, and "tenant/fp/from:through:sum" from v12 on.
const (
	Flat Layout = iota
	Nested
)

// ChunkName is a chunk and the form of its key: what an index row says about a chunk.
type ChunkName struct {
	model.ChunkRef
	Layout Layout
	// Sized is set if the index tells the size: KB in units of 1024 bytes, and the number of entries. A TSDB does.
	Sized       bool
	KB, Entries uint32
}

// Key returns the object key.
func (c ChunkName) Key() string { return ChunkKey(c.ChunkRef, c.Layout) }

// ChunkKey returns the object key of a chunk.
func ChunkKey(ref model.ChunkRef, layout Layout) string {
	return string(AppendChunkKey(make([]byte, 0, len(ref.Tenant)+52), ref, layout))
}

// AppendChunkKey appends the object key of a chunk.
func AppendChunkKey(dst []byte, ref model.ChunkRef, layout Layout) []byte {
	dst = append(dst, ref.Tenant...)
	dst = append(dst, '/')
	dst = strconv.AppendUint(dst, ref.Fingerprint, 16)
	if layout == Nested {
		dst = append(dst, '/')
	} else {
		dst = append(dst, ':')
	}
	return appendTimes(dst, ref)
}

// ContentKey names a chunk without tenant and layout, "fp/from:through:sum".
func ContentKey(ref model.ChunkRef) string {
	dst := strconv.AppendUint(make([]byte, 0, 52), ref.Fingerprint, 16)
	return string(appendTimes(append(dst, '/'), ref))
}

func appendTimes(dst []byte, ref model.ChunkRef) []byte {
	dst = strconv.AppendInt(dst, ref.From, 16)
	dst = append(dst, ':')
	dst = strconv.AppendInt(dst, ref.Through, 16)
	dst = append(dst, ':')
	return strconv.AppendUint(dst, uint64(ref.Checksum), 16)
}

// ParseChunkKey reads an object key; its slashes tell the layout.
func ParseChunkKey(key string) (ChunkName, error) {
	tenant, rest, ok := strings.Cut(key, "/")
	if !ok || tenant == "" {
		return ChunkName{}, fmt.Errorf("%w %q: no tenant", ErrChunkKey, key)
	}
	c := ChunkName{ChunkRef: model.ChunkRef{Tenant: tenant}}
	i := strings.IndexAny(rest, ":/")
	if i < 0 {
		return ChunkName{}, fmt.Errorf("%w %q: no fingerprint", ErrChunkKey, key)
	}
	if rest[i] == '/' {
		c.Layout = Nested
	}
	if err := parseFields(&c.ChunkRef, rest[:i], rest[i+1:]); err != nil {
		return ChunkName{}, fmt.Errorf("%w %q: %w", ErrChunkKey, key, err)
	}
	return c, nil
}

// ParseChunkKeyOf is ParseChunkKey for whoever reads many keys of one tenant: the name has the tenant's own string, and nothing is
// allocated. Keys of other tenants, and those that are no keys, are left to ParseChunkKey.
func ParseChunkKeyOf(tenant string, key []byte) (ChunkName, error) {
	c := ChunkName{ChunkRef: model.ChunkRef{Tenant: tenant}}
	if len(key) > len(tenant) && tenant != "" && string(key[:len(tenant)]) == tenant && key[len(tenant)] == '/' {
		var from, through, sum uint64
		var sep rune
		rest := key[len(tenant)+1:]
		c.Fingerprint, sep, rest = cutHex(rest)
		if sep == '/' {
			c.Layout = Nested
		}
		layout := sep == '/' || sep == ':'
		from, sep, rest = cutHex(rest)
		times := sep == ':'
		through, sep, rest = cutHex(rest)
		times = times && sep == ':'
		if sum, sep, _ = cutHex(rest); layout && times && sep == end && from <= through && through <= math.MaxInt64 && sum <= math.MaxUint32 {
			c.From, c.Through, c.Checksum = int64(from), int64(through), uint32(sum)
			return c, nil
		}
	}
	return ParseChunkKey(string(key))
}

// What cutHex returns for a separator where a number is not followed by one.
const (
	end   = -1 // nothing comes behind it
	noHex = -2 // there is none, or one that no key has
)

// cutHex reads the number at the beginning of b, as parseHex does. It returns the byte behind it and what follows that.
func cutHex(b []byte) (n uint64, sep rune, rest []byte) {
	const digits = 16
	i := 0
	for ; i < len(b); i++ {
		d := hexDigits[b[i]]
		if d == notHex {
			break
		}
		n = n<<4 | uint64(d)
	}
	switch {
	case i == 0, i > digits, i > 1 && b[0] == '0':
		return 0, noHex, nil
	case i == len(b):
		return n, end, nil
	}
	return n, rune(b[i]), b[i+1:]
}

const notHex = 0xff

// hexDigits are the values of the digits that keys have, notHex for all other bytes.
var hexDigits = func() (t [256]byte) {
	for i := range t {
		t[i] = notHex
	}
	for i, c := range []byte("0123456789abcdef") {
		t[c] = byte(i)
	}
	return t
}()

var errFields = errors.New("wants fingerprint, from, through and sum in hex")

func parseFields(ref *model.ChunkRef, fp, times string) error {
	from, rest, ok := strings.Cut(times, ":")
	if !ok {
		return errFields
	}
	through, sum, ok := strings.Cut(rest, ":")
	if !ok {
		return errFields
	}
	var err [4]error
	var checksum uint64
	ref.Fingerprint, err[0] = parseHex(fp, 64)
	ref.From, err[1] = parseTime(from)
	ref.Through, err[2] = parseTime(through)
	checksum, err[3] = parseHex(sum, 32)
	ref.Checksum = uint32(checksum)
	for _, e := range err {
		if e != nil {
			return e
		}
	}
	if ref.Through < ref.From {
		return errors.New("through is before from")
	}
	return nil
}

// parseHex accepts exactly what the writer writes: lower case, no padding, no sign.
func parseHex(s string, bits int) (uint64, error) {
	if s == "" || len(s) > bits/4 || (len(s) > 1 && s[0] == '0') {
		return 0, errFields
	}
	var n uint64
	for i := range len(s) {
		c := s[i]
		switch {
		case '0' <= c && c <= '9':
			n = n<<4 | uint64(c-'0')
		case 'a' <= c && c <= 'f':
			n = n<<4 | uint64(c-'a'+10)
		default:
			return 0, errFields
		}
	}
	return n, nil
}

func parseTime(s string) (int64, error) {
	digits, negative := strings.CutPrefix(s, "-")
	n, err := parseHex(digits, 64)
	if err != nil || n>>63 != 0 || (negative && n == 0) {
		return 0, errFields
	}
	if negative {
		return -int64(n), nil
	}
	return int64(n), nil
}

// ChunkPath returns the path of a chunk under the filesystem's chunks directory: there the part with the colons is
// base64, in the flat layout the whole key.
func ChunkPath(ref model.ChunkRef, layout Layout) string {
	key := ChunkKey(ref, layout)
	i := 0
	if layout == Nested {
		i = strings.LastIndexByte(key, '/') + 1
	}
	return key[:i] + base64.StdEncoding.EncodeToString([]byte(key[i:]))
}

// ParseChunkPath is the inverse of ChunkPath.
func ParseChunkPath(path string) (ChunkName, error) {
	i := strings.LastIndexByte(path, '/') + 1
	tail, err := base64.StdEncoding.Strict().DecodeString(path[i:])
	if err != nil {
		return ChunkName{}, fmt.Errorf("%w %q: %w", ErrChunkKey, path, err)
	}
	c, err := ParseChunkKey(path[:i] + string(tail))
	if err != nil {
		return ChunkName{}, err
	}
	if (c.Layout == Nested) != (i > 0) {
		return ChunkName{}, fmt.Errorf("%w %q: folder and key do not agree", ErrChunkKey, path)
	}
	return c, nil
}

// IndexFile names an index object below its table.
type IndexFile struct {
	// Tenant is empty for a file in which all tenants are.
	Tenant string
	// Name is the file's name as in the key, with ".gz" if the object is compressed.
	Name string
}

// Compressed reports whether the object is gzip.
func (f IndexFile) Compressed() bool { return strings.HasSuffix(f.Name, ".gz") }

// LocalName returns the path of the uncompressed file below the table's folder.
func (f IndexFile) LocalName() string {
	name := strings.TrimSuffix(f.Name, ".gz")
	if f.Tenant == "" {
		return name
	}
	return f.Tenant + "/" + name
}

// Key returns the object key; tableKey is PeriodConfig.TableKey.
func (f IndexFile) Key(tableKey string) string {
	if f.Tenant == "" {
		return tableKey + f.Name
	}
	return tableKey + f.Tenant + "/" + f.Name
}

// ParseIndexKey reads the key of an object of a table. Keys of another depth are no index files.
func ParseIndexKey(tableKey, key string) (f IndexFile, ok bool) {
	rest, ok := strings.CutPrefix(key, tableKey)
	if !ok {
		return IndexFile{}, false
	}
	if tenant, name, nested := strings.Cut(rest, "/"); nested {
		f.Tenant, f.Name = tenant, name
		if tenant == "" || tenant == "." || tenant == ".." {
			return IndexFile{}, false
		}
	} else {
		f.Name = rest
	}
	base := strings.TrimSuffix(f.Name, ".gz")
	if base == "" || base == "." || base == ".." || strings.Contains(f.Name, "/") {
		return IndexFile{}, false
	}
	return f, true
}
