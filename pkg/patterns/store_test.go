package patterns_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"logstore/pkg/patterns"
)

func TestStore(t *testing.T) {
	s, err := patterns.NewStore(patterns.DefaultConfig(), 2)
	require.NoError(t, err)
	now := time.Unix(100_000, 0)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 100 {
				for _, app := range []string{"a", "b"} {
					train := s.Stream("x", app, labels.FromStrings("app", app))
					require.NotNil(t, train)
					train(patterns.Line{Timestamp: now.UnixNano(), Text: fmt.Appendf(nil, "request %d of %s done", w*100+i, app)})
				}
			}
		})
	}
	wg.Wait()
	require.Nil(t, s.Stream("x", "c", labels.FromStrings("app", "c")), "a third stream is one too many")
	require.NotNil(t, s.Stream("y", "c", labels.FromStrings("app", "c")))

	all := s.Patterns("x", nil, 0, 1<<62, 0)
	require.Equal(t, []string{"request <_> of a done", "request <_> of b done"}, texts(all))
	require.EqualValues(t, 400, all[0].Samples[0].Count)
	one := s.Patterns("x", []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, "app", "b")}, 0, 1<<62, 0)
	require.Equal(t, []string{"request <_> of b done"}, texts(one))
	require.Empty(t, s.Patterns("z", nil, 0, 1<<62, 0))

	s.Prune(now.Add(2 * time.Hour))
	require.Empty(t, s.Patterns("x", nil, 0, 1<<62, 0))
	require.NotNil(t, s.Stream("x", "c", labels.FromStrings("app", "c")), "idle streams made room")
}
