package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"logstore/pkg/wire"
)

// tailFrameJSON is a frame of a tail.
type tailFrameJSON struct {
	Streams []struct {
		Stream map[string]string `json:"stream"`
		Values [][2]string       `json:"values"`
	} `json:"streams"`
	Dropped []any `json:"dropped_entries"`
}

// dialTail opens a tail as Grafana's proxy does.
func dialTail(ctx context.Context, t *testing.T, p *Process, tenant string, params url.Values) *websocket.Conn {
	t.Helper()
	target := strings.Replace(p.URL, "http:", "ws:", 1) + "/loki/api/v1/tail?" + params.Encode()
	conn, resp, err := websocket.Dial(ctx, target, &websocket.DialOptions{HTTPHeader: http.Header{"X-Scope-OrgID": {tenant}}})
	require.NoError(t, err)
	if resp.Body != nil {
		_ = resp.Body.Close()
	}
	conn.SetReadLimit(16 << 20)
	return conn
}

// TestTailUnderLoad opens a tail while lines come in from several clients, some of them thousands at once, and wants every
// line once: those from before, those from during the opening and those from after.
func TestTailUnderLoad(t *testing.T) {
	p := startMultiTenant(t)
	const writers, pushes, large = 4, 60, 3000
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	client := &http.Client{Transport: withTenant("tail")}
	push := func(writer, n int) int {
		size := 20
		if n%20 == 10 {
			size = large
		}
		s := wire.PushStream{Labels: fmt.Sprintf(`{app="load", writer="%d"}`, writer)}
		for i := range size {
			s.Entries = append(s.Entries, wire.PushEntry{Timestamp: time.Now().UnixNano(), Line: fmt.Appendf(nil, "%d/%d/%d %s", writer, n, i, strings.Repeat("x", 100))})
		}
		if err := pushProto(ctx, client, p.URL, []wire.PushStream{s}); err != nil {
			t.Errorf("cannot push: %v", err)
		}
		return size
	}
	var mu sync.Mutex
	sent, opened := 0, make(chan struct{})
	var wg sync.WaitGroup
	for writer := range writers {
		wg.Go(func() {
			for n := range pushes {
				size := push(writer, n)
				mu.Lock()
				sent += size
				mu.Unlock()
				if n == 2 && writer == 0 {
					close(opened) // the tail is opened while all others write
				}
			}
		})
	}
	<-opened
	start := strconv.FormatInt(time.Now().Add(-time.Minute).UnixNano(), 10)
	conn := dialTail(ctx, t, p, "tail", url.Values{"query": {`{app="load"}`}, "start": {start}, "limit": {"5000"}})
	defer conn.CloseNow()
	written := make(chan struct{})
	go func() { wg.Wait(); close(written) }()

	seen := map[string]int{}
	for {
		select {
		case <-written:
			mu.Lock()
			done := len(seen) >= sent
			mu.Unlock()
			if done {
				require.NoError(t, conn.Close(websocket.StatusNormalClosure, ""))
				for line, n := range seen {
					require.Equal(t, 1, n, "%.20s was sent %d times", line, n)
				}
				require.Len(t, seen, sent)
				return
			}
		default:
		}
		_, text, err := conn.Read(ctx)
		require.NoError(t, err, "%d lines of %d", len(seen), sent)
		var frame tailFrameJSON
		require.NoError(t, json.Unmarshal(text, &frame))
		require.Empty(t, frame.Dropped)
		for _, s := range frame.Streams {
			for _, v := range s.Values {
				seen[v[1]]++
			}
		}
	}
}
