package api

import (
	"bytes"
	"net/http"

	"logstore/pkg/tenant"
)

// publishedLimits returns the limits of the request's tenant that may be shown, by their keys.
func (a *API) publishedLimits(r *http.Request) (map[string]any, error) {
	id, err := tenant.ID(r.Context())
	if err != nil {
		return nil, err
	}
	all := a.deps.Limits.For(id).Values()
	shown := map[string]any{}
	for _, key := range a.cfg.PublishedLimits {
		if v, ok := all[key]; ok {
			shown[key] = v
		}
	}
	return shown, nil
}

// tenantLimits shows a tenant its limits as YAML.
func (a *API) tenantLimits(w http.ResponseWriter, r *http.Request) error {
	shown, err := a.publishedLimits(r)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := a.deps.WriteValues(&b, shown); err != nil {
		return err
	}
	writeText(w, http.StatusOK, b.String())
	return nil
}

// drilldownLimits tells Grafana's Logs Drilldown what it may ask for.
func (a *API) drilldownLimits(w http.ResponseWriter, r *http.Request) error {
	shown, err := a.publishedLimits(r)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, map[string]any{
		"limits": shown, "pattern_ingester_enabled": a.deps.Patterns != nil, "version": a.deps.Build.Version,
	})
}
