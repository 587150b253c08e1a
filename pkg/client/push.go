package client

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"github.com/klauspost/compress/s2"

	"logstore/pkg/wire"
)

// Encodings of a push.
const (
	PushSnappy = "snappy" // protobuf
	PushGzip   = "gzip"   // JSON
	PushPlain  = "none"   // JSON
)

// Push stores entries. A push that failed without an answer can be sent again: what was stored is stored once.
func (c *Client) Push(ctx context.Context, streams []wire.PushStream, encoding string) error {
	r := Request{Method: http.MethodPost, Path: "/loki/api/v1/push", Header: http.Header{}}
	switch encoding {
	case PushSnappy:
		r.Body = s2.EncodeSnappy(nil, wire.AppendProto(nil, streams))
		r.Header.Set("Content-Type", "application/x-protobuf")
	case PushGzip, PushPlain:
		body, err := pushJSON(streams)
		if err != nil {
			return err
		}
		r.Header.Set("Content-Type", "application/json")
		if encoding == PushGzip {
			r.Header.Set("Content-Encoding", "gzip")
			var out bytes.Buffer
			w := gzip.NewWriter(&out)
			_, _ = w.Write(body) // a buffer takes everything
			_ = w.Close()
			body = out.Bytes()
		}
		r.Body = body
	default:
		return fmt.Errorf("the encoding %q is unknown, only %s, %s and %s", encoding, PushSnappy, PushGzip, PushPlain)
	}
	_, _, err := c.Do(ctx, r)
	return err
}

func pushJSON(streams []wire.PushStream) ([]byte, error) {
	type stream struct {
		Stream map[string]string `json:"stream"`
		Values [][]any           `json:"values"`
	}
	var out struct {
		Streams []stream `json:"streams"`
	}
	for _, s := range streams {
		set, err := wire.ParseLabels(s.Labels)
		if err != nil {
			return nil, err
		}
		one := stream{Stream: map[string]string{}}
		for _, l := range set {
			one.Stream[l.Name] = l.Value
		}
		for _, e := range s.Entries {
			value := []any{strconv.FormatInt(e.Timestamp, 10), string(e.Line)}
			if len(e.Metadata) > 0 {
				meta := map[string]string{}
				for _, p := range e.Metadata {
					meta[p.Name] = p.Value
				}
				value = append(value, meta)
			}
			one.Values = append(one.Values, value)
		}
		out.Streams = append(out.Streams, one)
	}
	return json.Marshal(out)
}
