package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/coder/websocket"
	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/logql/engine"
	"logstore/pkg/logql/syntax"
	"logstore/pkg/querier"
	"logstore/pkg/tenant"
)

const (
	maxTailDelay = 5
	tailPing     = time.Second
	tailWrite    = 10 * time.Second
	// maxCloseReason is how long the text of a close frame may be.
	maxCloseReason = 120
)

// tail streams entries over a websocket. What is wrong with the request is answered before the upgrade as far as possible.
func (a *API) tail(legacy bool) handlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		req, err := a.tailRequest(r)
		if err != nil {
			return err
		}
		if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
			return badRequest("Bad Request: a tail is a websocket, the request lacks the header Upgrade")
		}
		var flags []string
		if !legacy {
			flags, req.Categorize = encodingFlags(r)
		}
		conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
		if err != nil {
			return nil //nolint:nilerr // Accept has answered
		}
		a.serveTail(r, conn, req, func(e *encoder, f *querier.TailFrame) {
			if legacy {
				e.legacyFrame(f)
				return
			}
			e.frame(f, flags, req.Categorize)
		})
		return nil
	}
}

func (a *API) tailRequest(r *http.Request) (querier.TailRequest, error) {
	req := querier.TailRequest{Text: r.Form.Get("query")}
	if _, err := tenant.ID(r.Context()); err != nil {
		return req, err
	}
	var err error
	if req.Expr, err = syntax.Parse(req.Text); err != nil {
		return req, err
	}
	if req.Limit, err = limitParam(r); err != nil {
		return req, err
	}
	if req.Start, err = timeParam(r, "start", a.deps.Now().Add(-defaultSince).UnixNano()); err != nil {
		return req, err
	}
	seconds, err := intParam(r, "delay_for", 0)
	switch {
	case err != nil:
		return req, err
	case seconds > maxTailDelay:
		return req, badRequest("delay_for can't be greater than %d", maxTailDelay)
	case seconds < 0:
		return req, badRequest("delay_for can't be negative")
	}
	req.Delay = time.Duration(seconds) * time.Second
	return req, nil
}

// serveTail runs the tail until the client leaves, the process stops or it fails. A failure is told in the close frame; when
// the process stops the socket is just dropped, for that is what clients come back after.
func (a *API) serveTail(r *http.Request, conn *websocket.Conn, req querier.TailRequest, encode func(*encoder, *querier.TailFrame)) {
	defer conn.CloseNow() //nolint:errcheck // it may be closed already
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	defer cancel()
	defer context.AfterFunc(a.tails, cancel)()
	ctx = conn.CloseRead(ctx)
	go keepAlive(ctx, cancel, conn)
	e := &encoder{}
	err := a.deps.Querier.Tail(ctx, req, func(f *querier.TailFrame) error {
		e.buf = e.buf[:0]
		encode(e, f)
		write, done := context.WithTimeout(ctx, tailWrite)
		defer done()
		return conn.Write(write, websocket.MessageText, e.buf)
	})
	if a.tails.Err() != nil || errors.Is(err, context.Canceled) {
		return
	}
	reason := err.Error()
	_ = conn.Close(websocket.StatusInternalError, reason[:min(len(reason), maxCloseReason)]) // the client may be gone
}

// keepAlive pings, so that proxies keep the connection and a vanished client is noticed.
func keepAlive(ctx context.Context, cancel context.CancelFunc, conn *websocket.Conn) {
	defer cancel()
	tick := time.NewTicker(tailPing)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		wait, done := context.WithTimeout(ctx, tailWrite)
		err := conn.Ping(wait)
		done()
		if err != nil {
			return
		}
	}
}

// CloseTails ends all tails; new ones end at once.
func (a *API) CloseTails() { a.closeTails() }

func (e *encoder) frame(f *querier.TailFrame, flags []string, categorize bool) {
	e.raw(`{"streams":`)
	e.raw("[")
	for i := range f.Streams {
		e.comma(i)
		e.raw(`{"stream":`)
		e.labels(f.Streams[i].Labels)
		e.raw(`,"values":[`)
		for j := range f.Streams[i].Entries {
			e.comma(j)
			e.entry(&f.Streams[i].Entries[j], categorize)
		}
		e.raw("]}")
	}
	e.raw("]")
	if len(f.Dropped) > 0 {
		e.raw(`,"dropped_entries":`)
		e.dropped(f.Dropped, e.labels)
	}
	if len(flags) > 0 {
		e.raw(`,"encodingFlags":[`)
		for i, flag := range flags {
			e.comma(i)
			e.string(flag)
		}
		e.raw("]")
	}
	e.raw("}")
}

func (e *encoder) dropped(entries []querier.DroppedEntry, lbs func(labels.Labels)) {
	e.raw("[")
	for i, d := range entries {
		e.comma(i)
		e.raw(`{"labels":`)
		lbs(d.Labels)
		e.raw(`,"timestamp":"`)
		e.buf = strconv.AppendInt(e.buf, d.Timestamp, 10)
		e.raw(`"}`)
	}
	e.raw("]")
}

func (e *encoder) legacyFrame(f *querier.TailFrame) {
	e.raw(`{"streams":[`)
	for i := range f.Streams {
		e.comma(i)
		e.legacyStream(&f.Streams[i])
	}
	e.raw(`],"dropped_entries":`)
	if len(f.Dropped) == 0 {
		e.raw("null}")
		return
	}
	e.dropped(f.Dropped, func(l labels.Labels) { e.string(l.String()) })
	e.raw("}")
}

// legacyStream writes a stream in the form of Loki's first API.
func (e *encoder) legacyStream(s *engine.LogStream) {
	e.raw(`{"labels":`)
	e.string(s.Labels.String())
	e.raw(`,"entries":[`)
	for j, en := range s.Entries {
		e.comma(j)
		e.raw(`{"ts":"` + time.Unix(0, en.Timestamp).UTC().Format(time.RFC3339Nano) + `","line":`)
		e.string(en.Line)
		e.raw("}")
		e.flushIfFull()
	}
	e.raw("]}")
}
