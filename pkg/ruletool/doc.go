// Package ruletool is the command `logstore rules`: it checks rule files, tests them against lines, and manages the groups
// of a running store.
//
// A test file (Tests) says which rule files it is about, which lines there are, and which alerts and samples are
// expected when. Rules are evaluated by the packages that the store itself uses, over lines in memory, without a clock: a
// test of a week takes as long as its evaluations. FORMAT.md describes the file.
package ruletool
