package compactor

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"logstore/pkg/objstore"
)

const (
	lockPrefix  = "__logstore__/compactor/lock/"
	claimPrefix = "__logstore__/compactor/claim/"
	probePrefix = "__logstore__/compactor/probe/"
)

// errLost is returned by work that must stop because another member may hold the lock.
var errLost = errors.New("the compactor's lock is no longer held")

// lock is the right to change the bucket. Its object's name has a number, the fence, that grows with each holder; the object
// is created only if there is none of that number, so that one of several who try gets it. Where the bucket has no conditional put,
// claims decide: see claim.
//
// The holder renews its object. Another member takes over when the object was not renewed for its time and half of it again,
// the half being for clocks that differ. A member that was killed takes its own lock back at once.
type lock struct {
	bucket objstore.Bucket
	id     string
	// nonce tells the processes of one id apart.
	nonce string
	ttl   time.Duration
	// settle is how long a claim waits for others.
	settle time.Duration
	now    func() time.Time
	logger *slog.Logger

	// conditional is 1 if the bucket has conditional puts, -1 if not, 0 if that is not known yet.
	conditional int

	mu    sync.Mutex
	fence uint64
	// until is when the lock ends on the own clock; zero if it is not held.
	until time.Time
}

// holding is the content of a lock's object.
type holding struct {
	Holder string `json:"holder"`
	Nonce  string `json:"nonce"`
	// Expires is in milliseconds.
	Expires int64 `json:"expires"`
	// TTL is in milliseconds.
	TTL int64 `json:"ttl"`
}

func lockKey(fence uint64) string { return fmt.Sprintf("%s%016x", lockPrefix, fence) }

// mine returns errLost unless the lock is held.
func (l *lock) mine() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.until.IsZero() || !l.now().Before(l.until) {
		return errLost
	}
	return nil
}

// acquire takes or renews the lock and reports whether it is held now.
func (l *lock) acquire(ctx context.Context) (bool, error) {
	newest, fence, err := l.newest(ctx)
	if err != nil {
		return false, fmt.Errorf("cannot read the compactor's lock: %w", err)
	}
	l.mu.Lock()
	held := l.fence
	l.mu.Unlock()
	begun := l.now()
	switch {
	case newest != nil && held == fence && newest.Nonce == l.nonce && l.mine() == nil:
		err = l.bucket.Put(ctx, lockKey(fence), l.body(begun))
	case newest != nil && newest.Holder != l.id && begun.UnixMilli() < newest.Expires+newest.TTL/2:
		l.lose()
		return false, nil
	default:
		l.lose()
		fence++
		var won bool
		if won, err = l.create(ctx, fence, l.body(begun)); err == nil && !won {
			return false, nil
		}
	}
	if err != nil {
		return false, fmt.Errorf("cannot take the compactor's lock: %w", err)
	}
	l.mu.Lock()
	l.fence, l.until = fence, begun.Add(l.ttl)
	l.mu.Unlock()
	l.removeOlder(ctx, fence)
	return true, nil
}

func (l *lock) body(now time.Time) []byte {
	body, err := json.Marshal(holding{Holder: l.id, Nonce: l.nonce, Expires: now.Add(l.ttl).UnixMilli(), TTL: l.ttl.Milliseconds()})
	if err != nil {
		panic(fmt.Sprintf("BUG: the lock has no JSON: %v", err))
	}
	return body
}

// newest returns the object with the greatest fence, nil if there is none.
func (l *lock) newest(ctx context.Context) (*holding, uint64, error) {
	var fence uint64
	err := l.bucket.List(ctx, lockPrefix, func(o objstore.ObjectInfo) error {
		if n, err := strconv.ParseUint(strings.TrimPrefix(o.Key, lockPrefix), 16, 64); err == nil {
			fence = max(fence, n)
		}
		return nil
	})
	if err != nil || fence == 0 {
		return nil, 0, err
	}
	body, err := l.bucket.Get(ctx, lockKey(fence))
	if errors.Is(err, objstore.ErrNotFound) {
		return nil, fence, nil // Somebody removed it by hand.
	}
	if err != nil {
		return nil, 0, err
	}
	h := &holding{}
	if err := json.Unmarshal(body, h); err != nil {
		// Nobody can say whose it is: it holds as long as any.
		return nil, 0, fmt.Errorf("%s: %w", lockKey(fence), err)
	}
	return h, fence, nil
}

// create writes the object of a fence unless another member was first.
func (l *lock) create(ctx context.Context, fence uint64, body []byte) (bool, error) {
	if err := l.probe(ctx); err != nil {
		return false, err
	}
	if l.conditional < 0 {
		return l.claim(ctx, fence, body)
	}
	err := objstore.Create(ctx, l.bucket, lockKey(fence), body)
	if errors.Is(err, objstore.ErrExists) {
		// An attempt whose answer was lost may have been ours.
		got, err := l.bucket.Get(ctx, lockKey(fence))
		return err == nil && string(got) == string(body), nil
	}
	return err == nil, err
}

// probe finds out whether the bucket has conditional puts: some servers accept the header and replace the object.
func (l *lock) probe(ctx context.Context) error {
	if l.conditional != 0 {
		return nil
	}
	key := probePrefix + rand.Text()
	err := objstore.Create(ctx, l.bucket, key, []byte("1"))
	if err == nil {
		err = objstore.Create(ctx, l.bucket, key, []byte("2"))
	}
	switch {
	case errors.Is(err, objstore.ErrExists):
		l.conditional = 1
	case err == nil, errors.Is(err, objstore.ErrNoCreate):
		l.conditional = -1
		l.logger.Info("the bucket has no conditional put, claims decide who compacts", "bucket", l.bucket.Name())
	default:
		return err
	}
	return l.bucket.Delete(ctx, key)
}

// claim decides between members without a conditional put. Whoever sees a claim of another leaves it alone. Two who see none
// write theirs, wait longer than a write may take, and see both: the first by name wins. A claim that comes later sees the
// others before it is written.
func (l *lock) claim(ctx context.Context, fence uint64, body []byte) (bool, error) {
	prefix := fmt.Sprintf("%s%016x-", claimPrefix, fence)
	others, err := l.claims(ctx, prefix)
	if err != nil || len(others) > 0 {
		return false, err
	}
	key := prefix + rand.Text()
	put, cancel := context.WithTimeout(ctx, l.settle/2)
	err = l.bucket.Put(put, key, body)
	cancel()
	if err != nil {
		return false, errors.Join(err, l.bucket.Delete(ctx, key))
	}
	defer func() {
		if err := l.bucket.Delete(context.WithoutCancel(ctx), key); err != nil {
			l.logger.Warn("cannot remove a claim", "key", key, "err", err)
		}
	}()
	select {
	case <-time.After(l.settle):
	case <-ctx.Done():
		return false, ctx.Err()
	}
	all, err := l.claims(ctx, prefix)
	if err != nil || len(all) == 0 || all[0] != key {
		return false, err
	}
	return true, l.bucket.Put(ctx, lockKey(fence), body)
}

// claims returns the claims for a fence in order. Those left by a crash go.
func (l *lock) claims(ctx context.Context, prefix string) ([]string, error) {
	var fresh, stale []string
	err := l.bucket.List(ctx, prefix, func(o objstore.ObjectInfo) error {
		if l.now().Sub(o.ModTime) > 2*l.ttl {
			stale = append(stale, o.Key)
		} else {
			fresh = append(fresh, o.Key)
		}
		return nil
	})
	for _, key := range stale {
		err = errors.Join(err, l.bucket.Delete(ctx, key))
	}
	return fresh, err
}

// removeOlder removes the objects of earlier holders.
func (l *lock) removeOlder(ctx context.Context, fence uint64) {
	err := l.bucket.List(ctx, lockPrefix, func(o objstore.ObjectInfo) error {
		if o.Key < lockKey(fence) {
			return l.bucket.Delete(ctx, o.Key)
		}
		return nil
	})
	if err != nil {
		l.logger.Debug("cannot remove older locks", "err", err)
	}
}

// lose forgets the lock.
func (l *lock) lose() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until = time.Time{}
}

// release lets others take over at once. The object stays, so that fences grow.
func (l *lock) release(ctx context.Context) error {
	if l.mine() != nil {
		return nil
	}
	l.mu.Lock()
	fence := l.fence
	l.fence, l.until = 0, time.Time{}
	l.mu.Unlock()
	body, err := json.Marshal(holding{Holder: l.id, Nonce: l.nonce})
	if err == nil {
		err = l.bucket.Put(ctx, lockKey(fence), body)
	}
	return err
}

// keep renews the lock until the context ends. The context that it returns ends when the lock is lost.
func (l *lock) keep(ctx context.Context) (work context.Context, stop func()) {
	work, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(l.ttl / 4)
		defer ticker.Stop()
		for {
			select {
			case <-work.Done():
				return
			case <-ticker.C:
			}
			attempt, end := context.WithTimeout(work, l.ttl/4)
			_, err := l.acquire(attempt)
			end()
			if err != nil && work.Err() == nil {
				l.logger.Warn("cannot renew the compactor's lock", "err", err)
			}
			if l.mine() != nil {
				cancel(errLost)
				return
			}
		}
	}()
	return work, func() {
		cancel(nil)
		<-done
	}
}
