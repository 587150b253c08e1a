package querier_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"logstore/pkg/limits"
	"logstore/pkg/querier"
)

// TestQueryLog logs no query, slow ones, those of rules, or all, with what they took.
func TestQueryLog(t *testing.T) {
	for name, c := range map[string]struct {
		change     func(*querier.Config)
		page, rule bool
	}{
		"none":  {change: func(c *querier.Config) { c.LogLongerThan = 0 }},
		"all":   {change: func(c *querier.Config) { c.LogLongerThan = -1 }, page: true, rule: true},
		"rules": {change: func(c *querier.Config) { c.LogLongerThan, c.LogRules = 0, true }, rule: true},
		"slow":  {change: func(c *querier.Config) { c.LogLongerThan = time.Hour }},
	} {
		var out bytes.Buffer
		f := newFront(t, nil)
		f.use(t, func(_ *limits.Limits, cfg *querier.Config, d *querier.Deps) {
			c.change(cfg)
			d.Logger = slog.New(slog.NewTextHandler(&out, nil))
		}, f.src)
		f.add("a", f.now.UnixNano()-second, "x")
		ask := func(ctx context.Context) string {
			out.Reset()
			p := params(t, `{app="a"}`, f.now.UnixNano()-60*second, f.now.UnixNano())
			_, err := f.q.Query(ctx, p)
			require.NoError(t, err)
			return out.String()
		}
		page, rule := ask(ofTenant(t)), ask(querier.WithSource(ofTenant(t), querier.RuleSource))
		require.Equal(t, c.page, strings.Contains(page, "lines=1"), name+": "+page)
		require.Equal(t, c.rule, strings.Contains(rule, "source=ruler"), name+": "+rule)
	}
}
