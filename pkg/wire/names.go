package wire

// Names of structured metadata, and of labels made of OTLP attributes, consist of [a-zA-Z0-9_]. Another character becomes
// an underscore, of several underscores in a row one is kept, and before a leading digit goes key_.

// nameClass tells the bytes of clean names: 1 for letters and digits, 2 for the underscore.
var nameClass = func() (t [256]uint8) {
	for c := range 256 {
		switch {
		case c == '_':
			t[c] = 2
		case isNameByte(byte(c), true):
			t[c] = 1
		}
	}
	return t
}()

// IsCleanName reports whether a name needs no cleaning.
func IsCleanName(name string) bool {
	if name == "" || '0' <= name[0] && name[0] <= '9' {
		return false
	}
	last := uint8(0)
	for i := range len(name) {
		class := nameClass[name[i]]
		if class == 0 || class == 2 && last == 2 {
			return false
		}
		last = class
	}
	return true
}

// AppendCleanName appends the clean form of a name.
func AppendCleanName(dst []byte, name string) []byte {
	if name != "" && '0' <= name[0] && name[0] <= '9' {
		dst = append(dst, "key_"...)
	}
	under := false
	for i := range len(name) {
		if nameClass[name[i]] == 1 {
			dst, under = append(dst, name[i]), false
		} else if !under {
			dst, under = append(dst, '_'), true
		}
	}
	return dst
}

// cleanName returns the clean form of a name, which aliases the name or the text arena.
func (r *PushRequest) cleanName(name string) string {
	if IsCleanName(name) {
		return name
	}
	from := len(r.text)
	r.text = AppendCleanName(r.text, name)
	return str(r.text[from:])
}

// cleanPath returns the clean form of prefix_name.
func (r *PushRequest) cleanPath(prefix, name string) string {
	if prefix == "" {
		return r.cleanName(name)
	}
	from := len(r.text)
	r.text = append(append(r.text, prefix...), '_')
	r.text = append(r.text, name...)
	dirty := str(r.text[from:])
	if IsCleanName(dirty) {
		return dirty
	}
	return r.cleanName(dirty)
}
