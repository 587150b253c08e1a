// Package buckets opens what the storage part of a configuration names: the schema periods, and the bucket of each with its
// prefix. The process and the tools open them the same way, so that a tool looks where the process does.
package buckets
