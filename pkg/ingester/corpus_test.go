package ingester

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"logstore/pkg/wire"
)

// corpusEnv names a folder with push bodies: frames of {u32 length, u32 shard, u32 lines, u32 bytes of lines, u64 newest},
// little-endian, and a body each, in batches.proto.bin.
const corpusEnv = "LOGSTORE_BENCH_CORPUS"

type corpusFrame struct {
	shard, lines, raw int
	body              []byte
}

// eachFrame calls fn for the frames of the corpus until it returns false.
func eachFrame(b testing.TB, fn func(corpusFrame) bool) {
	dir := os.Getenv(corpusEnv)
	if dir == "" {
		syntheticFrames(fn)
		return
	}
	f, err := os.Open(filepath.Join(dir, "batches.proto.bin"))
	require.NoError(b, err)
	defer f.Close()
	r := bufio.NewReaderSize(f, 1<<20)
	var h [24]byte
	for {
		if _, err := io.ReadFull(r, h[:]); err == io.EOF {
			return
		}
		fr := corpusFrame{int(binary.LittleEndian.Uint32(h[4:])), int(binary.LittleEndian.Uint32(h[8:])), int(binary.LittleEndian.Uint32(h[12:])),
			make([]byte, binary.LittleEndian.Uint32(h[0:]))}
		_, err := io.ReadFull(r, fr.body)
		require.NoError(b, err)
		if !fn(fr) {
			return
		}
	}
}
