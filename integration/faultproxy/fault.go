package faultproxy

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// Fault is a way to break a request.
type Fault func(*exchange)

// Status answers with the status and a body as S3 has it, without asking the server.
func Status(status int, code, message string) Fault {
	return func(x *exchange) {
		x.drain()
		x.w.Header().Set("Content-Type", "application/xml")
		x.w.WriteHeader(status)
		if x.r.Method == http.MethodHead {
			return
		}
		_, _ = io.WriteString(x.w, xml.Header+"<Error><Code>"+code+"</Code><Message>")
		_ = xml.EscapeText(x.w, []byte(message))
		_, _ = io.WriteString(x.w, "</Message><RequestId>proxied</RequestId></Error>")
	}
}

// SlowDown answers as S3 does when it wants fewer requests.
func SlowDown() Fault {
	return Status(http.StatusServiceUnavailable, "SlowDown", "Please reduce your request rate.")
}

// Hang never answers.
func Hang() Fault {
	return func(x *exchange) {
		x.drain()
		x.hang()
	}
}

// HangInBody sends the answer's head and n bytes of its body, and then nothing more.
func HangInBody(n int) Fault {
	return func(x *exchange) {
		if x.cut(n) {
			x.hang()
		}
	}
}

// Latency passes the request on after a pause.
func Latency(d time.Duration) Fault {
	return func(x *exchange) {
		select {
		case <-time.After(d):
			x.pass()
		case <-x.p.stopped:
			panic(http.ErrAbortHandler)
		}
	}
}

// Reset resets the connection without asking the server.
func Reset() Fault {
	return func(x *exchange) { x.reset() }
}

// LoseAnswer lets the server do what was asked, but resets the connection instead of answering.
func LoseAnswer() Fault {
	return func(x *exchange) {
		if _, _, ok := x.answer(); ok {
			x.reset()
		}
	}
}

// Truncate closes the connection after n bytes of the answer's body, whose length was announced rightly.
func Truncate(n int) Fault {
	return func(x *exchange) {
		if x.cut(n) {
			panic(http.ErrAbortHandler)
		}
	}
}

// ResetInBody is Truncate with a TCP reset.
func ResetInBody(n int) Fault {
	return func(x *exchange) {
		resp, body, ok := x.answer()
		if !ok {
			return
		}
		conn, buf, err := http.NewResponseController(x.w).Hijack()
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		_, _ = fmt.Fprintf(buf, "HTTP/1.1 %s\r\n", resp.Status)
		_ = x.w.Header().Write(buf)
		_, _ = buf.WriteString("\r\n")
		_, _ = buf.Write(body[:min(n, len(body))])
		_ = buf.Flush()
		time.Sleep(20 * time.Millisecond) // So that the client gets what was sent before the reset.
		if tcp, ok := conn.(interface{ SetLinger(int) error }); ok {
			_ = tcp.SetLinger(0)
		}
		_ = conn.Close()
	}
}

// ShortLength gives an answer that looks whole, but ends n bytes early, its announced length too.
func ShortLength(n int) Fault {
	return func(x *exchange) {
		resp, body, ok := x.answer()
		if !ok {
			return
		}
		body = body[:max(len(body)-n, 0)]
		x.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		x.w.WriteHeader(resp.StatusCode)
		_, _ = x.w.Write(body)
	}
}

// StaleListing leaves the last object out of a listing, as a store does whose listings lag behind what it holds. Other answers
// pass as they are.
func StaleListing() Fault {
	return func(x *exchange) {
		resp, body, ok := x.answer()
		if !ok {
			return
		}
		if at := bytes.LastIndex(body, []byte("<Contents>")); at >= 0 {
			if end := bytes.Index(body[at:], []byte("</Contents>")); end >= 0 {
				body = slices.Concat(body[:at], body[at+end+len("</Contents>"):])
			}
		}
		x.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		x.w.WriteHeader(resp.StatusCode)
		_, _ = x.w.Write(body)
	}
}

// LongLength announces n bytes more than there are.
func LongLength(n int64) Fault {
	return func(x *exchange) {
		resp, body, ok := x.answer()
		if !ok {
			return
		}
		x.w.Header().Set("Content-Length", strconv.FormatInt(int64(len(body))+n, 10))
		x.w.WriteHeader(resp.StatusCode)
		_, _ = x.w.Write(body)
		_ = http.NewResponseController(x.w).Flush()
		panic(http.ErrAbortHandler)
	}
}

// Damage changes one bit in the middle of the answer's body.
func Damage() Fault {
	return func(x *exchange) {
		resp, body, ok := x.answer()
		if !ok {
			return
		}
		if len(body) > 0 {
			body[len(body)/2] ^= 1
		}
		x.w.WriteHeader(resp.StatusCode)
		_, _ = x.w.Write(body)
	}
}

// cut sends the answer's head and n bytes of its body.
func (x *exchange) cut(n int) bool {
	resp, body, ok := x.answer()
	if !ok {
		return false
	}
	x.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	x.w.WriteHeader(resp.StatusCode)
	_, _ = x.w.Write(body[:min(n, len(body))])
	_ = http.NewResponseController(x.w).Flush()
	return true
}
