package objstore

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// stampName is the name of the user metadata that holds an object's stamp.
const stampName = "logstore-crc32c"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// stamp is what is stored with an object to find out on the way back whether it is all there: HTTP cannot tell a body
// that was cut together with its Content-Length.
type stamp struct {
	crc  uint32
	size int64
}

func stampOf(body []byte) stamp {
	return stamp{crc: crc32.Checksum(body, castagnoli), size: int64(len(body))}
}

// String returns the stamp as it is stored: the CRC-32C in hexadecimal, a hyphen and the size in decimal.
func (s stamp) String() string { return fmt.Sprintf("%08x-%d", s.crc, s.size) }

// parseStamp finds the stamp in an object's metadata. Objects of other writers have none, and one that cannot be parsed
// is not ours.
func parseStamp(metadata map[string]string) (stamp, bool) {
	var s stamp
	text := metadata[stampName]
	if _, err := fmt.Sscanf(text, "%8x-%d", &s.crc, &s.size); err != nil || s.String() != text {
		return stamp{}, false
	}
	return s, true
}

// stampReader checks a stream against its object's stamp at the end.
type stampReader struct {
	io.ReadCloser
	want, got stamp
}

// Read implements io.Reader.
func (r *stampReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.got.crc = crc32.Update(r.got.crc, castagnoli, p[:n])
	r.got.size += int64(n)
	if errors.Is(err, io.EOF) && r.got != r.want {
		err = fmt.Errorf("%w: got %s, want %s", ErrCorrupt, r.got, r.want)
	}
	return n, err
}

// trustedLength is the size up to which memory is taken before the body has shown that it is as long as announced.
const trustedLength = 16 << 20

// readBody reads a body of n bytes, or of unknown length if n is negative.
func readBody(r io.Reader, n int64) ([]byte, error) {
	if n < 0 {
		return io.ReadAll(r)
	}
	body := make([]byte, min(n, trustedLength))
	for read := int64(0); ; {
		m, err := io.ReadFull(r, body[read:])
		read += int64(m)
		switch {
		case errors.Is(err, io.EOF), err == io.ErrUnexpectedEOF:
			return nil, fmt.Errorf("%w: got %d of %d bytes", ErrTruncated, read, n)
		case err != nil:
			return nil, err
		case read == n:
			return body, nil
		}
		longer := make([]byte, min(n, 4*read))
		copy(longer, body)
		body = longer
	}
}

// lengthOf returns the announced length, or -1 if there is none.
func lengthOf(n *int64) int64 {
	if n == nil {
		return -1
	}
	return *n
}
