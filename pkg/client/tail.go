package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/coder/websocket"
)

// TailRequest asks for the lines of a log query as they come in.
type TailRequest struct {
	Query string
	// Start and Limit bound what is sent of the past: the newest Limit entries from Start on.
	Start time.Time
	Limit int
	// Delay holds lines back in the store so long, in whole seconds, so that late ones find their place.
	Delay time.Duration
}

// Tail is an open tail. One goroutine may read it.
type Tail struct{ conn *websocket.Conn }

// Frame is a part of a tail.
type Frame struct {
	Streams []Stream  `json:"streams"`
	Dropped []Dropped `json:"dropped_entries"`
}

// Dropped is an entry that the store left out because frames were not read fast enough.
type Dropped struct {
	Labels    map[string]string `json:"labels"`
	Timestamp string            `json:"timestamp"`
}

// Entries returns the entries of a frame, in no order.
func (f *Frame) Entries() ([]Entry, error) { return entriesOf(f.Streams) }

// TailEnded is why a store ended a tail.
type TailEnded struct {
	Code   int
	Reason string
}

func (e *TailEnded) Error() string { return fmt.Sprintf("the store ended the tail: %s", e.Reason) }

// maxFrame bounds a frame: 100 lines of the largest size that stores usually take.
const maxFrame = 64 << 20

// dialTimeout bounds the opening of a tail.
const dialTimeout = 30 * time.Second

// Tail opens a tail.
func (c *Client) Tail(ctx context.Context, r TailRequest) (*Tail, error) {
	v := url.Values{"query": {r.Query}, "start": {nanos(r.Start)}, "limit": {strconv.Itoa(r.Limit)}}
	if r.Delay > 0 {
		v.Set("delay_for", strconv.Itoa(int(r.Delay/time.Second)))
	}
	h := http.Header{}
	if err := c.setHeaders(h); err != nil {
		return nil, err
	}
	const path = "/loki/api/v1/tail"
	dial, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, resp, err := websocket.Dial(dial, c.url(path, v), &websocket.DialOptions{HTTPClient: c.socket, HTTPHeader: h})
	if err != nil {
		if resp == nil || resp.StatusCode == http.StatusSwitchingProtocols {
			return nil, c.unreachable(err)
		}
		var body []byte
		if resp.Body != nil {
			body, _ = io.ReadAll(io.LimitReader(resp.Body, maxMessage)) // what there is of it
			_ = resp.Body.Close()
		}
		return nil, newStatusError(Request{Path: path}, resp, body)
	}
	conn.SetReadLimit(maxFrame)
	return &Tail{conn: conn}, nil
}

// Next waits for the next frame. It fails with a TailEnded if the store said why it ended the tail.
func (t *Tail) Next(ctx context.Context) (*Frame, error) {
	_, text, err := t.conn.Read(ctx)
	if err != nil {
		var closed websocket.CloseError
		if errors.As(err, &closed) && closed.Reason != "" {
			return nil, &TailEnded{Code: int(closed.Code), Reason: closed.Reason}
		}
		return nil, fmt.Errorf("the tail broke off: %w", err)
	}
	var f Frame
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, fmt.Errorf("cannot read a frame of the tail: %w", err)
	}
	return &f, nil
}

// Close ends the tail.
func (t *Tail) Close() { _ = t.conn.CloseNow() }
