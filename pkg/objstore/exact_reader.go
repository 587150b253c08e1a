package objstore

import "io"

// exactReader reads a body of an announced size: one that ends early is io.ErrUnexpectedEOF, also where the reader
// below would have it end in peace.
type exactReader struct {
	io.ReadCloser
	left int64
}

func newExactReader(r io.ReadCloser, size int64) *exactReader {
	return &exactReader{ReadCloser: r, left: size}
}

// Read implements io.Reader.
func (r *exactReader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > r.left {
		p = p[:r.left]
	}
	n, err := r.ReadCloser.Read(p)
	r.left -= int64(n)
	if err == io.EOF && r.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}
