package shipper

import (
	"container/list"
	"errors"
	"fmt"
	"os"
	"sync"

	"logstore/pkg/index"
)

// pool holds the open table files by path.
type pool struct {
	limit   int
	metrics *metrics

	mu    sync.Mutex
	files map[string]*pooledFile
	// idle holds the files that nobody reads and that may be closed, least recently used first.
	idle *list.List
}

type pooledFile struct {
	path string
	// ready is closed when file and err are set.
	ready chan struct{}
	file  *index.File
	err   error

	// Guarded by the pool's mutex:
	refs   int
	pinned bool
	doomed bool
	elem   *list.Element
}

func newPool(limit int, m *metrics) *pool {
	return &pool{limit: limit, metrics: m, files: make(map[string]*pooledFile), idle: list.New()}
}

// adopt takes over a file that stays open until it is forgotten.
func (p *pool) adopt(f *index.File) {
	ready := make(chan struct{})
	close(ready)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.files[f.Path()] = &pooledFile{path: f.Path(), ready: ready, file: f, pinned: true}
	p.metrics.openFiles.Set(float64(len(p.files)))
}

// acquire returns an open file and a function that lets go of it.
func (p *pool) acquire(path string) (*index.File, func(), error) {
	p.mu.Lock()
	e := p.files[path]
	opener := e == nil
	if opener {
		e = &pooledFile{path: path, ready: make(chan struct{})}
		p.files[path] = e
	}
	e.refs++
	if e.elem != nil {
		p.idle.Remove(e.elem)
		e.elem = nil
	}
	p.mu.Unlock()

	if opener {
		e.file, e.err = index.Open(path)
		close(e.ready)
	}
	<-e.ready
	if e.err != nil {
		p.release(e)
		return nil, nil, e.err
	}
	return e.file, sync.OnceFunc(func() { p.release(e) }), nil
}

// release lets go of a file, and closes it or those that are too many.
func (p *pool) release(e *pooledFile) {
	p.mu.Lock()
	e.refs--
	var closing []*pooledFile
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
		old := p.idle.Remove(p.idle.Front()).(*pooledFile)
		old.elem = nil
		p.removeLocked(old)
		closing = append(closing, old)
	}
	p.metrics.openFiles.Set(float64(len(p.files)))
	p.mu.Unlock()
	for _, f := range closing {
		if f.file != nil {
			_ = f.file.Close()
		}
	}
}

// removeLocked takes a file out of the pool, unless another took its place already.
func (p *pool) removeLocked(e *pooledFile) {
	if p.files[e.path] == e {
		delete(p.files, e.path)
	}
}

// forget closes a file as soon as nobody reads it, and removes it from the disk.
func (p *pool) forget(path string) error {
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
	p.metrics.openFiles.Set(float64(len(p.files)))
	p.mu.Unlock()
	var err error
	if closing && e.file != nil {
		err = e.file.Close()
	}
	if rmErr := os.Remove(path); rmErr != nil && !errors.Is(rmErr, os.ErrNotExist) {
		err = errors.Join(err, fmt.Errorf("cannot remove index file: %w", rmErr))
	}
	return err
}

// close closes all files; their readers have ended.
func (p *pool) close() error {
	p.mu.Lock()
	files := p.files
	p.files = make(map[string]*pooledFile)
	p.idle.Init()
	p.mu.Unlock()
	var err error
	for _, e := range files {
		<-e.ready
		if e.file != nil {
			err = errors.Join(err, e.file.Close())
		}
	}
	return err
}
