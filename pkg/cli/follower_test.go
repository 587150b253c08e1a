package cli

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"logstore/pkg/client"
)

// liveStore is a store whose tails break, drop frames of slow readers, and send at most the newest lines of the past.
type liveStore struct {
	stored []client.Entry
	tails  []*liveTail
	down   bool
}

type liveTail struct {
	frames chan *client.Frame
	broken chan struct{}
}

func (l *liveTail) Next(ctx context.Context) (*client.Frame, error) {
	select {
	case f := <-l.frames:
		return f, nil
	case <-l.broken:
		return nil, errors.New("the tail broke off")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *liveTail) Close() {}

func frameOf(entries ...client.Entry) *client.Frame {
	f := &client.Frame{}
	for _, e := range entries {
		f.Streams = append(f.Streams, client.Stream{Labels: e.Labels, Values: [][2]string{{strconv.FormatInt(e.Timestamp, 10), e.Line}}})
	}
	return f
}

func (s *liveStore) dial(_ context.Context, r client.TailRequest) (frames, error) {
	if s.down {
		return nil, errors.New("connection refused")
	}
	t := &liveTail{frames: make(chan *client.Frame, 10_000), broken: make(chan struct{})}
	var past []client.Entry
	for _, e := range s.stored {
		if e.Timestamp >= r.Start.UnixNano() {
			past = append(past, e)
		}
	}
	slices.SortStableFunc(past, func(a, b client.Entry) int { return int(a.Timestamp - b.Timestamp) })
	if past = past[max(0, len(past)-min(r.Limit, 5)):]; len(past) > 0 {
		t.frames <- frameOf(past...)
	}
	s.tails = append(s.tails, t)
	return t, nil
}

func (s *liveStore) fetch(_ context.Context, r client.Range, emit func([]client.Entry) error) error {
	var found []client.Entry
	for _, e := range s.stored {
		if e.Timestamp >= r.Start.UnixNano() && e.Timestamp < r.End.UnixNano() {
			found = append(found, e)
		}
	}
	return emit(found)
}

func (s *liveStore) push(drop bool, e client.Entry) {
	s.stored = append(s.stored, e)
	for _, t := range s.tails {
		f := frameOf(e)
		if drop {
			f = &client.Frame{Dropped: []client.Dropped{{Timestamp: strconv.FormatInt(e.Timestamp, 10)}}}
		}
		select {
		case <-t.broken:
		case t.frames <- f:
		}
	}
}

func (s *liveStore) breakTails() {
	for _, t := range s.tails {
		close(t.broken)
	}
	s.tails = nil
}

func TestFollowerShowsEachLineOnce(t *testing.T) {
	for seed := range uint64(40) {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			s := &liveStore{}
			now := func() int64 { return time.Now().UnixNano() }
			for i := range 20 { // of which only the newest are wanted
				s.push(false, client.Entry{Timestamp: now() - int64(20-i)*int64(time.Second), Line: fmt.Sprint("old ", i)})
			}
			shown := map[string]int{}
			f := &follower{
				dial: s.dial, fetch: s.fetch, note: func(string, ...any) {},
				request: client.TailRequest{Query: "{}", Start: time.Now().Add(-time.Hour), Limit: 5},
				show: func(list []client.Entry) error {
					for _, e := range list {
						shown[e.Line]++
					}
					return nil
				},
			}
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error)
			go func() { ended <- f.run(ctx) }()
			synctest.Wait()
			const lines = 400
			for i := range lines {
				switch rnd.IntN(40) {
				case 0:
					s.breakTails()
				case 1:
					s.breakTails()
					s.down = true
				case 2:
					s.down = false
				}
				// Late lines, several at one instant, some dropped for a slow reader.
				at := now() - int64(rnd.IntN(3))*int64(rnd.IntN(3))*int64(rnd.IntN(1000))*int64(time.Millisecond)
				s.push(rnd.IntN(20) == 0, client.Entry{Timestamp: at, Line: fmt.Sprint("new ", i)})
				time.Sleep(time.Duration(rnd.IntN(3)) * time.Duration(rnd.IntN(400)) * time.Millisecond)
			}
			s.down = false
			time.Sleep(time.Minute)
			synctest.Wait()
			cancel()
			<-ended
			for i := range lines {
				require.Equal(t, 1, shown[fmt.Sprint("new ", i)], "seed %d: line %d", seed, i)
			}
			for i := range 20 {
				want := 0
				if i >= 15 {
					want = 1
				}
				require.Equal(t, want, shown[fmt.Sprint("old ", i)], "old %d", i)
			}
		})
	}
}

func TestFollowerForgets(t *testing.T) {
	f := &follower{shown: map[entryKey]int{}, tail: map[entryKey]int{}, show: func([]client.Entry) error { return nil }}
	for i := range 2*rememberMost + 10 {
		require.NoError(t, f.take([]client.Entry{{Timestamp: int64(i), Line: "x"}}, f.tail))
	}
	require.LessOrEqual(t, len(f.shown), rememberMost)
	require.LessOrEqual(t, len(f.tail), rememberMost)
	require.Greater(t, f.resume(), int64(rememberMost))
}

func TestFollowerGivesUp(t *testing.T) {
	dialled := 0
	f := &follower{note: func(string, ...any) {}, dial: func(context.Context, client.TailRequest) (frames, error) {
		dialled++
		return nil, errors.New("connection refused")
	}}
	require.ErrorContains(t, f.run(t.Context()), "refused")
	require.Equal(t, 1, dialled, "a store that was never there is an error at once")
	f.started = true
	f.dial = func(context.Context, client.TailRequest) (frames, error) {
		return nil, &client.StatusError{Status: 401, Message: "no"}
	}
	require.ErrorContains(t, f.run(t.Context()), "401")
}
