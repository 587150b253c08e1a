// Package bufpool keeps buffers of few sizes, so that bytes that grow and are given up all the time do not keep the garbage collector busy.
package bufpool
