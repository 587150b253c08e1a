package distributor

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/limits"
	"logstore/pkg/wire"
)

// serviceName is the label that tells which service a stream is of; unknownService its value if nothing does.
const (
	serviceName    = "service_name"
	unknownService = "unknown_service"
)

// streamInfo is what is known of a label set under the limits of a tenant. It is immutable.
type streamInfo struct {
	labels labels.Labels
	// text is the canonical form of labels, hash their stable hash.
	text string
	hash uint64
	// level is the level that the labels tell, levelNone if they don't.
	level level
	// policy is that of the stream, or "", and blocked until when it takes no entries.
	policy  string
	blocked time.Time
	// reason and refusal say why the stream takes no entries; reason is empty if it does.
	reason, refusal string
}

// newStreamInfo parses a label set. It keeps nothing of raw, which may belong to a request. An error refuses the request.
func newStreamInfo(raw, tenantID string, lim *limits.Limits, fields *levelFields, policies []policyRule) (*streamInfo, error) {
	set, err := wire.ParseLabels(raw)
	if err != nil {
		return nil, err
	}
	set = slices.DeleteFunc(set, func(l labels.Label) bool { return l.Value == "" })
	if len(lim.DiscoverServiceName) > 0 {
		set = discoverServiceName(set, lim.DiscoverServiceName)
	}
	slices.SortStableFunc(set, func(a, b labels.Label) int { return strings.Compare(a.Name, b.Name) })
	info := &streamInfo{text: string(wire.AppendLabels(nil, set))}
	info.policy = policyOf(policies, set)
	info.blocked = blockedUntil(lim, info.policy)
	info.reason, info.refusal = checkLabels(set, info.text, tenantID, info.policy, lim)
	if info.reason != "" {
		return info, nil
	}
	info.labels = labels.New(set...)
	info.hash = labels.StableHash(info.labels)
	if lim.DiscoverLogLevels {
		info.level = fields.ofLabels(set)
	}
	return info, nil
}

// discoverServiceName adds the label service_name, from the first of the candidates that the stream has.
func discoverServiceName(set []labels.Label, candidates []string) []labels.Label {
	if valueOf(set, serviceName) != "" {
		return set
	}
	for _, name := range candidates {
		if v := valueOf(set, name); v != "" {
			return append(set, labels.Label{Name: serviceName, Value: v})
		}
	}
	return append(set, labels.Label{Name: serviceName, Value: unknownService})
}

// checkLabels returns why a stream with these labels, which are sorted, takes no entries.
func checkLabels(set []labels.Label, text, tenantID, policy string, lim *limits.Limits) (reason, refusal string) {
	if len(set) == 0 {
		return reasonNoLabels, "error at least one label pair is required per stream"
	}
	count := 0
	for i, l := range set {
		if l.Name != serviceName {
			count++
		}
		switch {
		case lim.MaxLabelNameLength > 0 && len(l.Name) > lim.MaxLabelNameLength:
			return reasonLabelName, fmt.Sprintf("stream '%s' has label name too long: '%s'", text, l.Name)
		case lim.MaxLabelValueLength > 0 && len(l.Value) > lim.MaxLabelValueLength:
			return reasonLabelValue, fmt.Sprintf("stream '%s' has label value too long: '%s'", text, l.Value)
		case i > 0 && set[i-1].Name == l.Name:
			return reasonDuplicateLabel, fmt.Sprintf("stream '%s' has duplicate label name: '%s'", text, l.Name)
		}
	}
	if lim.MaxLabelNamesPerSeries > 0 && count > lim.MaxLabelNamesPerSeries {
		return reasonLabelCount, fmt.Sprintf("entry for stream '%s' has %d label names; limit %d", text, count, lim.MaxLabelNamesPerSeries)
	}
	var missing []string
	for _, name := range enforcedLabels(lim, policy) {
		if !slices.ContainsFunc(set, func(l labels.Label) bool { return l.Name == name }) {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return reasonEnforcedLabels, fmt.Sprintf("missing required labels '%s' for user '%s' for stream '%s' (policy: '%s')", strings.Join(missing, ","), tenantID, text, policy)
	}
	return "", ""
}
