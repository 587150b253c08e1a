package bufpool

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSizes(t *testing.T) {
	p := New(256, 5) // 256, 384, 512, 768, 1024
	for _, c := range []struct{ n, capacity int }{
		{0, 256}, {256, 256}, {257, 384}, {385, 512}, {513, 768}, {769, 1024}, {1024, 1024}, {1100, 1375},
	} {
		b := p.Get(c.n)
		require.Empty(t, b)
		require.Equal(t, c.capacity, cap(b), "%d bytes", c.n)
	}
}

// TestPut gives back buffers of all kinds: what comes out afterwards always has room for what was asked.
func TestPut(t *testing.T) {
	p := New(256, 5)
	p.Put(nil)
	for n := range 2000 {
		p.Put(make([]byte, n/2, n))
		b := p.Get(n)
		require.Empty(t, b)
		require.GreaterOrEqual(t, cap(b), n)
		for i := range n {
			b = append(b, byte(i))
		}
		p.Put(b)
	}
}

// TestKeeps sees that what is given back is used again. The garbage collector may take it at any time, so it is tried many times.
func TestKeeps(t *testing.T) {
	p := New(256, 5)
	for range 1000 {
		b := p.Get(300)
		p.Put(b)
		if again := p.Get(300); &b[:1][0] == &again[:1][0] {
			return
		}
	}
	t.Fatal("no buffer came back")
}
