package ingester

import (
	"sync"
	"unsafe"
)

// Buffers of small pieces have few sizes, 256 << k and 384 << k, and are used again: streams that are moved into pages over
// and over would else keep the garbage collector busy. A buffer that a reader may hold is left to the collector.
const (
	smallestBuffer = 256
	bufferClasses  = 20
)

var smallBuffers [bufferClasses]sync.Pool

// bufferClass returns the smallest class of at least n bytes and its size.
func bufferClass(n int) (class, size int) {
	size = smallestBuffer
	for size < n {
		class++
		size = smallestBuffer << (class / 2)
		if class%2 == 1 {
			size += size / 2
		}
	}
	return class, size
}

func getBuffer(n int) []byte {
	class, size := bufferClass(n)
	if class >= bufferClasses {
		return make([]byte, 0, n)
	}
	if p, _ := smallBuffers[class].Get().(*byte); p != nil {
		return unsafe.Slice(p, size)[:0]
	}
	return make([]byte, 0, size)
}

func putBuffer(b []byte) {
	if cap(b) < smallestBuffer {
		return
	}
	if class, size := bufferClass(cap(b)); class < bufferClasses && size == cap(b) {
		smallBuffers[class].Put(unsafe.SliceData(b[:cap(b)]))
	}
}
