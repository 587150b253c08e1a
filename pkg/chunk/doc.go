// Package chunk reads and writes Loki's chunk bytes, versions 1 to 4.
package chunk
