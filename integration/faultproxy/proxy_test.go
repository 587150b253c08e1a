package faultproxy_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"logstore/integration/faultproxy"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// start starts a server that answers 1000 bytes, a proxy before it and a client.
func start(t *testing.T) (p *faultproxy.Proxy, get func(path string) (int, []byte, error), served *atomic.Int32) {
	t.Helper()
	served = new(atomic.Int32)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		served.Add(1)
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write(bytes.Repeat([]byte("x"), 1000))
	}))
	t.Cleanup(server.Close)
	p = faultproxy.Start(t, server.Listener.Addr().String(), 1)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 300 * time.Millisecond}
	return p, func(path string) (int, []byte, error) {
		resp, err := client.Get("http://" + p.Address + path)
		if err != nil {
			return 0, nil, err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		return resp.StatusCode, body, err
	}, served
}

func TestPass(t *testing.T) {
	p, get, _ := start(t)
	status, body, err := get("/a")
	require.NoError(t, err)
	require.Equal(t, 200, status)
	require.Len(t, body, 1000)
	all, broken := p.Requests()
	require.Equal(t, []int{1, 0}, []int{all, broken})
}

func TestFaults(t *testing.T) {
	p, get, served := start(t)
	f := func(fault faultproxy.Fault, wantServed int32, check func(status int, body []byte, err error)) {
		t.Helper()
		served.Store(0)
		p.Break(faultproxy.Rule{Count: 1, Fault: fault})
		check(get("/a"))
		require.Equal(t, wantServed, served.Load())
		_, broken := p.Requests()
		require.Equal(t, 1, broken)
		_, body, err := get("/a")
		require.NoError(t, err, "the rule is used up")
		require.Len(t, body, 1000)
		p.Heal()
	}
	f(faultproxy.SlowDown(), 0, func(status int, body []byte, err error) {
		require.NoError(t, err)
		require.Equal(t, 503, status)
		require.Contains(t, string(body), "<Code>SlowDown</Code>")
	})
	f(faultproxy.Hang(), 0, func(_ int, _ []byte, err error) {
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
	f(faultproxy.HangInBody(10), 1, func(_ int, body []byte, err error) {
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Len(t, body, 10)
	})
	f(faultproxy.Latency(50*time.Millisecond), 1, func(_ int, body []byte, err error) {
		require.NoError(t, err)
		require.Len(t, body, 1000)
	})
	f(faultproxy.Reset(), 0, func(_ int, _ []byte, err error) {
		require.ErrorIs(t, err, syscall.ECONNRESET)
	})
	f(faultproxy.LoseAnswer(), 1, func(_ int, _ []byte, err error) {
		require.ErrorIs(t, err, syscall.ECONNRESET)
	})
	f(faultproxy.Truncate(10), 1, func(_ int, body []byte, err error) {
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		require.Len(t, body, 10)
	})
	f(faultproxy.ResetInBody(10), 1, func(_ int, body []byte, err error) {
		require.ErrorIs(t, err, syscall.ECONNRESET)
		require.Len(t, body, 10)
	})
	f(faultproxy.ShortLength(10), 1, func(_ int, body []byte, err error) {
		require.NoError(t, err)
		require.Len(t, body, 990)
	})
	f(faultproxy.LongLength(10), 1, func(_ int, body []byte, err error) {
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		require.Len(t, body, 1000)
	})
	f(faultproxy.Damage(), 1, func(_ int, body []byte, err error) {
		require.NoError(t, err)
		require.Equal(t, strings.Repeat("x", 500)+"y"+strings.Repeat("x", 499), string(body))
	})
}

func TestRules(t *testing.T) {
	p, get, _ := start(t)
	p.Break(faultproxy.Rule{PathPrefix: "/a", Method: http.MethodPost, Fault: faultproxy.Reset()})
	p.Break(faultproxy.Rule{PathPrefix: "/b", Fault: faultproxy.Status(404, "NoSuchKey", "none & nothing")})
	p.Break(faultproxy.Rule{Match: func(r *http.Request) bool { return r.URL.RawQuery == "q=1" }, Fault: faultproxy.SlowDown()})
	f := func(path string, want int) {
		t.Helper()
		status, _, err := get(path)
		require.NoError(t, err)
		require.Equal(t, want, status)
	}
	f("/a", 200)
	f("/b", 404)
	f("/bcd", 404)
	f("/c?q=1", 503)
	f("/c?q=2", 200)
	p.Heal()
	f("/b", 200)
}

func TestProbabilityIsSeeded(t *testing.T) {
	run := func() (seen string) {
		p, get, _ := start(t)
		p.Break(faultproxy.Rule{Probability: 0.5, Fault: faultproxy.SlowDown()})
		for range 20 {
			status, _, err := get("/a")
			require.NoError(t, err)
			seen += fmt.Sprint(status, " ")
		}
		return seen
	}
	first := run()
	require.Contains(t, first, "200")
	require.Contains(t, first, "503")
	require.Equal(t, first, run())
}
