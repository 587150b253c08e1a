package engine

// bindings keeps what a worker bound to streams. The last one is found at once, and a number of others are remembered,
// since blocks of many streams may come by turns.
type bindings[B any] struct {
	last   *stream
	value  B
	others map[*stream]B
}

// maxBindings bounds the streams that one worker remembers.
const maxBindings = 512

// get returns what is bound to the stream, or binds it.
func (b *bindings[B]) get(s *stream, bind func() B) B {
	if b.last == s {
		return b.value
	}
	v, ok := b.others[s]
	if !ok {
		v = bind()
		if len(b.others) >= maxBindings {
			clear(b.others)
		}
		if b.others == nil {
			b.others = map[*stream]B{}
		}
		b.others[s] = v
	}
	b.last, b.value = s, v
	return v
}
