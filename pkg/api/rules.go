package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"

	"logstore/pkg/auth"
	"logstore/pkg/ruler"
	"logstore/pkg/rules"
	"logstore/pkg/tenant"
)

// Ruler is what the endpoints of rules ask.
type Ruler interface {
	Groups(ctx context.Context, tenant, namespace string, labels map[string]string) (map[string][]rules.Group, error)
	Group(ctx context.Context, tenant, namespace, group string) (rules.Group, error)
	SetGroup(ctx context.Context, tenant, namespace string, text []byte) error
	DeleteGroup(ctx context.Context, tenant, namespace, group string) error
	DeleteNamespace(ctx context.Context, tenant, namespace string) error
	// AllStatus returns the groups of the context's tenant that all members evaluate, and warnings if some did not answer.
	AllStatus(ctx context.Context) (groups []ruler.GroupStatus, warnings []string, err error)
}

// maxRuleGroup bounds the body of a group.
const maxRuleGroup = 10 << 20

func (a *API) ruleRoutes() {
	if a.deps.Ruler == nil {
		return
	}
	for _, path := range []string{"/loki/api/v1/rules", "/api/prom/rules", "/api/v1/rules"} {
		a.tenantRoute(path, auth.Read, a.listRules, http.MethodGet)
		a.tenantRoute(path+"/{namespace}", auth.Read, a.listRules, http.MethodGet)
		a.tenantRoute(path+"/{namespace}/{group}", auth.Read, a.getRuleGroup, http.MethodGet)
		a.tenantRoute(path+"/{namespace}", auth.Manage, a.setRuleGroup, http.MethodPost)
		a.tenantRoute(path+"/{namespace}/{group}", auth.Manage, a.deleteRuleGroup, http.MethodDelete)
		a.tenantRoute(path+"/{namespace}", auth.Manage, a.deleteRuleNamespace, http.MethodDelete)
	}
	a.tenantRoute("/prometheus/api/v1/rules", auth.Read, a.withForm(a.ruleStatus), http.MethodGet)
	a.tenantRoute("/prometheus/api/v1/alerts", auth.Read, a.withForm(a.alertStatus), http.MethodGet)
}

// ruleError gives the errors of the ruler their status.
func ruleError(err error) error {
	status := 0
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ruler.ErrNoGroups), errors.Is(err, ruler.ErrGroupNotFound), errors.Is(err, ruler.ErrNamespaceNotFound):
		status = http.StatusNotFound
	case errors.Is(err, ruler.ErrInvalid):
		status = http.StatusBadRequest
	case errors.Is(err, ruler.ErrReadOnly):
		status = http.StatusInternalServerError // as Loki, which clients know by the text
	default:
		return err
	}
	return &statusError{status: status, text: err.Error()}
}

func (a *API) listRules(w http.ResponseWriter, r *http.Request) error {
	id, err := tenant.ID(r.Context())
	if err != nil {
		return err
	}
	var want map[string]string
	if text := r.URL.Query().Get("labels"); text != "" {
		want = map[string]string{}
		for pair := range strings.SplitSeq(text, ",") {
			name, value, ok := strings.Cut(strings.TrimSpace(pair), ":")
			if !ok || name == "" {
				return badRequest("invalid labels parameter %q: want name:value,name:value", text)
			}
			want[name] = value
		}
	}
	groups, err := a.deps.Ruler.Groups(r.Context(), id, r.PathValue("namespace"), want)
	if err != nil {
		return ruleError(err)
	}
	return writeRules(w, groups)
}

func (a *API) getRuleGroup(w http.ResponseWriter, r *http.Request) error {
	id, err := tenant.ID(r.Context())
	if err != nil {
		return err
	}
	g, err := a.deps.Ruler.Group(r.Context(), id, r.PathValue("namespace"), r.PathValue("group"))
	if err != nil {
		return ruleError(err)
	}
	return writeRules(w, g)
}

func (a *API) setRuleGroup(w http.ResponseWriter, r *http.Request) error {
	id, err := tenant.ID(r.Context())
	if err != nil {
		return err
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRuleGroup))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return &statusError{status: http.StatusRequestEntityTooLarge, text: "the rule group is larger than 10 MiB"}
	}
	if err != nil {
		return badRequest("unable to read rule group: %v", err)
	}
	return a.accepted(w, a.deps.Ruler.SetGroup(r.Context(), id, r.PathValue("namespace"), body))
}

func (a *API) deleteRuleGroup(w http.ResponseWriter, r *http.Request) error {
	id, err := tenant.ID(r.Context())
	if err != nil {
		return err
	}
	return a.accepted(w, a.deps.Ruler.DeleteGroup(r.Context(), id, r.PathValue("namespace"), r.PathValue("group")))
}

func (a *API) deleteRuleNamespace(w http.ResponseWriter, r *http.Request) error {
	id, err := tenant.ID(r.Context())
	if err != nil {
		return err
	}
	return a.accepted(w, a.deps.Ruler.DeleteNamespace(r.Context(), id, r.PathValue("namespace")))
}

// accepted answers a change of rules.
func (a *API) accepted(w http.ResponseWriter, err error) error {
	if err != nil {
		return ruleError(err)
	}
	return writeJSON(w, http.StatusAccepted, envelope{Status: "success"})
}

// writeRules answers with YAML.
func writeRules(w http.ResponseWriter, v any) error {
	text, err := rules.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/yaml")
	_, err = w.Write(text)
	return ignoreGone(err)
}
