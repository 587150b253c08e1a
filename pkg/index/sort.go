package index

import (
	"bytes"
	"encoding/binary"
	"slices"

	"logstore/pkg/schema"
)

// SortRows sorts rows by their keys. Keys of a batch share long beginnings (tenant, day, label name), so that comparing whole
// keys would read the same bytes again and again; this is a quicksort on eight bytes at a time that remembers them.
func SortRows(rows []schema.Row) {
	if slices.IsSortedFunc(rows, compareRows) {
		return
	}
	keyed := make([]keyedRow, len(rows))
	for i, r := range rows {
		keyed[i].row = r
	}
	sortAt(keyed, 0)
	for i := range keyed {
		rows[i] = keyed[i].row
	}
}

func compareRows(a, b schema.Row) int { return bytes.Compare(a.Key, b.Key) }

type keyedRow struct {
	head uint64
	row  schema.Row
}

// sortAt sorts rows that are equal in their first depth bytes.
func sortAt(rows []keyedRow, depth int) {
	if len(rows) < 2 {
		return
	}
	same := true
	for i := range rows {
		rows[i].head = headAt(rows[i].row.Key, depth)
		same = same && rows[i].head == rows[0].head
	}
	if !same {
		slices.SortFunc(rows, func(a, b keyedRow) int {
			switch {
			case a.head < b.head:
				return -1
			case a.head > b.head:
				return 1
			}
			return 0
		})
	}
	for start := 0; start < len(rows); {
		end := start + 1
		for end < len(rows) && rows[end].head == rows[start].head {
			end++
		}
		group := rows[start:end]
		start = end
		if len(group) < 16 {
			// Short groups are compared whole; that also ends the recursion for keys that differ by trailing zero bytes.
			slices.SortStableFunc(group, func(a, b keyedRow) int { return compareRows(a.row, b.row) })
			continue
		}
		if longest(group) <= depth+8 {
			slices.SortStableFunc(group, func(a, b keyedRow) int { return len(a.row.Key) - len(b.row.Key) })
			continue
		}
		sortAt(group, depth+8)
	}
}

func longest(rows []keyedRow) int {
	n := 0
	for i := range rows {
		n = max(n, len(rows[i].row.Key))
	}
	return n
}

// headAt returns the eight bytes at depth as a number that orders as they do; a key that ends before counts as zero bytes.
func headAt(key []byte, depth int) uint64 {
	if len(key) >= depth+8 {
		return binary.BigEndian.Uint64(key[depth:])
	}
	var b [8]byte
	if len(key) > depth {
		copy(b[:], key[depth:])
	}
	return binary.BigEndian.Uint64(b[:])
}
