package rpc

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"logstore/pkg/tenant"
	"logstore/pkg/wire"
)

// onePush is a message of one stream.
func onePush(n int) []byte {
	lbls := labels.FromStrings("n", fmt.Sprint(n))
	return EncodePush([]*wire.Stream{{
		Labels: lbls, Text: lbls.String(), Hash: labels.StableHash(lbls), Entries: []wire.PushEntry{{Timestamp: int64(n), Line: []byte("line")}},
	}})
}

// outcomes gathers what becomes of pushes.
type outcomes struct {
	mu   sync.Mutex
	errs map[int]error
}

func (o *outcomes) send(p *Pool, member, id string, n int, message []byte, timeout time.Duration) {
	p.Send(context.Background(), member, id, message, timeout, func(err error) {
		o.mu.Lock()
		defer o.mu.Unlock()
		if _, twice := o.errs[n]; twice {
			panic("told twice")
		}
		o.errs[n] = err
	})
}

func (o *outcomes) wait(t *testing.T, n int) map[int]error {
	t.Helper()
	require.Eventually(t, func() bool {
		o.mu.Lock()
		defer o.mu.Unlock()
		return len(o.errs) == n
	}, eventually, tick)
	return o.errs
}

// TestBatches has pushes wait while a member is busy: they come together, those of a tenant in one call, and each gets its own answer.
func TestBatches(t *testing.T) {
	m := startMember(t, testConfig())
	first, release := make(chan struct{}), make(chan struct{})
	var mu sync.Mutex
	var calls []string
	m.HandlePush(func(ctx context.Context, id string, streams []wire.Stream) error {
		mu.Lock()
		calls = append(calls, fmt.Sprint(id, " ", len(streams)))
		begin := len(calls) == 1
		mu.Unlock()
		if begin {
			close(first)
			<-release
		}
		if id == "bad" {
			return fmt.Errorf("%w: for a reason", wire.ErrUnavailable)
		}
		if len(streams) == 10 {
			return &wire.RefusedError{Refusals: []wire.Refusal{{Stream: 7, Kind: wire.StreamLimit, Entries: 1, Total: 1}}}
		}
		return nil
	})
	p := startPool(t, testConfig(), nil)
	o := &outcomes{errs: map[int]error{}}
	o.send(p, m.addr, "acme", 0, onePush(0), time.Minute)
	<-first
	for n := 1; n <= 10; n++ {
		o.send(p, m.addr, "acme", n, onePush(n), time.Minute)
	}
	o.send(p, m.addr, "bad", 11, onePush(11), time.Minute)
	o.send(p, m.addr, "acme", 12, []byte{1, 1, 2, 3}, time.Minute)
	o.send(p, m.addr, "", 13, onePush(13), time.Minute)
	close(release)
	errs := o.wait(t, 14)
	require.Equal(t, []string{"acme 1", "acme 10", "bad 1"}, calls)
	for n, err := range errs {
		var refused *wire.RefusedError
		switch n {
		case 8:
			require.ErrorAs(t, err, &refused)
			require.Equal(t, []wire.Refusal{{Stream: 0, Kind: wire.StreamLimit, Entries: 1, Total: 1}}, refused.Refusals)
		case 11:
			require.ErrorIs(t, err, wire.ErrUnavailable)
			require.ErrorContains(t, err, "for a reason")
		case 12:
			require.ErrorContains(t, err, "bad message")
		case 13:
			require.ErrorIs(t, err, tenant.ErrNoOrgID)
		default:
			require.NoError(t, err, "push %d", n)
		}
	}
}

// TestLargePushes has pushes that are larger than frames, and many at a time.
func TestLargePushes(t *testing.T) {
	m := startMember(t, testConfig())
	var mu sync.Mutex
	bytes := 0
	m.HandlePush(func(ctx context.Context, id string, streams []wire.Stream) error {
		mu.Lock()
		defer mu.Unlock()
		for i := range streams {
			for k := range streams[i].Entries {
				line := streams[i].Entries[k].Line
				if int(line[0]) != int(line[len(line)-1]) {
					return errors.New("mixed up")
				}
				bytes += len(line)
			}
		}
		return nil
	})
	p := startPool(t, testConfig(), nil)
	o := &outcomes{errs: map[int]error{}}
	lbls := labels.FromStrings("a", "b")
	want := 0
	for n := range 40 {
		line := make([]byte, 1+(n*n*1000)%3_000_000)
		for i := range line {
			line[i] = byte(n)
		}
		want += len(line)
		s := &wire.Stream{Labels: lbls, Text: lbls.String(), Hash: labels.StableHash(lbls), Entries: []wire.PushEntry{{Timestamp: 1, Line: line}}}
		o.send(p, m.addr, "acme", n, EncodePush([]*wire.Stream{s}), time.Minute)
	}
	for n, err := range o.wait(t, 40) {
		require.NoError(t, err, "push %d", n)
	}
	require.Equal(t, want, bytes)
}

// TestLineTimeout has a member that does not answer: the pushes end in time, those that were sent and those that wait.
func TestLineTimeout(t *testing.T) {
	m := startMember(t, testConfig())
	m.HandlePush(func(ctx context.Context, id string, streams []wire.Stream) error {
		<-ctx.Done()
		return ctx.Err()
	})
	p := startPool(t, testConfig(), nil)
	o := &outcomes{errs: map[int]error{}}
	begin := time.Now()
	for n := range 5 {
		o.send(p, m.addr, "acme", n, onePush(n), 100*time.Millisecond)
	}
	for _, err := range o.wait(t, 5) {
		require.ErrorIs(t, err, context.DeadlineExceeded)
	}
	require.GreaterOrEqual(t, time.Since(begin), 100*time.Millisecond)
	m2, err := p.peer(m.addr)
	require.NoError(t, err)
	require.Zero(t, m2.inflight.Load())
}

// TestLineTimeouts has pushes of different time-outs, the longest first: each ends at its own.
func TestLineTimeouts(t *testing.T) {
	m := startMember(t, testConfig())
	m.HandlePush(func(ctx context.Context, id string, streams []wire.Stream) error {
		<-ctx.Done()
		return ctx.Err()
	})
	p := startPool(t, testConfig(), nil)
	var mu sync.Mutex
	var order []int
	end := make(chan struct{}, 4)
	for n, timeout := range []time.Duration{time.Hour, 400 * time.Millisecond, 100 * time.Millisecond, 700 * time.Millisecond} {
		p.Send(context.Background(), m.addr, "acme", onePush(n), timeout, func(err error) {
			mu.Lock()
			defer mu.Unlock()
			if errors.Is(err, context.DeadlineExceeded) {
				order = append(order, n)
			}
			end <- struct{}{}
		})
	}
	for range 3 {
		<-end
	}
	mu.Lock()
	defer mu.Unlock()
	require.Equal(t, []int{2, 1, 3}, order)
}

// TestTogether has a goroutine make pushes to a member that has nothing to do, without a pause: they go in one batch.
func TestTogether(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	m := startMember(t, testConfig())
	var calls atomic.Int32
	m.HandlePush(func(context.Context, string, []wire.Stream) error {
		calls.Add(1)
		return nil
	})
	p := startPool(t, testConfig(), nil)
	require.NoError(t, p.Push(context.Background(), m.addr, "acme", onePush(0)))
	const rounds = 40
	once := 0
	for range rounds {
		before := calls.Load()
		o := &outcomes{errs: map[int]error{}}
		for n := range 5 {
			o.send(p, m.addr, "acme", n, onePush(n), time.Minute)
		}
		for _, err := range o.wait(t, 5) {
			require.NoError(t, err)
		}
		if calls.Load() == before+1 {
			once++
		}
	}
	require.Greater(t, once, rounds/2, "a goroutine is interrupted at times")
}

// TestLineEnds has a member stop in the middle of pushes: what it began is answered, the rest fails at once, and when it is back it
// gets pushes again.
func TestLineEnds(t *testing.T) {
	m := startMember(t, testConfig())
	begun, release := make(chan struct{}), make(chan struct{})
	m.HandlePush(func(ctx context.Context, id string, streams []wire.Stream) error {
		close(begun)
		<-release
		return nil
	})
	p := startPool(t, testConfig(), nil)
	o := &outcomes{errs: map[int]error{}}
	o.send(p, m.addr, "acme", 0, onePush(0), time.Minute)
	<-begun
	stopped := make(chan struct{})
	go func() {
		m.stop()
		close(stopped)
	}()
	<-m.stopping
	close(release)
	require.NoError(t, o.wait(t, 1)[0])
	o.send(p, m.addr, "acme", 1, onePush(1), time.Minute)
	require.ErrorIs(t, o.wait(t, 2)[1], ErrUnreachable)
	<-stopped
	require.Equal(t, Down, p.Standing(m.addr))
}

// FuzzBatch reads what is no batch, or one that is damaged.
func FuzzBatch(f *testing.F) {
	o := &outgoing{tenant: "acme", message: onePush(1), begin: time.Now(), timeout: time.Minute}
	var good []byte
	for _, part := range batchParts(7, []*outgoing{o, o}) {
		good = append(good, part...)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, message []byte) {
		stored := 0
		h := &lineHandler{labels: newLabelCache(), store: func(_ context.Context, _ string, streams []wire.Stream) error {
			stored += len(streams)
			return nil
		}}
		answer, err := h.apply(context.Background(), message)
		if err != nil {
			require.Zero(t, stored)
			return
		}
		d := newDecoder(answer)
		d.Uvarint()
		for len(d.B) > 0 && !d.Failed() {
			_ = readOutcome(d, "member")
		}
		require.NoError(t, d.err())
	})
}
