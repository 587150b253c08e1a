package shipper

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"logstore/pkg/schema"
)

// setOf returns a set of streams.
func setOf(lbls ...labels.Labels) *seriesSet {
	byID := map[schema.SeriesID]labels.Labels{}
	for _, l := range lbls {
		byID[schema.SeriesIDOf(l)] = l
	}
	var ids []schema.SeriesID
	for id := range byID {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b schema.SeriesID) int { return a.Compare(&b) })
	sorted := make([]labels.Labels, len(ids))
	for i, id := range ids {
		sorted[i] = byID[id]
	}
	return newSeriesSet(ids, sorted)
}

func randomLabels(rng *rand.Rand) labels.Labels {
	b := labels.NewBuilder(labels.EmptyLabels())
	for name, values := range map[string]int{"app": 3, "pod": 60, "zone": 2, "job": 1} {
		if rng.IntN(4) > 0 {
			b.Set(name, fmt.Sprintf("%s-%d", name, rng.IntN(values)))
		}
	}
	return b.Labels()
}

func randomMatcher(rng *rand.Rand) *labels.Matcher {
	names := []string{"app", "pod", "zone", "job", "absent"}
	values := []string{"", "app-1", "pod-7", "zone-0", "app-1|app-2|nosuch", "pod-1.*", ".*", ".+", "zone-1|", "nosuch", "(?i)APP-2"}
	m, err := labels.NewMatcher(labels.MatchType(rng.IntN(4)), names[rng.IntN(len(names))], values[rng.IntN(len(values))])
	if err != nil {
		panic(err)
	}
	return m
}

// TestMatch compares with asking each matcher about each stream.
func TestMatch(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		lbls := make([]labels.Labels, rng.IntN(80))
		for i := range lbls {
			lbls[i] = randomLabels(rng)
		}
		s := setOf(lbls...)
		q := query{present: rng.IntN(3) == 0}
		for range rng.IntN(4) {
			q.matchers = append(q.matchers, randomMatcher(rng))
		}
		if rng.IntN(3) == 0 {
			q.shardCount = uint64(rng.IntN(4))
			q.shardIndex = uint64(rng.IntN(3))
		}
		var want []uint32
		for i := range s.ids {
			ok := q.shardCount <= 1 || labels.StableHash(s.labels[i])%q.shardCount == q.shardIndex
			for _, m := range q.matchers {
				value := s.labels[i].Get(m.Name)
				ok = ok && m.Matches(value) && (!q.present || value != "")
			}
			if ok {
				want = append(want, uint32(i))
			}
		}
		got := s.match(q)
		require.Equal(t, len(want), len(got), "%v of %v", q, s.labels)
		require.True(t, slices.Equal(want, got), "%v of %v", q, s.labels)
	}
}

// TestLiveSets adds sets of all sizes and wants each stream once, in few sets.
func TestLiveSets(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var live liveSets
	n := 0
	for range 300 {
		var lbls []labels.Labels
		for range rng.IntN(30) + 1 {
			lbls = append(lbls, labels.FromStrings("n", fmt.Sprint(n)))
			n++
		}
		before := live.Load()
		had := countStreams(before["t"])
		live.add("t", setOf(lbls...))
		require.Equal(t, had, countStreams(before["t"]), "what a reader took has changed")
	}
	sets := live.Load()["t"]
	require.Less(t, len(sets), 16)
	require.Equal(t, n, countStreams(sets))
	found := 0
	for _, s := range sets {
		require.True(t, slices.IsSortedFunc(s.ids, func(a, b schema.SeriesID) int { return a.Compare(&b) }))
		found += len(s.match(query{matchers: []*labels.Matcher{labels.MustNewMatcher(labels.MatchRegexp, "n", ".+")}}))
	}
	require.Equal(t, n, found)
	id := schema.SeriesIDOf(labels.FromStrings("n", "5"))
	require.True(t, live.Load().has("t", &id))
	require.False(t, live.Load().has("other", &id))
}

func countStreams(sets []*seriesSet) int {
	n := 0
	for _, s := range sets {
		n += len(s.ids)
	}
	return n
}

func bigSet(n int) *seriesSet {
	lbls := make([]labels.Labels, n)
	for i := range lbls {
		lbls[i] = labels.FromStrings("cluster", "prod", "namespace", fmt.Sprintf("ns-%d", i%40), "app", fmt.Sprintf("app-%d", i%200),
			"pod", fmt.Sprintf("app-%d-%x", i%200, i*7919), "container", "main", "level", "info", "region", "eu")
	}
	return setOf(lbls...)
}

func BenchmarkMatch(b *testing.B) {
	s := bigSet(100_000)
	s.postings()
	for _, m := range []*labels.Matcher{
		labels.MustNewMatcher(labels.MatchRegexp, "cluster", ".+"),
		labels.MustNewMatcher(labels.MatchEqual, "pod", "app-7-"+fmt.Sprintf("%x", 207*7919)),
		labels.MustNewMatcher(labels.MatchRegexp, "pod", "app-7-.*"),
		labels.MustNewMatcher(labels.MatchNotEqual, "app", "app-7"),
	} {
		b.Run(m.String(), func(b *testing.B) {
			for b.Loop() {
				require.NotEmpty(b, s.match(query{matchers: []*labels.Matcher{m}}))
			}
		})
	}
	b.Run("postings", func(b *testing.B) {
		for b.Loop() {
			newSeriesSet(s.ids, s.labels).postings()
		}
	})
}
