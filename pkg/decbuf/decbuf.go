package decbuf

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
)

// Buf takes values off the front of B. A Buf with nothing but B set is ready.
type Buf struct {
	// B is what is left. It is nil after a fault.
	B     []byte
	fault string
}

// What is wrong where this package finds it.
const (
	faultShort  = "it ends early"
	faultValue  = "bad value"
	faultNumber = "bad number"
	faultLarge  = "number is too large"
	faultCount  = "it names more than it has"
	faultMore   = "bytes follow its end"
)

// Fail notes what is wrong, unless a fault was found before.
func (d *Buf) Fail(what string) {
	if d.fault == "" {
		d.fault = cmp.Or(what, faultValue)
	}
	d.B = nil
}

// Failed reports whether there was a fault.
func (d *Buf) Failed() bool { return d.fault != "" }

// Err returns the fault as an error that wraps kind, or nil if there was none.
func (d *Buf) Err(kind error) error {
	if d.fault == "" {
		return nil
	}
	return fmt.Errorf("%w: %s", kind, d.fault)
}

// Whole reports whether all was read, without a fault.
func (d *Buf) Whole() bool { return d.fault == "" && len(d.B) == 0 }

// End is Err where nothing may be left.
func (d *Buf) End(kind error) error {
	if len(d.B) > 0 {
		d.Fail(faultMore)
	}
	return d.Err(kind)
}

// Uvarint takes an unsigned LEB128 number.
func (d *Buf) Uvarint() uint64 {
	v, n := binary.Uvarint(d.B)
	if n <= 0 {
		d.Fail(faultNumber)
		return 0
	}
	d.B = d.B[n:]
	return v
}

// Upto takes an unsigned LEB128 number that must not be larger than most.
func (d *Buf) Upto(most uint64) uint64 {
	v := d.Uvarint()
	if v > most {
		d.Fail(faultLarge)
		return 0
	}
	return v
}

// Varint takes a zigzag LEB128 number.
func (d *Buf) Varint() int64 {
	u := d.Uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

// Take takes the next n bytes, which are part of the input and have no room behind them; nil if there are fewer.
func (d *Buf) Take(n uint64) []byte {
	if n > uint64(len(d.B)) {
		d.Fail(faultShort)
		return nil
	}
	v := d.B[:n:n]
	d.B = d.B[n:]
	return v
}

// Byte takes a byte.
func (d *Buf) Byte() byte {
	if len(d.B) == 0 {
		d.Fail(faultShort)
		return 0
	}
	v := d.B[0]
	d.B = d.B[1:]
	return v
}

// Le32 takes four bytes, the lowest first.
func (d *Buf) Le32() uint32 {
	if v := d.Take(4); v != nil {
		return binary.LittleEndian.Uint32(v)
	}
	return 0
}

// Le64 takes eight bytes, the lowest first.
func (d *Buf) Le64() uint64 {
	if v := d.Take(8); v != nil {
		return binary.LittleEndian.Uint64(v)
	}
	return 0
}

// Be32 takes four bytes, the highest first.
func (d *Buf) Be32() uint32 {
	if v := d.Take(4); v != nil {
		return binary.BigEndian.Uint32(v)
	}
	return 0
}

// Be64 takes eight bytes, the highest first.
func (d *Buf) Be64() uint64 {
	if v := d.Take(8); v != nil {
		return binary.BigEndian.Uint64(v)
	}
	return 0
}

// Float takes a number of 64 bits, the lowest byte first.
func (d *Buf) Float() float64 { return math.Float64frombits(d.Le64()) }

// Section takes bytes with their number before them, as part of the input.
func (d *Buf) Section() []byte { return d.Take(d.Uvarint()) }

// Text is Section as a string of its own.
func (d *Buf) Text() string { return string(d.Section()) }

// Count takes the number of things that follow and take at least size bytes each, so that a bad number makes nobody allocate.
func (d *Buf) Count(size int) int {
	n := d.Uvarint()
	if n > uint64(len(d.B)/size) {
		d.Fail(faultCount)
		return 0
	}
	return int(n)
}

// AppendString appends a string as Section reads it.
func AppendString[T string | []byte](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}
