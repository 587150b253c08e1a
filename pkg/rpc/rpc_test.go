package rpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"logstore/pkg/tenant"
	"logstore/pkg/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// eventually is how long a busy machine may take, tick how often it is looked at.
const (
	eventually = 20 * time.Second
	tick       = 10 * time.Millisecond
)

var discard = slog.New(slog.DiscardHandler)

// member is a server of a test with its address.
type member struct {
	*Server
	addr string
	stop func()
}

func startMember(t *testing.T, cfg Config) *member {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return serveMember(t, cfg, l)
}

func serveMember(t *testing.T, cfg Config, l net.Listener) *member {
	t.Helper()
	s, err := NewServer(cfg, prometheus.NewRegistry(), discard)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	m := &member{Server: s, addr: l.Addr().String()}
	m.stop = func() {
		if cancel != nil {
			cancel()
			require.NoError(t, <-done)
			cancel = nil
		}
	}
	t.Cleanup(m.stop)
	return m
}

func startPool(t *testing.T, cfg Config, self *member) *Pool {
	t.Helper()
	addr, local := "", (*Server)(nil)
	if self != nil {
		addr, local = self.addr, self.Server
	}
	p, err := NewPool(cfg, addr, local, prometheus.NewRegistry(), discard)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- p.Run(ctx, func() []string {
			var all []string
			for _, m := range p.all() {
				all = append(all, m.addr)
			}
			return all
		})
	}()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	return p
}

func testConfig() Config {
	cfg := DefaultConfig
	cfg.Server.Grace = 100 * time.Millisecond
	cfg.Client.PingPeriod = 20 * time.Millisecond
	return cfg
}

var errRegistered = errors.New("something known")

func handlers(s *Server) {
	s.Handle("echo", func(ctx context.Context, req []byte) ([]byte, error) { return req, nil })
	s.Handle("who", func(ctx context.Context, _ []byte) ([]byte, error) {
		id, err := tenant.Raw(ctx)
		if err != nil {
			return nil, fmt.Errorf("cannot tell: %w", err)
		}
		deadline, ok := ctx.Deadline()
		return fmt.Appendf(nil, "%s %v %v", id, ok, time.Until(deadline) > 30*time.Second), nil
	})
	s.Handle("fail", func(context.Context, []byte) ([]byte, error) {
		return nil, fmt.Errorf("broken: %w: %w", errRegistered, wire.ErrUnavailable)
	})
	s.HandleStream("twice", func(_ context.Context, req []byte, send func([]byte) error) error {
		for range 2 {
			if err := send(req); err != nil {
				return err
			}
		}
		return nil
	})
}

// TestCalls makes the same calls of another member and of the own one.
func TestCalls(t *testing.T) {
	RegisterError("test", errRegistered)
	a, b := startMember(t, testConfig()), startMember(t, testConfig())
	handlers(a.Server)
	handlers(b.Server)
	p := startPool(t, testConfig(), a)
	for _, addr := range []string{a.addr, b.addr} {
		t.Run(fmt.Sprint("own=", addr == a.addr), func(t *testing.T) {
			for _, size := range []int{0, 1, maxFrame - 64, maxFrame, 20<<20 + 7} {
				req := make([]byte, size)
				for i := range req {
					req[i] = byte(rand.Uint32())
				}
				got, err := p.Call(t.Context(), addr, "echo", req)
				require.NoError(t, err)
				require.True(t, bytes.Equal(req, got), "of %d bytes", size)
				s, err := p.Stream(t.Context(), addr, "twice", req)
				require.NoError(t, err)
				for range 2 {
					got, err := s.Next()
					require.NoError(t, err)
					require.True(t, bytes.Equal(req, got), "of %d bytes", size)
				}
				_, err = s.Next()
				require.ErrorIs(t, err, io.EOF)
				s.Close()
			}
			ctx, cancel := context.WithTimeout(tenant.Inject(t.Context(), "acme|b"), time.Minute)
			defer cancel()
			got, err := p.Call(ctx, addr, "who", nil)
			require.NoError(t, err)
			require.Equal(t, "acme|b true true", string(got))
			_, err = p.Call(t.Context(), addr, "who", nil)
			require.ErrorIs(t, err, tenant.ErrNoOrgID)
			_, err = p.Call(t.Context(), addr, "fail", nil)
			require.ErrorIs(t, err, errRegistered)
			require.ErrorIs(t, err, wire.ErrUnavailable)
			require.NotErrorIs(t, err, ErrUnreachable)
			require.ErrorContains(t, err, "broken: something known")
			_, err = p.Call(t.Context(), addr, "nothing", nil)
			require.ErrorIs(t, err, ErrUnknown)
			require.Equal(t, Good, p.Standing(addr))
		})
	}
}

func TestSlowReaderHoldsSenderBack(t *testing.T) {
	m := startMember(t, testConfig())
	var sent atomic.Int64
	ended := make(chan error, 1)
	m.HandleStream("flood", func(ctx context.Context, _ []byte, send func([]byte) error) error {
		for {
			if err := send(make([]byte, 1<<20)); err != nil {
				ended <- err
				return err
			}
			sent.Add(1)
		}
	})
	p := startPool(t, testConfig(), nil)
	s, err := p.Stream(t.Context(), m.addr, "flood", nil)
	require.NoError(t, err)
	_, err = s.Next()
	require.NoError(t, err)
	time.Sleep(300 * time.Millisecond)
	require.Less(t, sent.Load(), int64(20))
	s.Close()
	require.Error(t, <-ended)
}

func TestUnreachable(t *testing.T) {
	m := startMember(t, testConfig())
	handlers(m.Server)
	p := startPool(t, testConfig(), nil)
	_, err := p.Call(t.Context(), m.addr, "echo", nil)
	require.NoError(t, err)
	m.stop()
	_, err = p.Call(t.Context(), m.addr, "echo", nil)
	require.ErrorIs(t, err, ErrUnreachable)
	require.Equal(t, Down, p.Standing(m.addr))
	l, err := net.Listen("tcp", m.addr)
	require.NoError(t, err)
	handlers(serveMember(t, testConfig(), l).Server)
	require.Eventually(t, func() bool {
		_, err = p.Call(t.Context(), m.addr, "echo", nil)
		return err == nil && p.Standing(m.addr) == Good
	}, 20*time.Second, 10*time.Millisecond)
}

func TestSlowMemberComesBack(t *testing.T) {
	m := startMember(t, testConfig())
	p := startPool(t, testConfig(), nil)
	require.Equal(t, Good, p.Standing(m.addr))
	p.Late(m.addr)
	require.Equal(t, Slow, p.Standing(m.addr))
	require.Eventually(t, func() bool { return p.Standing(m.addr) == Good }, 20*time.Second, 10*time.Millisecond)
}

// TestPatience grows with the bytes of a push and with what the last pushes took, up to a second.
func TestPatience(t *testing.T) {
	m := startMember(t, testConfig())
	p := startPool(t, testConfig(), nil)
	require.Equal(t, maxPatience, p.Patience(m.addr, 100), "nothing is known")
	peer, err := p.peer(m.addr)
	require.NoError(t, err)
	for range 100 {
		peer.took(2 * time.Millisecond)
	}
	require.Equal(t, minPatience, p.Patience(m.addr, 0))
	require.Equal(t, minPatience+125*time.Millisecond, p.Patience(m.addr, 512<<10))
	require.Equal(t, maxPatience, p.Patience(m.addr, 64<<20))
	for range 100 {
		peer.took(400 * time.Millisecond)
	}
	require.InDelta(t, 400*time.Millisecond, p.Patience(m.addr, 512<<10), float64(50*time.Millisecond))
}

// TestSilentMember has a member that takes connections and never answers.
func TestSilentMember(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	cfg := testConfig()
	cfg.Client.PingTimeout = 50 * time.Millisecond
	p := startPool(t, cfg, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = p.Call(ctx, l.Addr().String(), "echo", nil)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Eventually(t, func() bool { return p.Standing(l.Addr().String()) == Down }, 20*time.Second, 10*time.Millisecond)
}

// TestAnswers asks a member that is down again: it does not wait for the next ping, and not long for one that is not back.
func TestAnswers(t *testing.T) {
	cfg := testConfig()
	cfg.Client.PingPeriod = time.Hour
	m := startMember(t, cfg)
	handlers(m.Server)
	p := startPool(t, cfg, nil)
	require.True(t, p.Answers(t.Context(), m.addr), "nothing is known against it")
	_, err := p.Call(t.Context(), m.addr, "echo", nil)
	require.NoError(t, err)
	m.stop()
	_, err = p.Call(t.Context(), m.addr, "echo", nil)
	require.ErrorIs(t, err, ErrUnreachable)
	require.False(t, p.Answers(t.Context(), m.addr))
	l, err := net.Listen("tcp", m.addr)
	require.NoError(t, err)
	handlers(serveMember(t, cfg, l).Server)
	require.Eventually(t, func() bool { return p.Answers(t.Context(), m.addr) }, eventually, tick)
	require.Equal(t, Good, p.Standing(m.addr))
	_, err = p.Call(t.Context(), m.addr, "echo", nil)
	require.NoError(t, err)
}

func TestOtherCluster(t *testing.T) {
	cfg := testConfig()
	cfg.Cluster = "blue"
	m := startMember(t, cfg)
	handlers(m.Server)
	_, err := startPool(t, cfg, nil).Call(t.Context(), m.addr, "echo", nil)
	require.NoError(t, err)
	_, err = startPool(t, testConfig(), nil).Call(t.Context(), m.addr, "echo", nil)
	require.ErrorIs(t, err, ErrCluster)
}

// TestSecret refuses calls, and pings, of who does not know the secret; who wants none takes them from all.
func TestSecret(t *testing.T) {
	cfg, wrong := testConfig(), testConfig()
	cfg.Secret, wrong.Secret = "s3cret", "s3cre"
	m, open := startMember(t, cfg), startMember(t, testConfig())
	handlers(m.Server)
	handlers(open.Server)
	_, err := startPool(t, cfg, nil).Call(t.Context(), m.addr, "echo", nil)
	require.NoError(t, err)
	for _, other := range []Config{testConfig(), wrong} {
		_, err = startPool(t, other, nil).Call(t.Context(), m.addr, "echo", nil)
		require.ErrorIs(t, err, ErrSecret)
		require.NotContains(t, err.Error(), "s3cret")
	}
	_, err = startPool(t, cfg, nil).Call(t.Context(), open.addr, "echo", nil)
	require.NoError(t, err)
}

func TestKeepClosesOthers(t *testing.T) {
	a, b := startMember(t, testConfig()), startMember(t, testConfig())
	handlers(a.Server)
	handlers(b.Server)
	p := startPool(t, testConfig(), nil)
	for _, m := range []*member{a, b} {
		_, err := p.Call(t.Context(), m.addr, "echo", nil)
		require.NoError(t, err)
	}
	require.Len(t, p.all(), 2)
	p.Keep([]string{b.addr})
	require.Len(t, p.all(), 1)
	_, err := p.Call(t.Context(), b.addr, "echo", nil)
	require.NoError(t, err)
}

func TestMessageLimit(t *testing.T) {
	m := startMember(t, testConfig())
	handlers(m.Server)
	cfg := testConfig()
	cfg.MaxMessage = 3 << 20
	_, err := startPool(t, cfg, nil).Call(t.Context(), m.addr, "echo", make([]byte, 4<<20))
	require.ErrorContains(t, err, "more than")
}
