package pipeline

import "golang.org/x/sys/cpu"

// wideVectors says that indexPairWide may be called.
var wideVectors = cpu.X86.HasAVX2

//go:noescape
func indexPairWide(p *byte, n, dist int, c0, c1, m0, m1 byte) int
