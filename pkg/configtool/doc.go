// Package configtool is the command `logstore config`: it explains a configuration file and tries what the file names (check),
// compares two files (diff), rewrites a file of any release of Loki into one that this store runs best with (convert), and prints
// the reference of all keys and flags (reference), which is docs/configuration.md.
//
// What keys mean is known by package config alone; this package asks it, talks to buckets, Redis and Alertmanagers, and writes.
// Secrets are in no output.
package configtool
