//go:build !amd64

package pipeline

// wideVectors says that indexPairWide may be called.
const wideVectors = false

func indexPairWide(p *byte, n, dist int, c0, c1, m0, m1 byte) int {
	panic("BUG: no wide vectors here")
}
