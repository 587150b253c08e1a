package compress

import (
	"errors"
	"fmt"
	"strings"
)

// Encoding is a codec by the number that stands in a chunk.
type Encoding uint8

// The encodings. The numbers are on disk: never renumber.
const (
	None Encoding = 0
	Gzip Encoding = 1
	// 2 was once given out and never written.
	LZ4With64K  Encoding = 3
	Snappy      Encoding = 4
	LZ4With256K Encoding = 5
	LZ4With1M   Encoding = 6
	LZ4         Encoding = 7
	Flate       Encoding = 8
	Zstd        Encoding = 9
)

// names are the values of chunk_encoding.
var names = [...]string{
	None:        "none",
	Gzip:        "gzip",
	LZ4With64K:  "lz4-64k",
	Snappy:      "snappy",
	LZ4With256K: "lz4-256k",
	LZ4With1M:   "lz4-1M",
	LZ4:         "lz4",
	Flate:       "flate",
	Zstd:        "zstd",
}

// The errors of this package.
var (
	// ErrUnknown is returned for a number or name that stands for no encoding.
	ErrUnknown = errors.New("unknown encoding")
	// ErrCorrupt is returned when the bytes are not one complete stream of their encoding.
	ErrCorrupt = errors.New("corrupt compressed data")
	// ErrTooLarge is returned when the decompressed bytes would exceed the caller's limit.
	ErrTooLarge = errors.New("decompressed data exceeds the limit")
)

// Valid reports whether e is an encoding that this package can read and write.
func (e Encoding) Valid() bool { return int(e) < len(names) && names[e] != "" }

// String returns the name as the configuration key chunk_encoding spells it.
func (e Encoding) String() string {
	if !e.Valid() {
		return fmt.Sprintf("encoding(%d)", uint8(e))
	}
	return names[e]
}

// Names returns all names that Parse accepts.
func Names() []string {
	var all []string
	for _, n := range names {
		if n != "" {
			all = append(all, n)
		}
	}
	return all
}

// Parse returns the encoding of a chunk_encoding name; upper and lower case are the same.
func Parse(name string) (Encoding, error) {
	for i, n := range names {
		if n != "" && strings.EqualFold(n, name) {
			return Encoding(i), nil
		}
	}
	return None, fmt.Errorf("%w %q: want one of %s", ErrUnknown, name, strings.Join(Names(), ", "))
}

// AppendCompress appends src as one complete stream to dst.
func (e Encoding) AppendCompress(dst, src []byte) ([]byte, error) {
	switch e {
	case None:
		return append(dst, src...), nil
	case Gzip:
		return appendGzip(dst, src)
	case Flate:
		return appendFlate(dst, src)
	case Snappy:
		return appendSnappy(dst, src), nil
	case LZ4With64K, LZ4With256K, LZ4With1M, LZ4:
		return appendLZ4(dst, src, e)
	case Zstd:
		return zstdEncoder().EncodeAll(src, dst), nil
	}
	return dst, fmt.Errorf("%w: %d", ErrUnknown, uint8(e))
}

// AppendDecompress appends the content of src, which must be one complete stream, to dst. sizeHint is how much the caller
// expects; a wrong hint costs time, not correctness, and 0 is none. More than maxSize bytes are ErrTooLarge.
// On an error the bytes of dst that were already there are intact, and what stands behind them is unspecified.
func (e Encoding) AppendDecompress(dst, src []byte, sizeHint, maxSize int) ([]byte, error) {
	if maxSize < 0 {
		maxSize = 0
	}
	if e == None {
		if len(src) > maxSize {
			return dst, fmt.Errorf("%w of %d bytes", ErrTooLarge, maxSize)
		}
		return append(dst, src...), nil
	}
	var out []byte
	var err error
	switch e {
	case Gzip, Flate, LZ4With64K, LZ4With256K, LZ4With1M, LZ4:
		out, err = decompressReader(e, reserve(dst, src, sizeHint, maxSize), src, maxSize)
	case Snappy:
		out, err = decompressSnappy(reserve(dst, src, sizeHint, maxSize), src, maxSize)
	case Zstd:
		out, err = decompressZstd(reserve(dst, src, sizeHint, maxSize), src, maxSize)
	default:
		return dst, fmt.Errorf("%w: %d", ErrUnknown, uint8(e))
	}
	switch {
	case err == nil:
		return out, nil
	case errors.Is(err, ErrTooLarge):
		return dst, fmt.Errorf("%w of %d bytes (%s)", ErrTooLarge, maxSize, e)
	default:
		return dst, fmt.Errorf("%w (%s): %w", ErrCorrupt, e, err)
	}
}

// expansion is how many times its compressed size a stream may claim in advance. Logs rarely reach 20; what expands
// more is real only once it has been decoded, and the buffer then grows with it.
const expansion = 32

// reserve makes room behind dst for what src will probably become.
func reserve(dst, src []byte, hint, maxSize int) []byte {
	if hint <= 0 {
		hint = 4 * len(src)
	}
	hint = min(hint, expansion*len(src)+512, maxSize)
	return grow(dst, hint)
}

// grow makes room for n bytes behind dst.
func grow(dst []byte, n int) []byte {
	if cap(dst)-len(dst) >= n {
		return dst
	}
	// Exactly what is asked for: the callers know the size, or double it themselves.
	bigger := make([]byte, len(dst), len(dst)+n)
	copy(bigger, dst)
	return bigger
}
