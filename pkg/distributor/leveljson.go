package distributor

import "bytes"

// ofJSON looks for a member that tells the level, in the object and in nested ones as deep as the limits say. The
// shallowest counts, then the first. It reads what it can: of a broken object, or one with text behind it, the part before.
func (f *levelFields) ofJSON(line []byte) level {
	found, foundDepth := levelNone, 0
	depth, inArray := 0, uint64(0)
	for i := 0; i < len(line); i++ {
		switch line[i] {
		case '{', '[':
			depth++
			if depth > 63 {
				return found
			}
			inArray &^= 1 << depth
			if line[i] == '[' {
				inArray |= 1 << depth
			}
		case '}', ']':
			if depth--; depth <= 0 {
				return found
			}
		case '"':
			end := stringEnd(line, i+1)
			if end < 0 {
				return found
			}
			key := line[i+1 : end]
			i = end
			if inArray != 0 && inArray<<(63-depth) != 0 || f.depth > 0 && depth > f.depth || found != levelNone && depth >= foundDepth || !hasField(f, key) {
				continue
			}
			if l := valueLevel(line, end+1); l != levelNone {
				if found, foundDepth = l, depth; depth == 1 {
					return found
				}
			}
		}
	}
	return found
}

// stringEnd returns the index of the quote that closes a string, -1 if there is none.
func stringEnd(b []byte, from int) int {
	for i := from; ; {
		n := bytes.IndexByte(b[i:], '"')
		if n < 0 {
			return -1
		}
		i += n
		slashes := 0
		for i-slashes > from && b[i-slashes-1] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			return i
		}
		i++
	}
}

// valueLevel returns the level of the string that follows a key, levelNone if what stands there is no key's value.
func valueLevel(b []byte, i int) level {
	skipSpace := func() {
		for i < len(b) && (b[i] == ' ' || b[i] == '\t') {
			i++
		}
	}
	if skipSpace(); i == len(b) || b[i] != ':' {
		return levelNone
	}
	i++
	if skipSpace(); i == len(b) || b[i] != '"' {
		return levelNone
	}
	end := stringEnd(b, i+1)
	if end < 0 {
		return levelNone
	}
	return levelOf(b[i+1 : end])
}
