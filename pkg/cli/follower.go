package cli

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"logstore/pkg/client"
)

const (
	// rememberFor is how far behind the newest line a line may be that came in during a break and is still found.
	rememberFor = 5 * time.Minute
	// rememberMost bounds how many lines are remembered; beyond it the time is shortened.
	rememberMost = 100_000
	// firstPause and longestPause are between attempts to come back; a tail that held for steadyAfter begins anew.
	firstPause   = 200 * time.Millisecond
	longestPause = 15 * time.Second
	steadyAfter  = 10 * time.Second
	// settle is how long a new tail has to send its first frame before what was missed is asked for.
	settle = 500 * time.Millisecond
	// waitingFrames is how many frames may wait while lines are written or asked for.
	waitingFrames = 4096
	// ahead is how far in the future lines may be that are asked for: clocks differ.
	ahead = time.Hour
)

// frames is an open tail.
type frames interface {
	Next(ctx context.Context) (*client.Frame, error)
	Close()
}

// follower keeps a tail open and shows each line once. Two sources bring lines: tails, each from some instant on, and queries for
// what was missed. Either brings an entry once; so an entry is new when a source has brought it more often than it was shown.
type follower struct {
	dial  func(context.Context, client.TailRequest) (frames, error)
	fetch func(ctx context.Context, r client.Range, emit func([]client.Entry) error) error
	show  func([]client.Entry) error
	note  func(format string, args ...any)
	// request is the first one; later ones begin where the remembered lines begin.
	request client.TailRequest

	shown   map[entryKey]int // what was shown, from horizon on
	tail    map[entryKey]int // what the current tail brought, from horizon on
	newest  int64
	horizon int64
	// floor is the instant before which lines were left out on purpose, since only so many of the past were asked for.
	floor   int64
	past    int
	started bool
	// settled is set when a tail brought something, or lasted: from then on lines may be missed.
	settled bool
	// longest is how far back a tail may begin, most how many lines of the past it may ask for; 0: it is not known.
	longest time.Duration
	most    int
}

// run returns when the tail cannot go on.
func (f *follower) run(ctx context.Context) error {
	f.shown, f.floor = map[entryKey]int{}, f.request.Start.UnixNano()
	f.horizon = f.floor
	pause := firstPause
	for {
		began := time.Now()
		err := f.session(ctx)
		if time.Since(began) > steadyAfter {
			pause, f.settled = firstPause, true
		}
		if f.adapt(err) {
			continue
		}
		if ctx.Err() != nil || f.final(err, time.Since(began)) {
			return err
		}
		if !isDurationLimit(err) {
			f.note("%v; coming back in %s", err, pause)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		pause = min(2*pause, longestPause)
	}
}

// final tells whether it is no use to come back.
func (f *follower) final(err error, lasted time.Duration) bool {
	var refused *client.StatusError
	var ended *client.TailEnded
	switch {
	case errors.As(err, &refused) && refused.Status/100 == 4:
		return !f.started || refused.Status != http.StatusTooManyRequests && refused.Status != http.StatusRequestTimeout
	case errors.As(err, &ended):
		// What is wrong with the query, and limits, are told right behind the opening.
		return f.newest == 0 && lasted < 5*time.Second
	}
	return !f.started || errors.Is(err, errShow)
}

// adapt learns a limit of the store from its refusal, and tells whether it did.
func (f *follower) adapt(err error) bool {
	if d, ok := client.LengthLimit(err); ok && (f.longest == 0 || d < f.longest) {
		f.longest = d
		return true
	}
	if n, ok := client.EntriesLimit(err); ok && (f.most == 0 || n < f.most) {
		f.most = n
		return true
	}
	return false
}

// errShow is wrapped by failures to write, which coming back does not heal.
var errShow = errors.New("cannot write")

// session opens a tail and shows its lines until it breaks.
func (f *follower) session(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, again := f.request, f.settled
	if again {
		r.Start, r.Limit = time.Unix(0, f.resume()), defaultBatch
	}
	if f.most > 0 {
		r.Limit = min(r.Limit, f.most)
	}
	if earliest := time.Now().Add(time.Second - f.longest); f.longest > 0 && r.Start.Before(earliest) {
		r.Start = earliest
	}
	t, err := f.dial(ctx, r)
	if err != nil {
		return err
	}
	defer t.Close()
	f.started, f.tail = true, map[entryKey]int{}
	in := make(chan *client.Frame, waitingFrames)
	broke := make(chan error, 1)
	go func() {
		defer close(in)
		for {
			frame, err := t.Next(ctx)
			if err != nil {
				broke <- err
				return
			}
			select {
			case in <- frame:
			case <-ctx.Done():
				broke <- ctx.Err()
				return
			}
		}
	}()
	if again {
		if err := f.catchUp(ctx, in); err != nil {
			return err
		}
	}
	for frame := range in {
		if err := f.frame(ctx, frame); err != nil {
			return err
		}
	}
	return <-broke
}

// resume returns from when on lines may have been missed.
func (f *follower) resume() int64 {
	if f.newest == 0 {
		return f.horizon
	}
	return max(f.horizon, f.newest-int64(rememberFor))
}

// catchUp asks for what was missed, when the new tail is surely open: what comes later, it brings.
func (f *follower) catchUp(ctx context.Context, in <-chan *client.Frame) error {
	var first *client.Frame
	select {
	case first = <-in: // nil if the tail broke
	case <-time.After(settle):
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := f.query(ctx, f.resume()); err != nil || first == nil {
		return err
	}
	return f.frame(ctx, first)
}

// query shows what the store has from an instant on and was not shown yet.
func (f *follower) query(ctx context.Context, from int64) error {
	brought := map[entryKey]int{}
	r := client.Range{Query: f.request.Query, Start: time.Unix(0, from), End: time.Now().Add(ahead), Direction: client.Forward}
	return f.fetch(ctx, r, func(page []client.Entry) error { return f.take(page, brought) })
}

func (f *follower) frame(ctx context.Context, frame *client.Frame) error {
	entries, err := frame.Entries()
	if err != nil {
		return err
	}
	slices.SortStableFunc(entries, func(a, b client.Entry) int { return cmp.Compare(a.Timestamp, b.Timestamp) })
	limit := f.request.Limit
	if f.most > 0 {
		limit = min(limit, f.most)
	}
	if f.past < limit && len(entries) > 0 {
		if f.past == 0 {
			f.floor = entries[0].Timestamp
		}
		if f.past += len(entries); f.past >= limit {
			f.horizon = max(f.horizon, f.floor)
		}
	}
	f.settled = true
	if err := f.take(entries, f.tail); err != nil {
		return err
	}
	return f.dropped(ctx, frame.Dropped)
}

// dropped asks for lines that the store left out since frames were read too slowly.
func (f *follower) dropped(ctx context.Context, list []client.Dropped) error {
	if len(list) == 0 {
		return nil
	}
	oldest := f.newest
	for _, d := range list {
		if at, err := strconv.ParseInt(d.Timestamp, 10, 64); err == nil {
			oldest = min(oldest, at)
		}
	}
	f.note("the store left out %d lines, since more came than could be shown in time: asking for them", len(list))
	return f.query(ctx, max(oldest, f.horizon))
}

// take shows the entries that are new. brought counts what their source brought.
func (f *follower) take(entries []client.Entry, brought map[entryKey]int) error {
	fresh := entries[:0:0]
	for _, e := range entries {
		if e.Timestamp < f.horizon {
			fresh = append(fresh, e) // too old to be remembered; what was missed is not asked for from there either
			continue
		}
		k := keyOf(e)
		if brought[k]++; brought[k] <= f.shown[k] {
			continue
		}
		f.shown[k]++
		fresh = append(fresh, e)
		f.newest = max(f.newest, e.Timestamp)
	}
	if err := f.show(fresh); err != nil {
		return errors.Join(errShow, err)
	}
	f.forget()
	return nil
}

// forget drops what is far behind the newest line, when enough has come together.
func (f *follower) forget() {
	if len(f.shown) <= rememberMost {
		return
	}
	times := make([]int64, 0, len(f.shown))
	for k := range f.shown {
		times = append(times, k.at)
	}
	slices.Sort(times)
	f.horizon = max(f.horizon, f.newest-int64(rememberFor), times[len(times)/2])
	for _, m := range []map[entryKey]int{f.shown, f.tail} {
		for k := range m {
			if k.at < f.horizon {
				delete(m, k)
			}
		}
	}
}

// isDurationLimit tells whether a store ended a tail since it lasted long enough.
func isDurationLimit(err error) bool {
	var ended *client.TailEnded
	return errors.As(err, &ended) && strings.Contains(ended.Reason, "max duration")
}
