// Package decbuf takes numbers and strings off the front of bytes that came from elsewhere: a disk, a bucket, another member. It is what
// the decoders of our own formats share; what they mean by the values is theirs.
//
// The first fault sticks: after it all values are zero, nothing is left, and counts are none, so that a decoder reads a whole
// structure and looks once at the end. The idea is that of Prometheus' Decbuf.
package decbuf
