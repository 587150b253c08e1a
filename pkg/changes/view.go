package changes

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"

	"logstore/pkg/decbuf"

	"github.com/cespare/xxhash/v2"
)

// State is what one member knows of an interval.
type State struct {
	// Epoch is that of the member's process.
	Epoch uint64
	// Before counts the pushes before the minute Floor, which are not told apart.
	Floor  int64
	Before uint64
	// Counts ascend by minute; minutes without a push are left out.
	Counts []Count
}

// digest adds what concerns the minutes to a hash.
func (s *State) digest(d *xxhash.Digest, from, to int64) {
	buf := binary.LittleEndian.AppendUint64(make([]byte, 0, 256), s.Epoch)
	if from < s.Floor {
		buf = binary.LittleEndian.AppendUint64(buf, s.Before)
		buf = binary.LittleEndian.AppendUint64(buf, uint64(s.Floor))
	}
	i, _ := slices.BinarySearchFunc(s.Counts, from, func(c Count, m int64) int {
		if c.Minute < m {
			return -1
		}
		return 1
	})
	for ; i < len(s.Counts) && s.Counts[i].Minute <= to; i++ {
		buf = binary.LittleEndian.AppendUint64(buf, uint64(s.Counts[i].Minute))
		buf = binary.LittleEndian.AppendUint64(buf, s.Counts[i].Pushes)
		if len(buf) >= 240 {
			_, _ = d.Write(buf) // a digest takes everything
			buf = buf[:0]
		}
	}
	_, _ = d.Write(buf)
	_, _ = d.Write([]byte{0xff})
}

// View is the states of all members that a query asks; for a query of several tenants, of each tenant.
type View struct{ states []State }

// NewView takes the states, in any order.
func NewView(states ...State) *View {
	slices.SortStableFunc(states, func(a, b State) int {
		switch {
		case a.Epoch < b.Epoch:
			return -1
		case a.Epoch > b.Epoch:
			return 1
		}
		return 0
	})
	return &View{states: states}
}

// Digest returns a number for the interval between two instants in nanoseconds, both inclusive, which must lie in the interval that
// the states are of. It is never zero.
func (v *View) Digest(first, last int64) uint64 {
	var d xxhash.Digest
	d.Reset()
	for i := range v.states {
		v.states[i].digest(&d, floorDiv(first, minute), floorDiv(last, minute))
	}
	if sum := d.Sum64(); sum != 0 {
		return sum
	}
	return math.MaxUint64
}

var errState = errors.New("not the state of a member")

// Append appends the state to b, as members send it to each other.
func (s *State) Append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint64(b, s.Epoch)
	b = binary.AppendVarint(b, s.Floor)
	b = binary.AppendUvarint(b, s.Before)
	b = binary.AppendUvarint(b, uint64(len(s.Counts)))
	last := int64(0)
	for _, c := range s.Counts {
		b = binary.AppendVarint(b, c.Minute-last)
		b = binary.AppendUvarint(b, c.Pushes)
		last = c.Minute
	}
	return b
}

// ParseState reads what Append wrote, all of b.
func ParseState(b []byte) (State, error) {
	d := decbuf.Buf{B: b}
	s := State{Epoch: d.Le64(), Floor: d.Varint(), Before: d.Uvarint()}
	n := d.Count(2)
	s.Counts = make([]Count, 0, n)
	last := int64(0)
	for range n {
		last += d.Varint()
		s.Counts = append(s.Counts, Count{Minute: last, Pushes: d.Uvarint()})
	}
	if err := d.End(errState); err != nil {
		return State{}, err
	}
	return s, nil
}
