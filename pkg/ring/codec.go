package ring

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"logstore/pkg/compress"
	"logstore/pkg/decbuf"
)

// The bytes are described in FORMAT.md.
const (
	stateMagic      = "lsr1"
	flagCompressed  = 1
	maxStateSize    = 64 << 20 // of a state without compression: some 100 000 members
	maxEntries      = 1 << 20
	maxTokens       = 1 << 16
	maxText         = 1 << 10
	minEntrySize    = 3 // an ID's length, a version, a beat
	stateHeaderSize = len(stateMagic) + 1
)

// errBadState is a message that is not a state of this ring, or a damaged one.
var errBadState = errors.New("bad ring state")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encodeState returns entries as a message, compressed if asked for.
func encodeState(entries []entry, packed bool) ([]byte, error) {
	raw := binary.AppendUvarint(nil, uint64(len(entries)))
	for _, e := range entries {
		raw = appendText(raw, e.ID)
		raw = appendBody(raw, e.Body)
		raw = binary.AppendUvarint(raw, e.Beat)
	}
	out := append(make([]byte, 0, len(raw)+stateHeaderSize+4), stateMagic...)
	if !packed {
		out = append(append(out, 0), raw...)
		return appendSum(out), nil
	}
	out, err := compress.Snappy.AppendCompress(append(out, flagCompressed), raw)
	if err != nil {
		return nil, fmt.Errorf("cannot compress the ring's state: %w", err)
	}
	return appendSum(out), nil
}

func appendSum(b []byte) []byte {
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendBody(b []byte, body body) []byte {
	b = binary.AppendUvarint(b, body.Version)
	if body.Version == 0 {
		return b
	}
	b = binary.AppendUvarint(b, body.Incarnation)
	b = append(b, byte(body.State))
	b = binary.AppendUvarint(b, body.Registered)
	for _, s := range [...]string{body.Addr, body.HTTPAddr, body.Zone, body.Build} {
		b = appendText(b, s)
	}
	b = binary.AppendUvarint(b, uint64(len(body.Tokens)))
	last := uint32(0)
	for _, t := range body.Tokens {
		b = binary.AppendUvarint(b, uint64(t-last))
		last = t
	}
	return b
}

// decodeState reads a message. The entries keep nothing of b.
func decodeState(b []byte) ([]entry, error) {
	if len(b) < stateHeaderSize+4 || string(b[:len(stateMagic)]) != stateMagic {
		return nil, fmt.Errorf("%w: it does not begin with %s", errBadState, stateMagic)
	}
	rest, sum := b[:len(b)-4], binary.LittleEndian.Uint32(b[len(b)-4:])
	if crc32.Checksum(rest, castagnoli) != sum {
		return nil, fmt.Errorf("%w: its checksum does not match", errBadState)
	}
	flags, raw := rest[len(stateMagic)], rest[stateHeaderSize:]
	switch flags {
	case 0:
	case flagCompressed:
		var err error
		if raw, err = compress.Snappy.AppendDecompress(nil, raw, 0, maxStateSize); err != nil {
			return nil, fmt.Errorf("%w: %w", errBadState, err)
		}
	default:
		return nil, fmt.Errorf("%w: flags %#x are unknown", errBadState, flags)
	}
	return decodeEntries(raw)
}

func decodeEntries(raw []byte) ([]entry, error) {
	r := reader{decbuf.Buf{B: raw}}
	n := r.count(maxEntries, minEntrySize)
	out := make([]entry, 0, min(n, 4096))
	for range n {
		e := entry{ID: r.text(), Body: r.body()}
		e.Beat = r.Uvarint()
		if err := r.Err(errBadState); err != nil {
			return nil, err
		}
		if e.ID == "" {
			return nil, fmt.Errorf("%w: a member has no ID", errBadState)
		}
		out = append(out, e)
	}
	return out, r.End(errBadState)
}

// reader reads members.
type reader struct{ decbuf.Buf }

// count reads a number of items that take size bytes or more each.
func (r *reader) count(limit, size int) int {
	n := r.Count(size)
	if n > limit {
		r.Fail("it has too many items")
		return 0
	}
	return n
}

func (r *reader) text() string {
	n := r.count(maxText, 1)
	return string(r.Take(uint64(n)))
}

func (r *reader) body() body {
	b := body{Version: r.Uvarint()}
	if b.Version == 0 {
		return b
	}
	b.Incarnation = r.Uvarint()
	if b.State = State(r.Byte()); b.State > Left {
		r.Fail("a state is unknown")
		return b
	}
	b.Registered = r.Uvarint()
	for _, s := range [...]*string{&b.Addr, &b.HTTPAddr, &b.Zone, &b.Build} {
		*s = r.text()
	}
	n := r.count(maxTokens, 1)
	if n == 0 {
		return b
	}
	b.Tokens = make([]uint32, n)
	last := uint64(0)
	for i := range b.Tokens {
		d := r.Uvarint()
		if last += d; d > 1<<32-1 || last > 1<<32-1 || d == 0 && i > 0 {
			r.Fail("tokens do not ascend")
			return b
		}
		b.Tokens[i] = uint32(last)
	}
	return b
}
