// Package cache keeps values nearer than where they come from: in Redis or memcached, in this process, or in both. It is the only
// door to their clients.
//
// The nouns: a Cache has values by key. An envelope is what lies in Redis: the value with its version and a checksum
// over key and value, so that what is foreign, damaged or written under another key is a miss (FORMAT.md). The write-behind
// queue takes what is put and writes it later; when it is full, values are dropped. The breaker stands before Redis: one
// answer that is late by more than ReadBudget, or a failure, opens it, and then nobody asks until a probe in the
// background was answered in time. Whatever happens to Redis, a query loses at most ReadBudget to it, once.
//
// In memcached each server has a breaker of its own, and the part of the keys that their hashes give it.
//
// New builds what a Config describes: Local alone, Redis or Memcached alone, or Tiered, where Local stands before them. Compressed
// keeps values by snappy in any of them.
//
// Caveats: a cache may forget anything at any time and may return a value that was put long ago; the key must
// say all that the value depends on, or the value itself must say for what it holds. Get and Put never fail and never wait
// for a lock that is held over I/O.
//
// Locks: Local has one mutex, the write-behind queue and the breaker one each; none is held while another is taken.
package cache
