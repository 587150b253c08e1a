package api

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/logql/syntax"
	"logstore/pkg/ruler"
	"logstore/pkg/tenant"
)

// envelope is around the answers of Prometheus' API.
type envelope struct {
	Status    string   `json:"status"`
	Data      any      `json:"data"`
	ErrorType string   `json:"errorType"`
	Error     string   `json:"error"`
	Warnings  []string `json:"warnings,omitempty"`
}

// statusFailure answers as Prometheus' API does, in JSON.
func statusFailure(w http.ResponseWriter, r *http.Request, err error) error {
	status, text := statusOf(r, err)
	if errors.Is(err, tenant.ErrNoOrgID) {
		return err // which is plain text everywhere
	}
	if errors.Is(err, tenant.ErrTooManyOrgIDs) {
		text = "too many org ids found"
	}
	kind := "server_error"
	if status < 500 {
		kind = "bad_data"
	}
	return writeJSON(w, status, envelope{Status: "error", ErrorType: kind, Error: text})
}

// allStatus returns the groups of the request's tenant.
func (a *API) allStatus(r *http.Request) ([]ruler.GroupStatus, []string, error) {
	if _, err := tenant.ID(r.Context()); err != nil {
		return nil, nil, err
	}
	return a.deps.Ruler.AllStatus(r.Context())
}

func (a *API) ruleStatus(w http.ResponseWriter, r *http.Request) error {
	want, err := parseRuleFilter(r)
	if err != nil {
		return statusFailure(w, r, err)
	}
	groups, warnings, err := a.allStatus(r)
	if err != nil {
		return statusFailure(w, r, err)
	}
	return writeJSON(w, http.StatusOK, envelope{Status: "success", Data: map[string]any{"groups": want.apply(groups)}, Warnings: warnings})
}

func (a *API) alertStatus(w http.ResponseWriter, r *http.Request) error {
	groups, warnings, err := a.allStatus(r)
	if err != nil {
		return statusFailure(w, r, err)
	}
	alerts := []ruler.AlertStatus{}
	for _, g := range groups {
		for _, rule := range g.Rules {
			if rule.Alerts != nil {
				alerts = append(alerts, *rule.Alerts...)
			}
		}
	}
	return writeJSON(w, http.StatusOK, envelope{Status: "success", Data: map[string]any{"alerts": alerts}, Warnings: warnings})
}

// ruleFilter says which rules are wanted; empty lists want all.
type ruleFilter struct {
	kind                 string // a type of ruler.RuleStatus, or empty
	names, groups, files []string
	matchers             [][]*labels.Matcher
	excludeAlerts        bool
}

func parseRuleFilter(r *http.Request) (ruleFilter, error) {
	list := func(name string) []string { return append(slices.Clone(r.Form[name]), r.Form[name+"[]"]...) }
	f := ruleFilter{names: list("rule_name"), groups: list("rule_group"), files: list("file")}
	switch kind := strings.ToLower(r.Form.Get("type")); kind {
	case "":
	case "alert":
		f.kind = ruler.TypeAlerting
	case "record":
		f.kind = ruler.TypeRecording
	default:
		return f, badRequest("not supported value %q: the type must be alert or record", kind)
	}
	switch text := strings.ToLower(r.Form.Get("exclude_alerts")); text {
	case "", "false", "0", "f":
	case "true", "1", "t":
		f.excludeAlerts = true
	default:
		return f, badRequest("error converting exclude_alerts: %q is neither true nor false", text)
	}
	for _, text := range r.Form["match[]"] {
		matchers, err := syntax.ParseMatchers(text)
		if err != nil {
			return f, err
		}
		f.matchers = append(f.matchers, matchers)
	}
	return f, nil
}

// apply returns what is wanted; groups without a wanted rule are left out if anything was asked of rules.
func (f *ruleFilter) apply(groups []ruler.GroupStatus) []ruler.GroupStatus {
	out := []ruler.GroupStatus{}
	for _, g := range groups {
		if !wants(f.groups, g.Name) || !wants(f.files, g.File) {
			continue
		}
		before := len(g.Rules)
		g.Rules = slices.DeleteFunc(slices.Clone(g.Rules), func(rule ruler.RuleStatus) bool { return !f.wantsRule(&rule) })
		if len(g.Rules) == 0 && before > 0 {
			continue
		}
		if f.excludeAlerts {
			for i := range g.Rules {
				if g.Rules[i].Alerts != nil {
					g.Rules[i].Alerts = &[]ruler.AlertStatus{}
				}
			}
		}
		out = append(out, g)
	}
	return out
}

func wants(list []string, v string) bool { return len(list) == 0 || slices.Contains(list, v) }

func (f *ruleFilter) wantsRule(rule *ruler.RuleStatus) bool {
	if f.kind != "" && rule.Type != f.kind || !wants(f.names, rule.Name) {
		return false
	}
	if len(f.matchers) == 0 {
		return true
	}
	return slices.ContainsFunc(f.matchers, func(matchers []*labels.Matcher) bool {
		return !slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches(rule.Labels[m.Name]) })
	})
}
