package cache

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
)

// The envelope of a value in Redis; FORMAT.md describes it.
const (
	envelopeMagic   = "LSV"
	envelopeVersion = 1
	envelopeHeader  = 12
)

// seal returns the envelope of a value.
func seal(key string, value []byte) []byte {
	out := make([]byte, 0, envelopeHeader+len(value))
	out = append(out, envelopeMagic...)
	out = append(out, envelopeVersion)
	out = binary.BigEndian.AppendUint64(out, checksum(key, value))
	return append(out, value...)
}

// open returns the value of an envelope, which aliases it, and whether it is one of the key.
func open(key string, envelope []byte) (value []byte, ok bool) {
	if len(envelope) <= envelopeHeader || string(envelope[:3]) != envelopeMagic || envelope[3] != envelopeVersion {
		return nil, false
	}
	value = envelope[envelopeHeader:]
	return value, binary.BigEndian.Uint64(envelope[4:]) == checksum(key, value)
}

func checksum(key string, value []byte) uint64 {
	var d xxhash.Digest
	d.Reset()
	_, _ = d.WriteString(key) // a digest takes everything
	_, _ = d.Write([]byte{0})
	_, _ = d.Write(value)
	return d.Sum64()
}
