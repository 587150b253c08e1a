package sidecar

// Totals are the numbers of all entries of a chunk, or of some of its blocks.
type Totals struct {
	// First and Last are the first and the last timestamp in nanoseconds.
	First, Last int64
	// Blocks and Entries count what has entries, and those.
	Blocks, Entries int
	// LineBytes and MetaBytes are as in Block.
	LineBytes, MetaBytes int64
}

// TotalsOf adds blocks up. It reports false if there is no entry, or if some entry may be there twice: in a block that is not unique, or in
// blocks that share an instant. Blocks that are not in the order of time are taken for such.
func TotalsOf(blocks []Block) (t Totals, ok bool) {
	for i := range blocks {
		b := &blocks[i]
		if b.Entries == 0 {
			continue
		}
		if !b.Unique || t.Blocks > 0 && b.MinTime <= t.Last {
			return Totals{}, false
		}
		if t.Blocks == 0 {
			t.First = b.MinTime
		}
		t.Last = b.MaxTime
		t.Blocks++
		t.Entries += b.Entries
		t.LineBytes += b.LineBytes
		t.MetaBytes += b.MetaBytes
	}
	return t, t.Blocks > 0
}
