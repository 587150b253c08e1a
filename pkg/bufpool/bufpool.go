package bufpool

import (
	"sync"
	"unsafe"
)

// Pool keeps buffers of the sizes least << k and, between them, half as much again: what grows takes at most about a third more than it
// needs. It is safe for concurrent use.
type Pool struct {
	least   int
	classes []sync.Pool
}

// New returns a pool of so many sizes from least bytes on.
func New(least, classes int) *Pool {
	return &Pool{least: least, classes: make([]sync.Pool, classes)}
}

// classOf returns the smallest size of at least n bytes, and its number; len(p.classes) is none.
func (p *Pool) classOf(n int) (class, size int) {
	size = p.least
	for class < len(p.classes) && size < n {
		class++
		size = p.least << (class / 2)
		if class%2 == 1 {
			size += size / 2
		}
	}
	return class, size
}

// Get returns an empty buffer with room for n bytes, which is the caller's. One above the largest size has some room to spare.
func (p *Pool) Get(n int) []byte {
	class, size := p.classOf(n)
	if class >= len(p.classes) {
		return make([]byte, 0, n+n/4)
	}
	if b, _ := p.classes[class].Get().(*byte); b != nil {
		return unsafe.Slice(b, size)[:0]
	}
	return make([]byte, 0, size)
}

// Put takes back a buffer that nobody reads or writes any longer. One that is not of the pool's sizes is left to the garbage collector.
func (p *Pool) Put(b []byte) {
	if cap(b) == 0 {
		return
	}
	if class, size := p.classOf(cap(b)); class < len(p.classes) && size == cap(b) {
		p.classes[class].Put(unsafe.SliceData(b[:cap(b)]))
	}
}
