package store

import (
	"context"
	"fmt"
	"sync"
	"time"

	"logstore/pkg/model"
	"logstore/pkg/objstore"
)

// listings remember which chunks of a stream have sidecars. A stream is listed once two of its sidecars were missing, so that a stream
// of small chunks costs a few requests instead of one for each chunk.
type listings struct {
	now func() time.Time

	mu       sync.Mutex
	byStream map[streamKey]*listing
}

type streamKey struct {
	tenant      string
	fingerprint uint64
}

// listing is what is known of a stream's sidecars. A zero time says that nobody has listed them yet.
type listing struct {
	misses int
	at     time.Time
	has    map[model.ChunkRef]struct{}
}

const (
	// missesBefore is how many sidecars of a stream are missing before it is listed.
	missesBefore = 2
	// maxListings bounds the streams that are remembered, maxListed the sidecars of one.
	maxListings, maxListed = 10_000, 10_000
)

func streamOf(ref model.ChunkRef) streamKey { return streamKey{ref.Tenant, ref.Fingerprint} }

// lacks reports whether a chunk is known to have no sidecar.
func (l *listings) lacks(ref model.ChunkRef) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.byStream[streamOf(ref)]
	if s == nil || s.has == nil || l.now().Sub(s.at) > negativeFor {
		return false
	}
	_, ok := s.has[ref]
	return !ok
}

// missed notes that a sidecar was not there and reports whether the stream is now to be listed by the caller.
func (l *listings) missed(ref model.ChunkRef) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := streamOf(ref)
	s := l.byStream[key]
	if s == nil || !s.at.IsZero() && l.now().Sub(s.at) > negativeFor {
		if len(l.byStream) >= maxListings {
			clear(l.byStream)
		}
		s = &listing{}
		l.byStream[key] = s
	}
	s.misses++
	if s.misses < missesBefore || !s.at.IsZero() {
		return false
	}
	s.at = l.now()
	return true
}

// add notes a sidecar that was just written.
func (l *listings) add(ref model.ChunkRef) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.byStream[streamOf(ref)]; s != nil && s.has != nil {
		s.has[ref] = struct{}{}
	}
}

// listStream lists the sidecars of a chunk's stream. If that fails, or there are very many, nothing is remembered.
func (s *Store) listStream(ctx context.Context, bucket objstore.Bucket, ref model.ChunkRef) {
	prefix := fmt.Sprintf("%s%s/%x/", SidecarPrefix, ref.Tenant, ref.Fingerprint)
	has := map[model.ChunkRef]struct{}{}
	err := bucket.List(ctx, prefix, func(o objstore.ObjectInfo) error {
		if len(has) >= maxListed {
			return errTooMany
		}
		if r, ok := ParseSidecarKey(o.Key); ok {
			has[r] = struct{}{}
		}
		return nil
	})
	s.metrics.sidecarLists.Inc()
	if err != nil {
		return
	}
	l := &s.sidecars.listings
	l.mu.Lock()
	defer l.mu.Unlock()
	if known := l.byStream[streamOf(ref)]; known != nil {
		known.at, known.has = l.now(), has
	}
}

var errTooMany = fmt.Errorf("more than %d sidecars", maxListed)
