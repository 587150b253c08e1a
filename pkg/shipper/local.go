package shipper

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/schema"
)

// localFile is a table file that this process wrote or that an earlier run left. It becomes one object in the bucket.
type localFile struct {
	s      *Shipper
	period int
	day    int64
	table  string
	// name is the file's name: a number made of the time.
	name string
	// slot is the quarter of an hour in which the file takes rows, in unix seconds.
	slot int64
	// parts are what the file consists of on the disk.
	parts atomic.Pointer[[]*part]
	// sets are the streams written by this process; nil for a file of an earlier run, whose streams are decoded like those
	// of a fetched file.
	sets *liveSets
	// serial counts the parts that were begun. Only the writer has it.
	serial int

	// The state of the upload is guarded by localFiles.mu.
	sealed bool
	// uploaded is when the file was in the bucket, zero before.
	uploaded time.Time
	// failures and retryAt space out the attempts.
	failures int
	retryAt  time.Time
}

func newLocalFile(s *Shipper, period int, day int64, table, name string) *localFile {
	f := &localFile{s: s, period: period, day: day, table: table, name: name, sets: &liveSets{}}
	f.parts.Store(&[]*part{})
	return f
}

// object returns the name under which the file is uploaded.
func (f *localFile) object() schema.IndexFile {
	return schema.IndexFile{Name: f.s.uploader + "-" + f.name + ".gz"}
}

// seal ends the writing. Nothing is written any more when it is called.
func (f *localFile) seal() {
	f.s.local.mu.Lock()
	defer f.s.local.mu.Unlock()
	f.sealed = true
}

// publish makes the streams of a batch visible to lookups.
func (f *localFile) publish(b *batch) {
	for tenant, fresh := range b.fresh {
		if len(fresh) == 0 {
			continue
		}
		ids := make([]schema.SeriesID, 0, len(fresh))
		for id := range fresh {
			ids = append(ids, id)
		}
		slices.SortFunc(ids, func(a, b schema.SeriesID) int { return a.Compare(&b) })
		lbls := make([]labels.Labels, len(ids))
		for i, id := range ids {
			lbls[i] = fresh[id].Labels
		}
		f.sets.add(tenant, newSeriesSet(ids, lbls))
	}
}

// liveSets are the streams of a file that grows: for each tenant a few sets without common streams, the oldest and
// largest first. One writer adds to them; readers take what is there.
type liveSets struct {
	atomic.Pointer[setsByTenant]
}

type setsByTenant map[string][]*seriesSet

// Load returns the sets, which nobody changes.
func (l *liveSets) Load() setsByTenant {
	if m := l.Pointer.Load(); m != nil {
		return *m
	}
	return nil
}

// add appends a set. As in a log-structured merge, it takes in the sets before it that are not much larger, so that each
// stream is moved a logarithmic number of times and there are a logarithmic number of sets.
func (l *liveSets) add(tenant string, set *seriesSet) {
	old := l.Load()
	next := make(setsByTenant, len(old)+1)
	for t, sets := range old {
		next[t] = sets
	}
	sets := old[tenant]
	size, keep := len(set.ids), len(sets)
	for keep > 0 && len(sets[keep-1].ids) <= 2*size {
		keep--
		size += len(sets[keep].ids)
	}
	merging := append(slices.Clone(sets[keep:]), set)
	if len(merging) > 1 {
		set = mergeSets(merging...)
	}
	next[tenant] = append(slices.Clone(sets[:keep]), set)
	l.Store(&next)
}

// has reports whether a stream is among the sets.
func (m setsByTenant) has(tenant string, id *schema.SeriesID) bool {
	for _, s := range m[tenant] {
		if _, ok := s.find(id); ok {
			return true
		}
	}
	return false
}

// localFiles are all files of the active index directory that are in use.
type localFiles struct {
	mu    sync.Mutex
	files []*localFile
}

func (l *localFiles) add(f *localFile) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.files = append(l.files, f)
}

func (l *localFiles) remove(f *localFile) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.files = slices.DeleteFunc(l.files, func(x *localFile) bool { return x == f })
}

// of returns the files of a table.
func (l *localFiles) of(period int, day int64) []*localFile {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []*localFile
	for _, f := range l.files {
		if f.period == period && f.day == day {
			out = append(out, f)
		}
	}
	return out
}

// due returns the sealed files whose upload may be tried.
func (l *localFiles) due(now time.Time, force bool) []*localFile {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []*localFile
	for _, f := range l.files {
		if f.sealed && f.uploaded.IsZero() && (force || !f.retryAt.After(now)) {
			out = append(out, f)
		}
	}
	return out
}

// expired returns the files that were uploaded before an instant.
func (l *localFiles) expired(before time.Time) []*localFile {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []*localFile
	for _, f := range l.files {
		if !f.uploaded.IsZero() && f.uploaded.Before(before) {
			out = append(out, f)
		}
	}
	return out
}

// waiting counts the files that are not in the bucket.
func (l *localFiles) waiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, f := range l.files {
		if f.uploaded.IsZero() {
			n++
		}
	}
	return n
}
