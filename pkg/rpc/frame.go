package rpc

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
)

// A frame on the wire is one byte, frameMore or frameLast, and a part of a message.
var (
	frameMore = mem.SliceBuffer{0}
	frameLast = mem.SliceBuffer{1}
)

// errFrame is wrapped by errors about frames that make no sense.
var errFrame = errors.New("bad frame")

// frame is what gRPC is given to send or to fill.
type frame struct {
	last bool
	// out is what is sent, part by part; it is not copied.
	out [][]byte
	// in is what was received. If reuse is set it is appended to what in holds, and no memory is taken while there is room.
	in    []byte
	reuse bool
}

// codec hands frames through as they are. Messages of other services, that of health checks, are protobuf.
type codec struct{}

// Name makes the content type of calls "application/grpc+proto", lest proxies wonder.
func (codec) Name() string { return proto.Name }

// Marshal returns the bytes to send.
func (codec) Marshal(v any) (mem.BufferSlice, error) {
	f, ok := v.(*frame)
	if !ok {
		return encoding.GetCodecV2(proto.Name).Marshal(v)
	}
	head := frameMore
	if f.last {
		head = frameLast
	}
	parts := append(make(mem.BufferSlice, 0, 1+len(f.out)), head)
	for _, b := range f.out {
		parts = append(parts, mem.SliceBuffer(b))
	}
	return parts, nil
}

// Unmarshal takes what was received.
func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	f, ok := v.(*frame)
	if !ok {
		return encoding.GetCodecV2(proto.Name).Unmarshal(data, v)
	}
	if f.reuse {
		return f.take(data)
	}
	f.in = data.Materialize()
	if len(f.in) == 0 || f.in[0] > 1 {
		return fmt.Errorf("%w: it has no head", errFrame)
	}
	f.last, f.in = f.in[0] == 1, f.in[1:]
	return nil
}

// take appends what was received.
func (f *frame) take(data mem.BufferSlice) error {
	f.in = slices.Grow(f.in, data.Len())
	head := true
	for _, part := range data {
		b := part.ReadOnlyData()
		if head && len(b) > 0 {
			if head = false; b[0] > 1 {
				break
			}
			f.last, b = b[0] == 1, b[1:]
		}
		f.in = append(f.in, b...)
	}
	if head {
		return fmt.Errorf("%w: it has no head", errFrame)
	}
	return nil
}

// messenger is either end of a gRPC stream.
type messenger interface {
	SendMsg(m any) error
	RecvMsg(m any) error
}

// sendMessage sends a message in frames of at most size bytes. It does not copy it: nobody may change it afterwards.
func sendMessage(to messenger, message []byte, size int) error {
	return sendParts(to, [][]byte{message}, size)
}

// sendParts is sendMessage of a message that stands in several places.
func sendParts(to messenger, parts [][]byte, size int) error {
	rest := 0
	for _, p := range parts {
		rest += len(p)
	}
	for {
		f := frame{last: rest <= size}
		for room := size; room > 0 && len(parts) > 0; {
			p := parts[0]
			if n := len(p); n <= room {
				f.out, parts, room, rest = append(f.out, p), parts[1:], room-n, rest-n
				continue
			}
			f.out, parts[0], rest = append(f.out, p[:room:room]), p[room:], rest-room
			room = 0
		}
		if err := to.SendMsg(&f); err != nil {
			return err
		}
		if f.last {
			return nil
		}
	}
}

// receiveMessage receives a message, which is the caller's; io.EOF if there is no other.
func receiveMessage(from messenger, limit int) ([]byte, error) {
	var whole []byte
	for {
		var f frame
		err := from.RecvMsg(&f)
		if err != nil {
			if errors.Is(err, io.EOF) && whole != nil {
				return nil, fmt.Errorf("%w: the message ends early", errFrame)
			}
			return nil, err
		}
		if len(whole)+len(f.in) > limit {
			return nil, fmt.Errorf("%w: the message has more than %d bytes", errFrame, limit)
		}
		if whole == nil && f.last {
			return f.in, nil
		}
		if whole = append(whole, f.in...); f.last {
			return whole, nil
		}
	}
}

// receiveInto is receiveMessage for a reader with memory of its own: the message is appended to buf.
func receiveInto(from messenger, limit int, buf []byte) ([]byte, error) {
	f := frame{in: buf, reuse: true}
	for begun := false; ; begun = true {
		if err := from.RecvMsg(&f); err != nil {
			if errors.Is(err, io.EOF) && begun {
				return nil, fmt.Errorf("%w: the message ends early", errFrame)
			}
			return nil, err
		}
		if len(f.in) > limit {
			return nil, fmt.Errorf("%w: the message has more than %d bytes", errFrame, limit)
		}
		if f.last {
			return f.in, nil
		}
	}
}

// messages keeps the memory of pushes for the next ones.
var messages sync.Pool

// maxPooledMessage bounds what is kept.
const maxPooledMessage = 4 << 20

// getMessage returns an empty slice with room for size bytes.
func getMessage(size int) []byte {
	if b, ok := messages.Get().(*[]byte); ok {
		if cap(*b) >= size {
			return (*b)[:0]
		}
	}
	return make([]byte, 0, size)
}

// putMessage gives back the memory of a message that nobody reads any more.
func putMessage(b []byte) {
	if cap(b) > 0 && cap(b) <= maxPooledMessage {
		messages.Put(&b)
	}
}
