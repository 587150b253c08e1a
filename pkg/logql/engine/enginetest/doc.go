// Package enginetest has a Source in memory for tests of queries: entries are put into chunks that may be cut as finely,
// overlap as much and repeat entries as often as a test wants.
package enginetest
