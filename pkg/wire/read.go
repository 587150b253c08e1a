package wire

import (
	"fmt"
	"io"
	"mime"
)

// ReadPush reads and decodes a push from a request's body: JSON if the content type says so, else protobuf in snappy's
// block format. The caller releases the request, which is nil if there is an error. A *SizeError means 413; any other
// error is the client's, 400, with its text for the client.
func ReadPush(body io.Reader, h Header, o Options) (*PushRequest, error) {
	isJSON, err := isJSON(h.ContentType)
	if err != nil {
		return nil, err
	}
	if err := checkEncoding(h.ContentEncoding, isJSON); err != nil {
		return nil, err
	}
	r := GetPushRequest()
	if err := r.readPush(body, h, o, isJSON); err != nil {
		r.Release()
		return nil, err
	}
	return r, nil
}

func (r *PushRequest) readPush(body io.Reader, h Header, o Options, isJSON bool) error {
	if err := r.read(body, h, o); err != nil {
		return err
	}
	b, err := r.inflate(h.ContentEncoding, o)
	if err != nil {
		return err
	}
	switch {
	case !isJSON:
		r.spare, err = unsnappy(r.spare[:cap(r.spare)], b, o)
		b = r.spare
	case h.ContentEncoding == "snappy":
		b, err = unsnappyLoosely(r.spare[:cap(r.spare)], b, o)
	}
	if err != nil {
		return err
	}
	r.BodyBytes = len(b)
	if isJSON {
		return r.DecodeJSON(b, o)
	}
	return r.DecodeProto(b)
}

func isJSON(contentType string) (bool, error) {
	switch contentType {
	case "application/x-protobuf":
		return false, nil
	case "application/json":
		return true, nil
	}
	media, _, err := mime.ParseMediaType(contentType)
	return media == "application/json", err
}

func checkEncoding(encoding string, isJSON bool) error {
	switch encoding {
	case "", "identity", "gzip", "deflate", "snappy":
		return nil
	case "zstd":
		if isJSON {
			return nil
		}
	}
	return fmt.Errorf("Content-Encoding %q not supported", encoding)
}
