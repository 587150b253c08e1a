package sidecar

import "golang.org/x/sys/cpu"

// wideVectors says that wordMaskWide may be called.
var wideVectors = cpu.X86.HasAVX2

//go:noescape
func wordMaskWide(dst *uint64, src *byte, words int)
