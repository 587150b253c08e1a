package pipeline

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// ipMatcher finds addresses in text that are one address, within a range or within a CIDR.
type ipMatcher struct {
	first, last netip.Addr
}

// newIPMatcher reads 10.0.0.1, 10.0.0.1-10.0.0.9 or 10.0.0.0/8, or their like in IPv6.
func newIPMatcher(pattern string) (*ipMatcher, error) {
	if pattern == "" {
		return nil, fmt.Errorf("ip: empty pattern")
	}
	if addr, err := netip.ParseAddr(pattern); err == nil {
		return &ipMatcher{addr, addr}, nil
	}
	if prefix, err := netip.ParsePrefix(pattern); err == nil {
		prefix = prefix.Masked()
		return &ipMatcher{prefix.Addr(), lastOf(prefix)}, nil
	}
	if from, to, ok := strings.Cut(pattern, "-"); ok {
		first, err1 := netip.ParseAddr(from)
		last, err2 := netip.ParseAddr(to)
		if err1 == nil && err2 == nil && first.Is4() == last.Is4() && !last.Less(first) {
			return &ipMatcher{first, last}, nil
		}
	}
	return nil, fmt.Errorf("ip: invalid pattern: %s", pattern)
}

// lastOf returns the highest address of a prefix.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().As16()
	bits := p.Bits()
	if p.Addr().Is4() {
		bits += 96
	}
	for i := bits; i < 128; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	a := netip.AddrFrom16(b)
	if p.Addr().Is4() {
		a = a.Unmap()
	}
	return a
}

func (m *ipMatcher) contains(a netip.Addr) bool {
	return a.Compare(m.first) >= 0 && a.Compare(m.last) <= 0
}

// literal returns text that every address of the pattern begins with as it is usually written, "" if there is none: the
// leading numbers that the bounds have in common. IPv6 has too many ways to write an address.
func (m *ipMatcher) literal() string {
	if !m.first.Is4() {
		return ""
	}
	if m.first == m.last {
		return m.first.String()
	}
	a, b := m.first.As4(), m.last.As4()
	out := ""
	for i := 0; i < 3 && a[i] == b[i]; i++ {
		out += strconv.Itoa(int(a[i])) + "."
	}
	return out
}

// The classes of bytes in addresses.
const (
	ipDigit = 1 << iota
	ipHex
	ipPunct
)

var ipClass = func() (t [256]byte) {
	for c := '0'; c <= '9'; c++ {
		t[c] = ipDigit | ipHex
	}
	for c := 'a'; c <= 'f'; c++ {
		t[c], t[c-'a'+'A'] = ipHex, ipHex
	}
	t['.'], t[':'] = ipPunct, ipPunct
	return t
}()

// matchLine reports whether the text has an address that matches. Addresses are the longest runs of digits and points, or of
// hexadecimal digits, colons and points, that can be read as one.
func (m *ipMatcher) matchLine(line []byte) bool {
	for i := 0; i < len(line); {
		if ipClass[line[i]] == 0 {
			i++
			continue
		}
		start := i
		punct := false
		for i < len(line) && ipClass[line[i]] != 0 {
			punct = punct || line[i] == '.' || line[i] == ':'
			i++
		}
		if punct && m.matchRun(line[start:i]) {
			return true
		}
	}
	return false
}

// matchRun looks for addresses in a run of hexadecimal digits, colons and points.
func (m *ipMatcher) matchRun(run []byte) bool {
	if a, err := netip.ParseAddr(text(run)); err == nil {
		return m.contains(a)
	}
	// Not an address as a whole, for example the colon before it belongs to the text: try its parts.
	for i := 0; i < len(run); {
		if ipClass[run[i]]&ipDigit == 0 {
			i++
			continue
		}
		start := i
		for i < len(run) && (ipClass[run[i]]&ipDigit != 0 || run[i] == '.') {
			i++
		}
		if a, err := netip.ParseAddr(text(run[start:i])); err == nil && m.contains(a) {
			return true
		}
	}
	return false
}
