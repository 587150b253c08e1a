package sidecar

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"logstore/pkg/model"
)

// sample is a block of lines for Build.
type sample struct {
	ts    []int64
	lines []string
	meta  [][]model.Pair
}

func (s *sample) input() Input {
	var in Input
	for i, line := range s.lines {
		in.Buf = append(in.Buf, fmt.Sprintf("\x80\x90%d,", i)...) // what stands between lines in a block
		in.Ts = append(in.Ts, s.ts[i])
		in.Start = append(in.Start, uint32(len(in.Buf)))
		in.Buf = append(in.Buf, line...)
		in.End = append(in.End, uint32(len(in.Buf)))
	}
	in.Buf = append(in.Buf, "\x81tail"...)
	if s.meta != nil {
		in.Metadata = func(i int, dst []model.Pair) []model.Pair { return append(dst, s.meta[i]...) }
	}
	return in
}

var wide = Options{BitsPerKey: 8, MaxBytes: 1 << 20}

func randomSample(rng *rand.Rand, n int) *sample {
	s := &sample{}
	now := rng.Int64N(1 << 61)
	step := []int64{1, 1e6, 1e9}[rng.IntN(3)]
	now -= now % step
	for range n {
		now += rng.Int64N(5000) * step
		s.ts = append(s.ts, now)
		s.lines = append(s.lines, randomLine(rng))
	}
	if rng.IntN(2) == 0 {
		for range n {
			var pairs []model.Pair
			if rng.IntN(4) > 0 {
				pairs = append(pairs, model.Pair{Name: "level", Value: []string{"info", "warn", ""}[rng.IntN(3)]})
			}
			if rng.IntN(2) > 0 {
				pairs = append(pairs, model.Pair{Name: "trace_id", Value: fmt.Sprintf("%x", rng.Uint64())})
			}
			s.meta = append(s.meta, pairs)
		}
	}
	return s
}

func randomLine(rng *rand.Rand) string {
	words := []string{"error", "Connection", "refused", "größe", "ſtop", "\u212aelvin", "a_b_c", "12345", "123", "x", "", "日本語", "deadbeef0123456789abcdef", "\xff\xfe"}
	var b strings.Builder
	for range rng.IntN(12) {
		switch rng.IntN(4) {
		case 0:
			fmt.Fprintf(&b, "%x", rng.Uint64()>>rng.IntN(64))
		case 1:
			fmt.Fprintf(&b, "%016x%016x", rng.Uint64(), rng.Uint64())
		default:
			b.WriteString(words[rng.IntN(len(words))])
		}
		b.WriteString([]string{" ", "=", "-", "", ":\"", "\n"}[rng.IntN(6)])
	}
	return b.String()
}

// TestFilterNeverRulesOut cuts needles out of lines, whatever their bounds, and in other cases.
func TestFilterNeverRulesOut(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 60 {
		s := randomSample(rng, 1+rng.IntN(200))
		b := Build(s.input(), Options{BitsPerKey: 2 + 8*rng.Float64(), MaxBytes: 1 << 20})
		for range 200 {
			i := rng.IntN(len(s.lines))
			line := s.lines[i]
			from := rng.IntN(len(line) + 1)
			to := from + rng.IntN(len(line)+1-from)
			needle := line[from:to]
			require.True(t, b.MayMeet([]Demand{{Text(needle, false)}}), "%q of %q", needle, line)
			folded := strings.Map(func(r rune) rune {
				if r == '\u212a' || r == 'ſ' {
					return map[rune]rune{'\u212a': 'k', 'ſ': 'S'}[r]
				}
				if r < 0x80 && rng.IntN(2) == 0 {
					return []rune(strings.ToUpper(string(r)))[0]
				}
				return r
			}, strings.ToValidUTF8(needle, ""))
			if strings.ToValidUTF8(needle, "") == needle {
				require.True(t, b.MayMeet([]Demand{{Text(folded, true)}}), "%q of %q", folded, line)
			}
			absent := Text("quetzalcoatlusXYZQQ", false)
			require.True(t, b.MayMeet([]Demand{{absent, Text(needle, false)}}))
			if s.meta != nil {
				for _, p := range s.meta[i] {
					require.True(t, b.MayMeet([]Demand{{Pair(p.Name, p.Value)}}))
				}
			}
		}
	}
}

func TestFilterRulesOut(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	s := &sample{}
	for i := range 1500 {
		s.ts = append(s.ts, int64(i)*1e9)
		s.lines = append(s.lines, fmt.Sprintf(`level=info msg="request done" id=%08x-%04x-%04x trace=%016x%016x user=%d`,
			rng.Uint32(), rng.IntN(1<<16), rng.IntN(1<<16), rng.Uint64(), rng.Uint64(), rng.IntN(1e9)))
	}
	b := Build(s.input(), Options{BitsPerKey: 6, MaxBytes: 1 << 20})
	wrong := map[string]int{}
	const tries = 2000
	for range tries {
		for kind, n := range map[string]Needle{
			"id in dashes":  Text(fmt.Sprintf("id=%08x-%04x-", rng.Uint32(), rng.IntN(1<<16)), false),
			"trace":         Text(fmt.Sprintf("%016x%016x", rng.Uint64(), rng.Uint64()), false),
			"bare id":       Text(fmt.Sprintf("%08x-%04x-%04x", rng.Uint32(), rng.IntN(1<<16), rng.IntN(1<<16)), false),
			"word":          Text([]string{"quetzal", "Deadline", "kerfuffle", "flibber"}[rng.IntN(4)], false),
			"word any case": Text("DEADLINE", true),
			"whole number":  Text(fmt.Sprintf("=%d ", 1e10+rng.Int64N(1e10)), false),
			"pair":          Pair("trace_id", fmt.Sprint(rng.Uint64())),
		} {
			if b.MayMeet([]Demand{{n}}) {
				wrong[kind]++
			}
		}
	}
	for kind, n := range wrong {
		require.Less(t, n, tries/10, kind)
	}
	require.True(t, b.MayMeet([]Demand{{Text("a1", false)}}), "too short to tell")
	require.True(t, Demand{Text("quetzal", false), Text("x", false)}.Blind())
}

func TestColumns(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	for range 100 {
		s := randomSample(rng, 1+rng.IntN(600))
		b := Build(s.input(), wide)
		require.Equal(t, s.ts[0], b.MinTime)
		require.Equal(t, s.ts[len(s.ts)-1], b.MaxTime)
		require.Equal(t, len(s.ts), b.Entries)
		checkColumns(t, s, &b)
	}
}

func checkColumns(t *testing.T, s *sample, b *Block) {
	var times Times
	require.True(t, b.Times(&times))
	for i, ts := range s.ts {
		require.Equal(t, ceilDiv(ts, times.Unit), times.Ticks[i])
		require.True(t, !times.Exact || ts == times.Ticks[i]*times.Unit)
	}
	require.True(t, b.Clean(5e9))
	require.Equal(t, times.Exact, b.Clean(5e9+1))
	lengths, ok := b.Lengths(nil)
	require.True(t, ok)
	sum, meta := int64(0), int64(0)
	for i, line := range s.lines {
		require.Equal(t, uint64(len(line)), lengths[i])
		sum += int64(len(line))
	}
	columns, complete := b.Columns(func(name string) bool { return name == "level" })
	require.True(t, complete)
	for i := range s.meta {
		want, got := "none", "none"
		for _, p := range s.meta[i] {
			meta += int64(len(p.Name) + len(p.Value))
			if p.Name == "level" {
				want = p.Value
			}
		}
		if len(columns) > 0 && columns[0].Index[i] > 0 {
			got = columns[0].Values[columns[0].Index[i]-1]
		}
		require.Equal(t, want, got)
	}
	require.Equal(t, sum, b.LineBytes)
	require.Equal(t, meta, b.MetaBytes)
	distinct := map[string]bool{}
	for _, pairs := range s.meta {
		for _, p := range pairs {
			if p.Name == "trace_id" {
				distinct[p.Value] = true
			}
		}
	}
	_, complete = b.Columns(nil)
	require.Equal(t, len(distinct) <= maxValues, complete)
}

func TestRoom(t *testing.T) {
	s := randomSample(rand.New(rand.NewPCG(3, 3)), 1000)
	for room := range 200 {
		b := Build(s.input(), Options{BitsPerKey: 6, MaxBytes: room * 100})
		require.LessOrEqual(t, b.Bytes(), room*100)
		require.Equal(t, 1000, b.Entries)
	}
	require.Zero(t, Build(Input{}, wide))
}

func TestPacked(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	for width := range 65 {
		for _, n := range []int{0, 1, 2, 127, 128, 129, 300} {
			v := make([]uint64, n)
			low := rng.Uint64() >> rng.IntN(64)
			for i := range v {
				v[i] = low
				if width > 0 {
					v[i] += rng.Uint64() >> (64 - width)
				}
				if v[i] < low {
					v[i] = math.MaxUint64
				}
			}
			got, ok := readPacked(nil, appendPacked(nil, v), n)
			require.True(t, ok)
			require.True(t, slices.Equal(v, got), "width %d, %d numbers", width, n)
		}
	}
}

func testObject() *Object {
	s := &sample{
		ts: []int64{1700000000000000001, 1700000001000000000, 1700000001000000000}, lines: []string{"GET /index 200", "connection refused 0123456789abcdef", ""},
		meta: [][]model.Pair{{{Name: "level", Value: "info"}}, {{Name: "level", Value: "warn"}, {Name: "pod", Value: "a"}}, nil},
	}
	late := &sample{ts: []int64{1700000002000000000}, lines: []string{"größe"}}
	return &Object{
		Ref:  model.ChunkRef{Tenant: "acme", Fingerprint: 0x39f314664f94044d, From: 1700000000000, Through: 1700000002000, Checksum: 0xa2bd1dff},
		Size: 5000, Version: 4, Encoding: 5, SymbolsOffset: 300, SymbolsLength: 20,
		Places: []Place{{Offset: 400, Length: 1000, Sum: 7, Size: 1500}, {Offset: 1404, Length: 50, Sum: 9, Size: 6}},
		Blocks: []Block{Build(s.input(), wide), Build(late.input(), wide)},
	}
}

func TestObject(t *testing.T) {
	o := testObject()
	data := o.Append(nil)
	got, l, err := Open(data, o.Ref)
	require.NoError(t, err)
	require.Equal(t, o, got)
	require.Equal(t, len(data), l.Filters)

	for n := range len(data) {
		got, part, err := Open(data[:n:n], o.Ref)
		var short *ShortError
		if n < l.Directory {
			require.ErrorAs(t, err, &short)
			require.Greater(t, short.Need, n)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, l, part)
		require.Equal(t, n >= l.Columns, got.Blocks[1].HasTimes())
		require.Equal(t, n >= l.Filters, len(got.Blocks[1].filter) > 0)
	}
	other := o.Ref
	other.Checksum++
	_, _, err = Open(data, other)
	require.ErrorIs(t, err, ErrForeign)
	for i := range data {
		bad := slices.Clone(data)
		bad[i] ^= 0x10
		_, _, err := Open(bad, o.Ref)
		require.Error(t, err, "byte %d", i)
	}
}

// TestGolden holds the format: what was written once must be read for ever.
func TestGolden(t *testing.T) {
	golden(t, "testdata/golden.hex", testObject().Append(nil))
}

// golden wants the bytes that a file has in hex.
func golden(t *testing.T, file string, data []byte) {
	t.Helper()
	if os.Getenv("UPDATE_GOLDEN") != "" {
		require.NoError(t, os.WriteFile(file, []byte(hex.EncodeToString(data)+"\n"), 0o644))
	}
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	want, err := hex.DecodeString(strings.TrimSpace(string(text)))
	require.NoError(t, err)
	require.Equal(t, want, data)
}

// resummed returns bytes whose directory has the right checksum, so that a fuzzer gets behind the first door.
func resummed(data []byte) []byte {
	if len(data) > frontSize+4 {
		end := frontSize + int(binary.BigEndian.Uint32(data[5:]))
		if end > 0 && end+4 <= len(data) {
			data = slices.Clone(data)
			binary.BigEndian.PutUint32(data[end:], sumOf(data[:end]))
		}
	}
	return data
}

func FuzzOpen(f *testing.F) {
	o := testObject()
	data := o.Append(nil)
	f.Add(data)
	f.Add(data[:60])
	f.Fuzz(func(t *testing.T, data []byte) {
		got, _, err := Open(resummed(data), o.Ref)
		if err != nil {
			return
		}
		for i := range got.Blocks {
			use(&got.Blocks[i])
		}
	})
}

// FuzzBlock decodes bad columns and filters that have the right checksum.
func FuzzBlock(f *testing.F) {
	for _, b := range testObject().Blocks {
		f.Add(b.columns, []byte(b.filter), b.Entries)
	}
	f.Fuzz(func(t *testing.T, columns, bloom []byte, entries int) {
		b := Block{Entries: entries % 10000, columns: columns, filter: bloom}
		if !b.filter.valid() {
			b.filter = nil
		}
		use(&b)
	})
}

func use(b *Block) {
	var times Times
	b.Times(&times)
	b.Lengths(nil)
	b.Columns(nil)
	b.Clean(1)
	b.MayMeet([]Demand{{Text("needle in a haystack 0123456789abcdef", false)}})
}

func BenchmarkBuild(b *testing.B) {
	s := &sample{}
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range 1000 {
		s.ts = append(s.ts, int64(i)*1e9)
		s.lines = append(s.lines, fmt.Sprintf(`{"level":"info","msg":"request completed","method":"GET","path":"/api/v1/orders/%d","status":200,"duration_ms":%d,"trace_id":"%016x%016x","user":"user-%d"}`,
			rng.IntN(1e6), rng.IntN(1000), rng.Uint64(), rng.Uint64(), rng.IntN(5000)))
	}
	in := s.input()
	b.SetBytes(int64(len(in.Buf)))
	for b.Loop() {
		Build(in, Options{BitsPerKey: 6, MaxBytes: 6000})
	}
}

// TestFilterWithoutNumbers leaves short numbers out where they would take the room of what tells more.
func TestFilterWithoutNumbers(t *testing.T) {
	s := &sample{}
	for i := range 2000 {
		s.ts = append(s.ts, int64(i)*1e9)
		s.lines = append(s.lines, fmt.Sprintf("sshd[%d]: port %d of host-%d", 10000+i, 20000+i, i%100))
	}
	number, word := []Demand{{Text("[11999]", false)}}, []Demand{{Text(" quetzal ", false)}}
	wide := Build(s.input(), Options{BitsPerKey: 8, MaxBytes: 1 << 20})
	narrow := Build(s.input(), Options{BitsPerKey: 8, MaxBytes: len(wide.columns) + 1200})
	require.Positive(t, len(narrow.filter))
	require.True(t, wide.MayMeet(number) && narrow.MayMeet(number))
	require.False(t, wide.MayMeet(word) || narrow.MayMeet(word))
	absent := []Demand{{Text("[99999]", false)}, {Text("[99998]", false)}, {Text("[99997]", false)}}
	require.False(t, wide.MayMeet(absent))
	require.True(t, narrow.MayMeet(absent), "it cannot tell")
}
