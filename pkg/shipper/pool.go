package shipper

import (
	"container/list"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// pool holds the open table files by path.
type pool[F io.Closer] struct {
	limit int
	open  func(path string) (F, error)
	count prometheus.Gauge

	mu    sync.Mutex
	files map[string]*pooledFile[F]
	// idle holds the files that nobody reads and that may be closed, least recently used first.
	idle *list.List
}

type pooledFile[F io.Closer] struct {
	path string
	// ready is closed when file and err are set; file is one to close if opened is set.
	ready  chan struct{}
	file   F
	opened bool
	err    error

	// Guarded by the pool's mutex:
	refs   int
	pinned bool
	doomed bool
	elem   *list.Element
}

func newPool[F io.Closer](limit int, open func(path string) (F, error), count prometheus.Gauge) *pool[F] {
	return &pool[F]{limit: limit, open: open, count: count, files: make(map[string]*pooledFile[F]), idle: list.New()}
}

// adopt takes over a file that stays open until it is forgotten.
func (p *pool[F]) adopt(path string, f F) {
	ready := make(chan struct{})
	close(ready)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.files[path] = &pooledFile[F]{path: path, ready: ready, file: f, opened: true, pinned: true}
	p.count.Set(float64(len(p.files)))
}

// acquire returns an open file and a function that lets go of it.
func (p *pool[F]) acquire(path string) (file F, release func(), err error) {
	p.mu.Lock()
	e := p.files[path]
	opener := e == nil
	if opener {
		e = &pooledFile[F]{path: path, ready: make(chan struct{})}
		p.files[path] = e
	}
	e.refs++
	if e.elem != nil {
		p.idle.Remove(e.elem)
		e.elem = nil
	}
	p.mu.Unlock()

	if opener {
		e.file, e.err = p.open(path)
		e.opened = e.err == nil
		close(e.ready)
	}
	<-e.ready
	if e.err != nil {
		p.release(e)
		return file, nil, e.err
	}
	return e.file, sync.OnceFunc(func() { p.release(e) }), nil
}

// release lets go of a file, and closes it or those that are too many.
func (p *pool[F]) release(e *pooledFile[F]) {
	p.mu.Lock()
	e.refs--
	var closing []*pooledFile[F]
	if e.refs == 0 {
		switch {
		case e.doomed:
			closing = append(closing, e)
		case e.err != nil:
			p.removeLocked(e)
		case !e.pinned:
			e.elem = p.idle.PushBack(e)
		}
	}
	for p.idle.Len() > 0 && len(p.files) > p.limit {
		old := p.idle.Remove(p.idle.Front()).(*pooledFile[F])
		old.elem = nil
		p.removeLocked(old)
		closing = append(closing, old)
	}
	p.count.Set(float64(len(p.files)))
	p.mu.Unlock()
	for _, f := range closing {
		if f.opened {
			_ = f.file.Close()
		}
	}
}

// removeLocked takes a file out of the pool, unless another took its place already.
func (p *pool[F]) removeLocked(e *pooledFile[F]) {
	if p.files[e.path] == e {
		delete(p.files, e.path)
	}
}

// forget closes a file as soon as nobody reads it, and removes it from the disk.
func (p *pool[F]) forget(path string) error {
	p.mu.Lock()
	e := p.files[path]
	closing := false
	if e != nil {
		p.removeLocked(e)
		e.doomed = true
		closing = e.refs == 0
		if e.elem != nil {
			p.idle.Remove(e.elem)
			e.elem = nil
		}
	}
	p.count.Set(float64(len(p.files)))
	p.mu.Unlock()
	var err error
	if closing && e.opened {
		err = e.file.Close()
	}
	if rmErr := os.Remove(path); rmErr != nil && !errors.Is(rmErr, os.ErrNotExist) {
		err = errors.Join(err, fmt.Errorf("cannot remove index file: %w", rmErr))
	}
	return err
}

// close closes all files; their readers have ended.
func (p *pool[F]) close() error {
	p.mu.Lock()
	files := p.files
	p.files = make(map[string]*pooledFile[F])
	p.idle.Init()
	p.mu.Unlock()
	var err error
	for _, e := range files {
		<-e.ready
		if e.opened {
			err = errors.Join(err, e.file.Close())
		}
	}
	return err
}
