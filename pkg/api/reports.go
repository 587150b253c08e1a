package api

import (
	"context"
	"net/http"
	"slices"

	"logstore/pkg/auth"
)

// TenantReport is what a process knows of a tenant that pushes to it.
type TenantReport struct {
	Tenant string `json:"tenant"`
	// Streams is the number of streams in memory, Received the bytes of lines taken since the process started.
	Streams  int64 `json:"streams"`
	Received int64 `json:"received_bytes"`
	// Use sets what the tenant uses against its limits.
	Use    []LimitUse     `json:"use"`
	Limits map[string]any `json:"limits"`
}

// LimitUse is one limit and how much of it is in use.
type LimitUse struct {
	Name string `json:"name"`
	// Limit is the key of the limit in limits_config.
	Limit string `json:"limit"`
	// Used and Of are in Unit: "streams" or "bytes/s". An Of of 0 means that there is no limit.
	Used float64 `json:"used"`
	Of   float64 `json:"of"`
	Unit string  `json:"unit"`
}

// StorageReport describes what is in the bucket.
type StorageReport struct {
	ObjectStore string        `json:"object_store"`
	Tables      []TableReport `json:"tables"`
	// Facts are lines for a person: what compaction, retention and flushing last did.
	Facts [][2]string `json:"facts"`
}

// TableReport describes one index table, the rows of one day.
type TableReport struct {
	Name string `json:"name"`
	// Day is the table's day, 2006-01-02.
	Day   string `json:"day"`
	Store string `json:"store"`
	Files int    `json:"files"`
	Bytes int64  `json:"bytes"`
	// Compacted reports whether one file has all rows of all tenants, or of each tenant.
	Compacted bool     `json:"compacted"`
	Tenants   []string `json:"tenants"`
}

// Reports are what the pages for operators show; a nil function is answered 404.
type Reports struct {
	Tenants func() []TenantReport
	Storage func(ctx context.Context) (*StorageReport, error)
}

func (a *API) reportRoutes() {
	a.route("/logstore/api/v1/tenants", auth.Read, a.withGzip(func(w http.ResponseWriter, r *http.Request) error {
		if a.deps.Reports.Tenants == nil {
			http.NotFound(w, r)
			return nil
		}
		return writeJSON(w, http.StatusOK, map[string]any{"tenants": visible(auth.From(r.Context()), a.deps.Reports.Tenants())})
	}), http.MethodGet)
	a.route("/logstore/api/v1/storage", auth.Admin, a.withGzip(func(w http.ResponseWriter, r *http.Request) error {
		if a.deps.Reports.Storage == nil {
			http.NotFound(w, r)
			return nil
		}
		report, err := a.deps.Reports.Storage(r.Context())
		if err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, report)
	}), http.MethodGet)
}

// visible leaves the tenants that a user may see.
func visible(user *auth.User, reports []TenantReport) []TenantReport {
	if user == nil || user.May(auth.Admin) {
		return reports
	}
	return slices.DeleteFunc(reports, func(r TenantReport) bool { return !user.Allowed(r.Tenant) })
}
