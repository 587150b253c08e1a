package pipeline

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// sizeUnits are the factors of the units of a size, in lower case.
var sizeUnits = map[string]float64{
	"": 1, "b": 1,
	"k": 1e3, "kb": 1e3, "ki": 1 << 10, "kib": 1 << 10,
	"m": 1e6, "mb": 1e6, "mi": 1 << 20, "mib": 1 << 20,
	"g": 1e9, "gb": 1e9, "gi": 1 << 30, "gib": 1 << 30,
	"t": 1e12, "tb": 1e12, "ti": 1 << 40, "tib": 1 << 40,
	"p": 1e15, "pb": 1e15, "pi": 1 << 50, "pib": 1 << 50,
	"e": 1e18, "eb": 1e18, "ei": 1 << 60, "eib": 1 << 60,
}

// parseSize reads a size such as 1.5KB, 3 MiB or 1,024 in bytes.
func parseSize(s string) (uint64, error) {
	end := 0
	comma := false
	for end < len(s) && (s[end] >= '0' && s[end] <= '9' || s[end] == '.' || s[end] == ',') {
		comma = comma || s[end] == ','
		end++
	}
	num := s[:end]
	if comma {
		num = strings.ReplaceAll(num, ",", "")
	}
	v, err := parseNumber(num)
	if err != nil {
		return 0, fmt.Errorf("cannot read size %q: %w", strings.Clone(s), strconv.ErrSyntax)
	}
	unit := strings.TrimSpace(s[end:])
	var low [3]byte
	if len(unit) > len(low) {
		return 0, fmt.Errorf("unhandled size name: %s", strings.Clone(unit))
	}
	for i := 0; i < len(unit); i++ {
		low[i] = unit[i]
		if c := unit[i]; c >= 'A' && c <= 'Z' {
			low[i] = c + 'a' - 'A'
		}
	}
	f, ok := sizeUnits[string(low[:len(unit)])]
	if !ok {
		return 0, fmt.Errorf("unhandled size name: %s", strings.Clone(unit))
	}
	v *= f
	if v >= math.MaxUint64 {
		return 0, fmt.Errorf("too large: %s", strings.Clone(s))
	}
	return uint64(v), nil
}
