package integration

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"
)

// dialStore opens a bare connection to a store.
func dialStore(t testing.TB, p *Process) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(p.URL, "http://"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// ended wants the store to end a connection in time and returns what it said before.
func ended(t testing.TB, c net.Conn) string {
	t.Helper()
	require.NoError(t, c.SetReadDeadline(time.Now().Add(30*time.Second)))
	text, err := io.ReadAll(c)
	var timeout net.Error
	require.False(t, errors.As(err, &timeout) && timeout.Timeout(), "the connection is still open")
	return string(text)
}

// TestBadClients sends what a careless or hostile client does: each must cost the store little and end in time, and others must be served.
func TestBadClients(t *testing.T) {
	t.Parallel()
	p := NewProcess(t, t.TempDir(), "-server.http-read-header-timeout=1s", "-server.http-read-timeout=2s", "-server.http-write-timeout=3s",
		"-server.http-idle-timeout=2s", "-frontend.max-body-size=64KB", "-distributor.max-recv-msg-size=64KB",
		"-distributor.ingestion-rate-limit-mb=1000", "-distributor.ingestion-burst-size-mb=1000", "-ingester.per-stream-rate-limit=1GB", "-ingester.per-stream-rate-limit-burst=1GB")
	p.Start()
	const slow = "POST /loki/api/v1/push HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"

	t.Run("headers that never end", func(t *testing.T) {
		t.Parallel()
		c := dialStore(t, p)
		_, err := c.Write([]byte("GET /ready HTTP/1.1\r\nHost: x\r\nX: "))
		require.NoError(t, err)
		go trickle(c, "a")
		ended(t, c)
	})
	t.Run("a body that never ends", func(t *testing.T) {
		t.Parallel()
		c := dialStore(t, p)
		_, err := c.Write([]byte(slow))
		require.NoError(t, err)
		go trickle(c, " ")
		require.NotContains(t, ended(t, c), " 204 ")
	})
	t.Run("a connection that says nothing more", func(t *testing.T) {
		t.Parallel()
		c := dialStore(t, p)
		_, err := c.Write([]byte("GET /ready HTTP/1.1\r\nHost: x\r\n\r\n"))
		require.NoError(t, err)
		require.Contains(t, ended(t, c), " 200 ")
	})
	t.Run("large headers", func(t *testing.T) {
		t.Parallel()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL+"/ready", nil)
		require.NoError(t, err)
		req.Header.Set("X-Large", strings.Repeat("x", 2<<20))
		status, _ := do(t, &http.Client{Transport: &http.Transport{}}, req)
		require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, status)
	})
	t.Run("large bodies", func(t *testing.T) {
		t.Parallel()
		status, text := asked(t, http.DefaultClient, "POST", p.URL+"/loki/api/v1/push", "", "", onePush(strings.Repeat("x", 70<<10)))
		require.Equal(t, http.StatusRequestEntityTooLarge, status, text)
		form := url.Values{"query": {`{app="` + strings.Repeat("x", 70<<10) + `"}`}}.Encode()
		resp, err := http.Post(p.URL+"/loki/api/v1/query_range", "application/x-www-form-urlencoded", strings.NewReader(form))
		require.NoError(t, err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, http.StatusBadRequest, resp.StatusCode)
		require.Contains(t, string(body), "too large")
	})
	t.Run("a reader that does not read", func(t *testing.T) { t.Parallel(); testSlowReader(t, p) })
	t.Run("a tail that talks", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		conn := dialTail(ctx, t, p, "", url.Values{"query": {`{app="x"}`}})
		require.NoError(t, conn.Write(ctx, websocket.MessageText, []byte("hello")))
		_, _, err := conn.Read(ctx)
		require.Equal(t, websocket.StatusPolicyViolation, websocket.CloseStatus(err), "%v", err)
	})
	t.Cleanup(func() {
		require.Eventually(t, func() bool { return p.Metric("loki_inflight_requests") == 1 }, 30*time.Second, 50*time.Millisecond, "requests are left")
		require.Zero(t, p.Metric("loki_panic_total"))
		require.NoError(t, p.Stop())
	})
}

// trickle writes a byte now and then until the connection ends.
func trickle(c net.Conn, b string) {
	for {
		if _, err := c.Write([]byte(b)); err != nil {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// testSlowReader asks for more than the buffers between take, reads the first line and no more: the store ends the answer.
func testSlowReader(t *testing.T, p *Process) {
	for i := range 400 {
		status, text := asked(t, http.DefaultClient, "POST", p.URL+"/loki/api/v1/push", "", "",
			fmt.Sprintf(`{"streams":[{"stream":{"app":"large"},"values":[["%d","%s"]]}]}`, time.Now().UnixNano(), strings.Repeat(fmt.Sprint(i%10), 60<<10)))
		require.Equal(t, 204, status, text)
	}
	c := dialStore(t, p)
	_, err := c.Write([]byte("GET /loki/api/v1/query_range?limit=5000&query=%7Bapp%3D%22large%22%7D HTTP/1.1\r\nHost: x\r\n\r\n"))
	require.NoError(t, err)
	line, err := bufio.NewReaderSize(c, 16).ReadString('\n')
	require.NoError(t, err)
	require.Contains(t, line, "200")
	require.Eventually(t, func() bool {
		return p.Metric("loki_request_duration_seconds_count", `route="loki_api_v1_query_range"`, `status_code="200"`) == 1
	}, 30*time.Second, 50*time.Millisecond, "the query is still being answered")
	size, err := io.Copy(io.Discard, c)
	require.Error(t, errors.Join(err, func() error {
		if size < 20<<20 {
			return errors.New("cut off")
		}
		return nil
	}()), "all of the answer came, %d bytes", size)
}

// TestConnectionLimit lets no more connections in than configured, and the next when one ends.
func TestConnectionLimit(t *testing.T) {
	t.Parallel()
	const limit = 5
	p := NewProcess(t, t.TempDir(), fmt.Sprintf("-server.http-conn-limit=%d", limit))
	p.Start()
	http.DefaultClient.CloseIdleConnections()
	var held []net.Conn
	answered := func(c net.Conn, wait time.Duration) bool {
		require.NoError(t, c.SetReadDeadline(time.Now().Add(wait)))
		n, _ := c.Read(make([]byte, 1024))
		return n > 0
	}
	ask := func() net.Conn {
		c := dialStore(t, p)
		_, err := c.Write([]byte("GET /ready HTTP/1.1\r\nHost: x\r\n\r\n"))
		require.NoError(t, err)
		return c
	}
	for range limit {
		c := ask()
		require.True(t, answered(c, 30*time.Second))
		held = append(held, c)
	}
	waiting := ask()
	require.False(t, answered(waiting, 500*time.Millisecond))
	require.NoError(t, held[0].Close())
	require.True(t, answered(waiting, 30*time.Second))
}
