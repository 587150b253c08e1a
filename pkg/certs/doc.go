// Package certs makes TLS configurations whose certificates, keys and client authorities are read again when their files change, so
// that a renewed certificate needs no restart: new connections get it, old ones go on.
//
// A Watcher is one set of files. It looks at them when a connection is made, at most once a second; no goroutine runs. Files that are bad
// or do not fit together yet (a certificate was replaced and its key was not) change nothing: the last good ones hold, and a metric and the log say so.
package certs
