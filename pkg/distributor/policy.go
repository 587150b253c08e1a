package distributor

import (
	"cmp"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/limits"
	"logstore/pkg/logql/syntax"
)

// anyPolicy stands for the streams of no policy, and for what holds for all.
const anyPolicy = "*"

// policyRule makes the streams that its matchers accept belong to a policy.
type policyRule struct {
	policy   string
	priority int
	matchers []*labels.Matcher
}

// policyRules are those of a tenant, the greatest priority first and equal ones by name. A selector that cannot be parsed
// is left out: bad names them.
func policyRules(lim *limits.Limits) (rules []policyRule, bad []error) {
	for policy, streams := range lim.PolicyStreamMapping {
		for _, s := range streams {
			matchers, err := syntax.ParseSelector(s.Selector)
			if err != nil {
				bad = append(bad, err)
				continue
			}
			rules = append(rules, policyRule{policy, s.Priority, matchers})
		}
	}
	slices.SortFunc(rules, func(a, b policyRule) int {
		return cmp.Or(cmp.Compare(b.priority, a.priority), cmp.Compare(a.policy, b.policy))
	})
	return rules, bad
}

// policyOf returns the policy of a stream, or "".
func policyOf(rules []policyRule, set []labels.Label) string {
	for _, r := range rules {
		if !slices.ContainsFunc(r.matchers, func(m *labels.Matcher) bool { return !m.Matches(valueOf(set, m.Name)) }) {
			return r.policy
		}
	}
	return ""
}

// valueOf returns the value of a label, "" if there is none.
func valueOf(set []labels.Label, name string) string {
	for i := range set {
		if set[i].Name == name {
			return set[i].Value
		}
	}
	return ""
}

// enforcedLabels are those that a stream of the policy must have.
func enforcedLabels(lim *limits.Limits, policy string) []string {
	names := lim.EnforcedLabels
	for _, p := range []string{anyPolicy, policy} {
		for _, name := range lim.PolicyEnforcedLabels[p] {
			if !slices.Contains(names, name) {
				names = append(slices.Clip(names), name)
			}
		}
	}
	return names
}

// blockedUntil is when streams of the policy are taken again; zero if they are now.
func blockedUntil(lim *limits.Limits, policy string) time.Time {
	if until, ok := lim.BlockIngestionPolicyUntil[policy]; ok && policy != "" {
		return until
	}
	return lim.BlockIngestionPolicyUntil[anyPolicy]
}
