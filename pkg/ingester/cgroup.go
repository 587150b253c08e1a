package ingester

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
)

// unknownMemory is assumed where the system does not tell.
const unknownMemory = 4 << 30

// AvailableMemory is what the process may use: the least of the machine's memory, the limits of its cgroups and GOMEMLIMIT.
func AvailableMemory() int64 { return min(availableMemoryAt("/"), debug.SetMemoryLimit(-1)) }

func availableMemoryAt(root string) int64 {
	least := int64(math.MaxInt64)
	take := func(n int64, ok bool) {
		if ok && n > 0 {
			least = min(least, n)
		}
	}
	take(machineMemory(filepath.Join(root, "proc/meminfo")))
	base := filepath.Join(root, "sys/fs/cgroup")
	take(number(filepath.Join(base, "memory.max")))
	take(number(filepath.Join(base, "memory/memory.limit_in_bytes")))
	own, _ := os.ReadFile(filepath.Join(root, "proc/self/cgroup"))
	for line := range strings.Lines(string(own)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) < 3 {
			continue
		}
		// A limit of a group above holds as well.
		for dir := fields[2]; dir != "/" && dir != "." && dir != ""; dir = filepath.Dir(dir) {
			switch {
			case fields[1] == "":
				take(number(filepath.Join(base, dir, "memory.max")))
			case strings.Contains(fields[1], "memory"):
				take(number(filepath.Join(base, "memory", dir, "memory.limit_in_bytes")))
			}
		}
	}
	if least == math.MaxInt64 {
		return unknownMemory
	}
	return least
}

// number reads a file that holds one number; "max" is none.
func number(name string) (int64, bool) {
	b, err := os.ReadFile(filepath.Clean(name))
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(string(bytes.TrimSpace(b)), 10, 64)
	return n, err == nil
}

func machineMemory(name string) (int64, bool) {
	b, err := os.ReadFile(filepath.Clean(name))
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "MemTotal:"); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return n << 10, err == nil
		}
	}
	return 0, false
}
