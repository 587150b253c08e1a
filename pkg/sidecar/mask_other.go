//go:build !amd64

package sidecar

// wideVectors says that wordMaskWide may be called.
const wideVectors = false

func wordMaskWide(*uint64, *byte, int) { panic("BUG: no wide vectors here") }
