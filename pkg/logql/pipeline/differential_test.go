package pipeline

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"logstore/pkg/logql/syntax"
	"logstore/pkg/model"
)

// randomStages are what random pipelines consist of.
var randomStages = []string{
	"| json", "| json", "| logfmt", "| logfmt", "|= `a`", "!= `b=2`", "|~ `[0-9]{2}`", "|= `one` or `7`", "|~ `(?i)ONE|x Y`", "!~ `^[{].*7`", "|> `<_>=<_>`",
	"| regexp `(?P<b>[0-9]+)(?P<c>[a-z]*)`", "| pattern `<a>=<b> <_>`", "| pattern `{<_>\":<c>,<n>`", "| decolorize",
	"| a=`1`", "| b!=`2`", "| c=~`o.+`", "| a_extracted=`1`", "| n > 5", "| n < 7 | a!=``", "| n != 3 or c=`one`", "| o_a > 1 and b=`2`",
	"| drop b", "| drop a, m", "| keep app, n, b, b_extracted", "| keep a, c, o_a", "| __error__=``", "| __error__!=`JSONParserErr`",
	"| label_format x=a, y=`<{{.b}}{{.m}}>`", "| label_format b=`{{.n}}`", "| label_format a=m", "| label_format z=`{{__line__}}`, n=a",
	"| line_format `a={{.a}} n={{.n}} k=v`", "| line_format `{\"o\":{\"a\":\"{{.b}}\"}}`", "| line_format `{{.c}}`",
}

// choices makes random decisions: first as the bytes of an input say, so that a fuzzer can steer them, then as a generator
// seeded with those bytes does.
type choices struct {
	data []byte
	rng  *rand.Rand
}

func newChoices(data []byte) *choices {
	var seed uint64 = 14695981039346656037
	for _, b := range data {
		seed = (seed ^ uint64(b)) * 1099511628211
	}
	return &choices{data: data, rng: rand.New(rand.NewPCG(seed, 1))}
}

func (c *choices) intN(n int) int {
	if len(c.data) > 0 {
		b := c.data[0]
		c.data = c.data[1:]
		return int(b) % n
	}
	return c.rng.IntN(n)
}

func (c *choices) pick(of ...string) string { return of[c.intN(len(of))] }

func (c *choices) value() string {
	return c.pick("1", "2", "7", "3.5", "one", "x y", "-4", "12", "\u001b[31mone\u001b[0m", "")
}

// line is logfmt or JSON of few keys, so that they meet.
func (c *choices) line() string {
	var parts []string
	for range c.intN(7) {
		parts = append(parts, c.pick("a", "b", "c", "n", "m", "app"))
	}
	if c.intN(2) == 0 {
		for i, k := range parts {
			parts[i] = fmt.Sprintf("%s=%q", k, c.value())
			if v := c.value(); c.intN(2) == 0 && v != "" && !strings.Contains(v, " ") {
				parts[i] = k + "=" + v
			}
		}
		return strings.Join(parts, " ")
	}
	for i, k := range parts {
		parts[i] = fmt.Sprintf("%q:%s", k, c.pick(`"`+strings.ReplaceAll(c.value(), "\u001b", "")+`"`, "7", "12", "true", "null", `[1,{"a":2}]`))
		if c.intN(4) == 0 {
			parts[i] = fmt.Sprintf(`"o":{"a":"%s","p":{"%s":3}}`, strings.ReplaceAll(c.value(), "\u001b", ""), k)
		}
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func (c *choices) stages() string {
	var stages string
	for range c.intN(6) {
		stages += randomStages[c.intN(len(randomStages))] + " "
	}
	return stages
}

// agree runs random lines through a random pipeline and through the reference: as a block with its literals searched for,
// line by line, and as samples with labels by group and by key.
func agree(t *testing.T, c *choices, what string) {
	t.Helper()
	stream := map[string]string{"app": "x", "a": "s"}
	stages := c.stages()
	q, err := syntax.ParseLog("{app=`x`} " + stages)
	require.NoError(t, err, stages)
	log, err := Build(q.Stages)
	require.NoError(t, err, stages)
	group := []string{"b", "x", "o_a", "n", "app", "b_extracted"}[:1+c.intN(6)]
	by, err := BuildSample(&syntax.RangeAggregation{Op: "bytes_over_time", Query: q}, &syntax.Grouping{Labels: group})
	require.NoError(t, err, stages)
	lines := make([]string, 6)
	for i := range lines {
		lines[i] = c.line()
	}
	blk := block(c.rng, lines)
	selected := map[int32]bool{}
	if log.MayMatch(blk) {
		for _, i := range log.Select(blk, 0, len(lines), nil) {
			selected[i] = true
		}
	}
	ls, bs := log.ForStream(labels.FromMap(stream)), by.ForStream(labels.FromMap(stream))
	for i, text := range lines {
		var md []model.Pair
		if c.intN(3) == 0 {
			md = meta("b", c.value(), "m", c.value())
		}
		ref := newReferenceLine(t, text, stream, md)
		kept := ref.run(q.Stages)
		if ref.unsure {
			continue
		}
		where := fmt.Sprintf("%s: %s on %q with %v", what, stages, text, md)

		require.Equal(t, log.MatchLine([]byte(text)), selected[int32(i)], where)
		out, res, ok := ls.Process(1, []byte(text), md)
		ok = ok && selected[int32(i)]
		require.Equal(t, kept, ok, where)
		if !ok {
			continue
		}
		got := res.Labels.Map()
		delete(got, errorDetailsLabel)
		require.Equal(t, ref.labels, got, where)
		require.Equal(t, ref.line, string(out), where)
		agreeOnSample(t, ref, bs, by, group, text, md, where)
	}
}

func agreeOnSample(t *testing.T, ref *referenceLine, bs *Stream, by *Pipeline, group []string, text string, md []model.Pair, where string) {
	t.Helper()
	v, res, ok, err := bs.Sample(1, []byte(text), md)
	require.True(t, ok, where)
	if err != nil || ref.labels[errorLabel] != "" {
		// Whether a query that groups meets the error depends on how far it has to read.
		return
	}
	want := map[string]string{}
	for _, name := range group {
		if v, ok := ref.labels[name]; ok {
			want[name] = v
		}
	}
	require.Equal(t, want, res.Labels.Map(), "by %v, %s", group, where)
	require.Equal(t, float64(len(ref.line)), v, where)

	v, key, ok, err := bs.SampleKey(1, []byte(text), md)
	require.NoError(t, err, where)
	require.True(t, ok, where)
	require.Equal(t, want, by.GroupLabels(key).Map(), "by %v, %s", group, where)
	require.Equal(t, float64(len(ref.line)), v, where)
}

// TestAgreesWithReference runs many random pipelines.
func TestAgreesWithReference(t *testing.T) {
	for round := range 4000 {
		agree(t, newChoices([]byte(fmt.Sprint(round))), fmt.Sprintf("round %d", round))
	}
}

// FuzzAgreesWithReference lets the fuzzer choose pipelines and lines.
func FuzzAgreesWithReference(f *testing.F) {
	for i := range 64 {
		f.Add([]byte{byte(i), byte(7 * i), byte(13 * i)})
	}
	f.Fuzz(func(t *testing.T, data []byte) { agree(t, newChoices(data), "fuzzed") })
}
