package querier

import (
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"sync"

	"github.com/grafana/regexp"
	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/limits"
	"logstore/pkg/logql/syntax"
)

// guard refuses queries by their text and selectors, as the limits of the tenants say.
func (q *Querier) guard(text string, expr syntax.Expr, ids []string) error {
	if text == "" {
		text = expr.String()
	}
	for _, id := range ids {
		lim := q.limits.For(id)
		if blocked(text, expr, lim.BlockedQueries) {
			q.metrics.blocked.WithLabelValues(id).Inc()
			return limitError("query blocked by policy")
		}
		var failed error
		syntax.Walk(expr, func(e syntax.Expr) {
			if q, ok := e.(*syntax.LogQuery); ok && failed == nil {
				failed = checkMatchers(q.Matchers, lim)
			}
		})
		if failed != nil {
			return failed
		}
	}
	return nil
}

// checkMatchers holds a selector against the limits on its matchers.
func checkMatchers(matchers []*labels.Matcher, lim *limits.Limits) error {
	if limit := lim.MaxStreamsMatchersPerQuery; limit > 0 && len(matchers) > limit {
		return limitError("max streams matchers per query exceeded, matchers-count > limit (%d > %d)", len(matchers), limit)
	}
	names := make([]string, 0, len(matchers))
	for _, m := range matchers {
		names = append(names, m.Name)
	}
	var missing []string
	for _, name := range lim.RequiredLabels {
		if !slices.Contains(names, name) {
			missing = append(missing, name)
		}
	}
	present := strings.Join(names, ", ")
	if len(missing) > 0 {
		return limitError("stream selector is missing required matchers [%s], labels present in the query were [%s]", strings.Join(missing, ", "), present)
	}
	if least := lim.MinimumLabelsNumber; len(names) < least {
		return limitError("stream selector has less label matchers than required: (present: [%s], number_present: %d, required_number_label_matchers: %d)",
			present, len(names), least)
	}
	return nil
}

// The types of queries that blocked_queries tells apart.
const (
	typeMetric  = "metric"
	typeFilter  = "filter"
	typeLimited = "limited"
)

// queryType is metric for a query of samples, filter for lines that pass stages, and limited for a bare selector.
func queryType(expr syntax.Expr) string {
	q, ok := expr.(*syntax.LogQuery)
	switch {
	case !ok:
		return typeMetric
	case len(q.Stages) > 0:
		return typeFilter
	}
	return typeLimited
}

// blocked reports whether some rule blocks the query: all that a rule names must agree, its types, its hash (FNV-1 of the
// text) and its pattern, which is the whole query or a regular expression. A rule that names nothing blocks nothing.
func blocked(text string, expr syntax.Expr, rules []limits.BlockedQuery) bool {
	text = strings.TrimSpace(text)
	return slices.ContainsFunc(rules, func(r limits.BlockedQuery) bool {
		if r.Hash == 0 && r.Pattern == "" && len(r.Types) == 0 {
			return false
		}
		if len(r.Types) > 0 && !slices.Contains(r.Types, queryType(expr)) {
			return false
		}
		if r.Hash != 0 {
			h := fnv.New32()
			_, _ = h.Write([]byte(text)) // never fails
			if h.Sum32() != r.Hash {
				return false
			}
		}
		switch {
		case r.Pattern == "":
			return true
		case r.Regex:
			re, err := compilePattern(r.Pattern)
			return err == nil && re.MatchString(text)
		}
		return strings.TrimSpace(r.Pattern) == text
	})
}

// patterns keeps the regular expressions of blocked_queries: there are few of them, and they last as long as the limits.
var patterns sync.Map // of string to *regexp.Regexp

func compilePattern(pattern string) (*regexp.Regexp, error) {
	if re, ok := patterns.Load(pattern); ok {
		return re.(*regexp.Regexp), nil
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, fmt.Errorf("cannot compile the pattern of a blocked query: %w", err)
	}
	patterns.Store(pattern, re)
	return re, nil
}
