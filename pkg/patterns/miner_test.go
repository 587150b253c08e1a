package patterns_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"logstore/pkg/patterns"
)

const second = int64(time.Second)

func texts(ps []patterns.Pattern) []string {
	var out []string
	for _, p := range ps {
		out = append(out, p.Text)
	}
	return out
}

func TestTemplates(t *testing.T) {
	m := patterns.NewMiner(patterns.DefaultConfig())
	users := []string{"alice", "bob", "carol"}
	for i := range 90 {
		m.Train(int64(i)*second, fmt.Appendf(nil, "user %s logged in from 10.0.0.%d", users[i%3], i), "info")
		if i%2 == 0 {
			m.Train(int64(i)*second, fmt.Appendf(nil, "level=error msg=timeout took=%dms", i), "error")
		}
	}
	got := m.Patterns(0, 100*second, 0)
	require.Equal(t, []string{"user <_> logged in from <_>", "level=error msg=timeout took=<_>"}, texts(got))
	require.Equal(t, "error", got[1].Level)
	require.Len(t, got[0].Samples, 9)
	require.Equal(t, patterns.Sample{T: 0, Count: 10}, got[0].Samples[0])
	wide := m.Patterns(0, 100*second, 60*second)
	require.Equal(t, []patterns.Sample{{T: 0, Count: 60}, {T: 60 * second, Count: 30}}, wide[0].Samples)
	require.Empty(t, m.Patterns(200*second, 300*second, 0))
}

func TestBounds(t *testing.T) {
	cfg := patterns.DefaultConfig()
	cfg.MaxTemplates = 20
	m := patterns.NewMiner(cfg)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 5000 {
		words := make([]string, 1+rng.IntN(90))
		for j := range words {
			words[j] = string(rune('a' + rng.IntN(26)))
		}
		m.Train(int64(i)*second, []byte(strings.Join(words, " ")), "")
	}
	require.LessOrEqual(t, len(m.Patterns(0, 1<<62, 0)), 20)
	m.Train(0, nil, "")
	m.Train(0, []byte("   "), "")
	m.Prune(1 << 62)
	require.Empty(t, m.Patterns(0, 1<<62, 0))
}

func TestLateLinesAndForgetting(t *testing.T) {
	m := patterns.NewMiner(patterns.DefaultConfig())
	m.Train(100*second, []byte("a b"), "")
	m.Train(50*second, []byte("a b"), "")
	m.Train(51*second, []byte("a b"), "")
	require.Equal(t, []patterns.Sample{{T: 50 * second, Count: 2}, {T: 100 * second, Count: 1}}, m.Patterns(0, 1000*second, 0)[0].Samples)
	m.Train(4000*second, []byte("a b"), "")
	require.Equal(t, []patterns.Sample{{T: 4000 * second, Count: 1}}, m.Patterns(0, 5000*second, 0)[0].Samples)
}

func TestMerge(t *testing.T) {
	got := patterns.Merge([]patterns.Pattern{
		{Text: "a", Samples: []patterns.Sample{{T: 1, Count: 1}, {T: 3, Count: 1}}},
		{Text: "b", Samples: []patterns.Sample{{T: 1, Count: 9}}},
		{Text: "a", Samples: []patterns.Sample{{T: 2, Count: 1}, {T: 3, Count: 2}}},
	})
	require.Equal(t, []string{"b", "a"}, texts(got))
	require.Equal(t, []patterns.Sample{{T: 1, Count: 1}, {T: 2, Count: 1}, {T: 3, Count: 3}}, got[1].Samples)
}

func FuzzTrain(f *testing.F) {
	f.Add("level=info msg=\"x y\" {a:1}")
	f.Fuzz(func(t *testing.T, line string) {
		m := patterns.NewMiner(patterns.DefaultConfig())
		m.Train(1, []byte(line), "")
		m.Train(2, []byte(line+" tail"), "")
		for _, p := range m.Patterns(0, 100*second, 0) {
			require.NotEmpty(t, p.Text)
		}
	})
}

func BenchmarkTrain(b *testing.B) {
	m := patterns.NewMiner(patterns.DefaultConfig())
	line := []byte(`level=info ts=2026-01-20T00:00:00Z caller=server.go:123 msg="request served" method=GET path=/api/v1/items status=200 duration=12ms`)
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		m.Train(int64(i), line, "info")
	}
}
