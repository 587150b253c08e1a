package rpc

import (
	"errors"
	"fmt"
	"io"

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
	// out is what is sent; it is not copied.
	out []byte
	// in is what was received, with the byte in front.
	in []byte
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
	return mem.BufferSlice{head, mem.SliceBuffer(f.out)}, nil
}

// Unmarshal takes what was received.
func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	f, ok := v.(*frame)
	if !ok {
		return encoding.GetCodecV2(proto.Name).Unmarshal(data, v)
	}
	f.in = data.Materialize()
	if len(f.in) == 0 || f.in[0] > 1 {
		return fmt.Errorf("%w: it has no head", errFrame)
	}
	f.last, f.in = f.in[0] == 1, f.in[1:]
	return nil
}

// messenger is either end of a gRPC stream.
type messenger interface {
	SendMsg(m any) error
	RecvMsg(m any) error
}

// sendMessage sends a message in frames of at most size bytes. It does not copy it: nobody may change it afterwards.
func sendMessage(to messenger, message []byte, size int) error {
	for {
		n := min(len(message), size)
		f := frame{last: n == len(message), out: message[:n:n]}
		if err := to.SendMsg(&f); err != nil {
			return err
		}
		if f.last {
			return nil
		}
		message = message[n:]
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
