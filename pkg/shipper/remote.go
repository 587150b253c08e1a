package shipper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"logstore/pkg/objstore"
	"logstore/pkg/schema"
)

// remoteTable is a table as it stands in the bucket, and the copies of its files.
type remoteTable[F io.Closer] struct {
	c    *copies[F]
	key  tableKey
	name string

	mu sync.Mutex
	// listed is when the last listing began, zero before the first.
	listed time.Time
	// stale tells that the listing is known to lack something.
	stale bool
	used  time.Time
	files map[schema.IndexFile]*remoteFile
	// listing is set while a listing runs.
	listing *turn
}

// openFile is a copy that is open.
type openFile[F io.Closer] struct {
	object schema.IndexFile
	path   string
	file   F
}

func (t *remoteTable[F]) bucket() objstore.Bucket { return t.c.bucket(t.key.period) }

func (t *remoteTable[F]) keyPrefix() string { return t.c.periods[t.key.period].TableKey(t.name) }

// refresh lists the table unless a listing is at most maxAge old. If the bucket fails, an older listing is good enough as
// long as no local file can have been removed since.
func (t *remoteTable[F]) refresh(ctx context.Context, maxAge time.Duration) error {
	err := share(ctx, &t.mu, func() (**turn, bool) {
		return &t.listing, !t.stale && !t.listed.IsZero() && t.c.now().Sub(t.listed) <= maxAge
	}, t.list)
	if err == nil || ctx.Err() != nil {
		return err
	}
	t.mu.Lock()
	age := t.c.now().Sub(t.listed)
	known := !t.listed.IsZero() && age <= 3*t.c.cfg.ResyncInterval
	t.mu.Unlock()
	if !known {
		return err
	}
	t.c.logger.Warn("cannot list an index table, an older listing is used", "table", t.name, "age", age, "err", err)
	return nil
}

// list reads the names of the table's objects and forgets the copies of those that are gone.
func (t *remoteTable[F]) list(ctx context.Context) error {
	began := t.c.now()
	t.mu.Lock()
	t.stale = false
	t.mu.Unlock()
	prefix := t.keyPrefix()
	found := make(map[schema.IndexFile]bool)
	err := t.bucket().List(ctx, prefix, func(o objstore.ObjectInfo) error {
		if f, ok := schema.ParseIndexKey(prefix, o.Key); ok && !isPartial(f.Name) && t.c.format.accepts(f.Name) {
			found[f] = true
		}
		return nil
	})
	if err == nil {
		err = t.confirmGone(ctx, found)
	}
	t.c.metrics.syncs.WithLabelValues(status(err)).Inc()
	if err != nil {
		t.mu.Lock()
		t.stale = true
		t.mu.Unlock()
		return fmt.Errorf("cannot list index table %s in %s: %w", t.name, t.bucket().Name(), err)
	}
	var gone []*remoteFile
	t.mu.Lock()
	t.c.mu.Lock()
	for object, f := range t.files {
		if !found[object] {
			delete(t.files, object)
			t.c.disk.removeLocked(f)
			f.gone = true
			gone = append(gone, f)
		}
	}
	t.c.metrics.bytes.Set(float64(t.c.disk.bytes))
	t.c.mu.Unlock()
	for object := range found {
		if t.files[object] == nil {
			t.files[object] = newRemoteFile(object, t.localPath(object))
		}
	}
	t.listed = began
	t.mu.Unlock()
	for _, f := range gone {
		t.c.forget(f.path())
	}
	if t.c.listed != nil {
		t.c.listed(t.key, found, began)
	}
	return nil
}

// confirmGone asks for each file that is known and was not listed, for a listing may lag behind: a file that it passes over
// for once would be a gap in every answer until the next.
func (t *remoteTable[F]) confirmGone(ctx context.Context, found map[schema.IndexFile]bool) error {
	var missing []schema.IndexFile
	t.mu.Lock()
	for object := range t.files {
		if !found[object] {
			missing = append(missing, object)
		}
	}
	t.mu.Unlock()
	there := make([]bool, len(missing))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(t.c.cfg.Parallelism)
	for i, object := range missing {
		group.Go(func() error {
			_, err := t.bucket().Stat(ctx, object.Key(t.keyPrefix()))
			there[i] = err == nil
			if errors.Is(err, objstore.ErrNotFound) {
				return nil
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for i, object := range missing {
		if there[i] {
			found[object] = true
			t.c.logger.Warn("a listing passed over an index file that is there", "key", object.Key(t.keyPrefix()))
		}
	}
	return nil
}

func (t *remoteTable[F]) localPath(object schema.IndexFile) string {
	return filepath.Join(t.c.cfg.CacheLocation, t.name, filepath.FromSlash(object.LocalName()))
}

// filesOf returns the files that are wanted.
func (t *remoteTable[F]) filesOf(wanted func(schema.IndexFile) bool) []*remoteFile {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.used = t.c.now()
	var out []*remoteFile
	for object, f := range t.files {
		if wanted(object) {
			out = append(out, f)
		}
	}
	return out
}

// open returns the files that are wanted, downloaded and open. release lets go of them.
func (t *remoteTable[F]) open(ctx context.Context, wanted func(schema.IndexFile) bool) (files []openFile[F], release func(), err error) {
	maxAge := t.c.cfg.ResyncInterval
	for attempt := 0; ; attempt++ {
		if err := t.refresh(ctx, maxAge); err != nil {
			return nil, nil, err
		}
		files, release, err = t.openAll(ctx, t.filesOf(wanted))
		// A file of the listing that is gone was compacted meanwhile: a new listing has what it was merged into.
		if err == nil || attempt == 2 || !(errors.Is(err, objstore.ErrNotFound) || errors.Is(err, fs.ErrNotExist)) {
			return files, release, err
		}
		maxAge = 0
	}
}

func (t *remoteTable[F]) openAll(ctx context.Context, remote []*remoteFile) ([]openFile[F], func(), error) {
	files := make([]openFile[F], len(remote))
	releases := make([]func(), len(remote))
	release := func() {
		for _, r := range releases {
			if r != nil {
				r()
			}
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(t.c.cfg.Parallelism)
	for i, f := range remote {
		group.Go(func() error {
			file, r, err := t.openFile(ctx, f)
			files[i], releases[i] = openFile[F]{object: f.object, path: f.path(), file: file}, r
			return err
		})
	}
	if err := group.Wait(); err != nil {
		release()
		return nil, nil, err
	}
	return files, release, nil
}

// openFile opens the copy of a file. A copy that a crash or the disk has torn is set aside and fetched again.
func (t *remoteTable[F]) openFile(ctx context.Context, f *remoteFile) (file F, release func(), err error) {
	for attempt := 0; ; attempt++ {
		serial, letGo, err := t.hold(ctx, f)
		if err != nil {
			return file, nil, err
		}
		file, release, err := t.c.pool.acquire(f.path())
		if err == nil {
			return file, func() { release(); letGo() }, nil
		}
		corrupt := errors.Is(err, t.c.format.corrupt)
		if attempt == 0 && (corrupt || errors.Is(err, fs.ErrNotExist)) {
			t.distrust(f, serial, corrupt, err)
			letGo()
			continue
		}
		letGo()
		return file, nil, err
	}
}

// distrust lets a copy that cannot be opened be fetched again. Several lookups may hold it: the first moves it away, the
// others must not touch what was fetched since.
func (t *remoteTable[F]) distrust(f *remoteFile, serial int, corrupt bool, cause error) {
	t.c.mu.Lock()
	first := f.ready && f.fetched == serial
	if first {
		t.c.disk.removeLocked(f)
	}
	if first && corrupt {
		// It happens under the lock, so that nobody fetches the file before its name is free.
		t.c.metrics.corruptFiles.Inc()
		setAside(f.path(), cause, t.c.logger)
	}
	t.c.mu.Unlock()
	if first && t.c.forgotten != nil {
		t.c.forgotten(f.path())
	}
}

// hold fetches a file unless there is a copy, and keeps it from being evicted until release is called.
// serial tells the copy from one that is fetched later.
func (t *remoteTable[F]) hold(ctx context.Context, f *remoteFile) (serial int, release func(), err error) {
	for {
		err := share(ctx, &t.c.mu, func() (**turn, bool) { return &f.busy, f.ready || f.gone }, func(ctx context.Context) error {
			return t.download(ctx, f)
		})
		if err != nil {
			return 0, nil, err
		}
		t.c.mu.Lock()
		if f.gone {
			t.c.mu.Unlock()
			return 0, nil, fmt.Errorf("%w: index file %s was replaced", objstore.ErrNotFound, f.object.Key(t.keyPrefix()))
		}
		if f.ready {
			t.c.disk.holdLocked(f)
			serial = f.fetched
			t.c.mu.Unlock()
			return serial, sync.OnceFunc(func() { t.c.letGo(f) }), nil
		}
		t.c.mu.Unlock()
	}
}

// errBody is wrapped by errors that came after the bucket had begun to send an object. The bucket's own retries do not cover
// these.
var errBody = errors.New("the object did not arrive whole")

// downloadAttempts is how often an object is fetched that arrives damaged.
const downloadAttempts = 3

// download makes the copy of a file unless an earlier run left it.
func (t *remoteTable[F]) download(ctx context.Context, f *remoteFile) error {
	if info, err := os.Stat(f.path()); err == nil {
		t.c.arrived(f, info.Size())
		return nil
	}
	spares := t.c.spares()
	var err error
	for attempt := 0; attempt < downloadAttempts; attempt++ {
		err = t.fetch(ctx, f)
		t.c.metrics.downloads.WithLabelValues(status(err)).Inc()
		if isFull(err) && len(spares) > 0 && ctx.Err() == nil {
			spare := filepath.Join(spares[0], t.name, filepath.Base(filepath.Dir(f.path())), filepath.Base(f.path()))
			t.c.logger.Warn("the disk of the index cache is full; a copy goes elsewhere", "path", spare, "err", err)
			f.where.Store(&spare)
			spares, attempt = spares[1:], -1
			continue
		}
		if !errors.Is(err, t.c.format.corrupt) && !errors.Is(err, errBody) || isFull(err) || ctx.Err() != nil {
			break
		}
		t.c.metrics.corruptFiles.Inc()
		t.c.logger.Error("an index file arrived damaged", "key", f.object.Key(t.keyPrefix()), "err", err)
	}
	if err != nil {
		return fmt.Errorf("cannot fetch index file %s: %w", f.object.Key(t.keyPrefix()), err)
	}
	info, err := os.Stat(f.path())
	if err != nil {
		return fmt.Errorf("cannot keep index file %s: %w", f.object.Key(t.keyPrefix()), err)
	}
	t.c.arrived(f, info.Size())
	return nil
}

func (t *remoteTable[F]) fetch(ctx context.Context, f *remoteFile) error {
	r, err := t.bucket().GetReader(ctx, f.object.Key(t.keyPrefix()))
	if err != nil {
		return err
	}
	defer r.Close()
	if err := os.MkdirAll(filepath.Dir(f.path()), 0o777); err != nil {
		return fmt.Errorf("cannot make a folder for an index table: %w", err)
	}
	temp := f.path() + tempSuffix
	if err := t.c.format.unpack(temp, r, f.object.Compressed()); err != nil {
		return fmt.Errorf("%w: %w", errBody, err)
	}
	return os.Rename(temp, f.path())
}
