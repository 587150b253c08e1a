package api_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"logstore/pkg/api"
	"logstore/pkg/auth"
	"logstore/pkg/limits"
	"logstore/pkg/tenant"
)

// guarded is an API with users named after their only scope, all of tenant "a"; "all" has every scope. Its routes are all there
// are, and their handlers have nothing beneath them.
func guarded(t *testing.T, cfg api.Config) *api.API {
	t.Helper()
	scopes := []auth.Scope{auth.Read, auth.Write, auth.Manage, auth.Metrics, auth.Admin}
	source := auth.Source{Name: "test", Period: time.Hour, Read: func() ([]byte, error) { return nil, nil }}
	source.Parse = func([]byte) ([]auth.User, error) {
		users := []auth.User{{Name: "all", PasswordHash: auth.HashToken([]byte("pw")), Tenants: []string{"a"}, Scopes: scopes}}
		for _, s := range scopes {
			users = append(users, auth.User{Name: string(s), PasswordHash: auth.HashToken([]byte("pw")), Tenants: []string{"a"}, Scopes: []auth.Scope{s}})
		}
		return users, nil
	}
	who, err := auth.New(source, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	require.NoError(t, err)
	overrides, err := limits.New(limits.DefaultLimits())
	require.NoError(t, err)
	reg := prometheus.NewRegistry()
	return api.New(cfg, api.Deps{
		Limits: overrides, Logger: slog.New(slog.DiscardHandler), Registerer: reg, Gatherer: reg, LogLevel: new(slog.LevelVar), Auth: who,
		Ruler: struct{ api.Ruler }{}, Deletes: struct{ api.Deletes }{}, Compactor: func() any { return nil }, WriteValues: func(io.Writer, any) error { return nil },
		Reports: api.Reports{Tenants: func() []api.TenantReport { return []api.TenantReport{{Tenant: "a"}, {Tenant: "b"}} }},
	})
}

var wildcard = regexp.MustCompile(`\{[^}]*\}`)

func ask(a *api.API, method, path, user, org string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	if user != "" {
		r.SetBasicAuth(user, "pw")
	}
	if org != "" {
		r.Header.Set("X-Scope-OrgID", org)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	a.ServeHTTP(w, r)
	return w
}

// TestEveryRouteIsGuarded holds each route to its scope, without a list of routes that could be forgotten: 401 without credentials,
// 403 for a user with all other scopes, for another tenant, for several tenants one of which is another, and for what another site's
// page does.
func TestEveryRouteIsGuarded(t *testing.T) {
	a := guarded(t, api.DefaultConfig)
	require.Greater(t, len(a.Routes()), 80)
	open := 0
	for _, route := range a.Routes() {
		method := route.Method
		if method == "" {
			method = http.MethodGet
		}
		path := wildcard.ReplaceAllString(strings.TrimSuffix(route.Path, "{$}"), "x")
		name := method + " " + route.Path
		if route.Scope == auth.Open {
			require.Equal(t, "/ready", route.Path, "only this is open")
			open++
			continue
		}
		w := ask(a, method, path, "", "a")
		require.Equal(t, http.StatusUnauthorized, w.Code, name)
		require.Contains(t, w.Header().Values("WWW-Authenticate")[0], "Basic", name)
		if route.Scope != auth.Any {
			for _, other := range []auth.Scope{auth.Read, auth.Write, auth.Manage, auth.Metrics, auth.Admin} {
				if other != route.Scope && !(other == auth.Admin && route.Scope == auth.Metrics) {
					w = ask(a, method, path, string(other), "a")
					require.Equal(t, http.StatusForbidden, w.Code, "%s for scope %s", name, other)
				}
			}
		}
		if route.Tenant {
			for _, org := range []string{"b", "a|b", "b|a", "*", "b:a"} {
				w = ask(a, method, path, "all", org)
				require.Equal(t, http.StatusForbidden, w.Code, "%s for tenant %s", name, org)
				require.Contains(t, w.Body.String(), "do not allow the tenant", name)
			}
		}
		if method != http.MethodGet || strings.Contains(path, "pprof") {
			w = ask(a, method, path, "all", "a", "Sec-Fetch-Site", "cross-site")
			require.Equal(t, http.StatusForbidden, w.Code, "%s from another site", name)
			w = ask(a, method, path, "all", "a", "Origin", "https://evil.test")
			require.Equal(t, http.StatusForbidden, w.Code, "%s from another origin", name)
		}
	}
	require.Equal(t, 1, open)
	require.Equal(t, http.StatusForbidden, ask(a, "GET", "/flush", "all", "", "Sec-Fetch-Site", "cross-site").Code)
	require.Equal(t, http.StatusForbidden, ask(a, "GET", "/ingester/shutdown", "all", "", "Sec-Fetch-Site", "same-site").Code)
	require.Equal(t, http.StatusOK, ask(a, "GET", "/ui/", "read", "", "Sec-Fetch-Site", "cross-site").Code, "a link to the page")
	require.Equal(t, http.StatusUnauthorized, ask(a, "HEAD", "/", "", "").Code)
}

// TestGuardedAnswers looks at what those see who may ask.
func TestGuardedAnswers(t *testing.T) {
	a := guarded(t, api.DefaultConfig)
	require.Equal(t, http.StatusOK, ask(a, "GET", "/metrics", "metrics", "").Code)
	require.Equal(t, http.StatusOK, ask(a, "GET", "/metrics", "admin", "").Code)
	require.Equal(t, http.StatusOK, ask(a, "GET", "/debug/pprof/cmdline", "admin", "").Code)
	w := ask(a, "GET", "/logstore/api/v1/tenants", "read", "")
	require.Contains(t, w.Body.String(), `"tenant":"a"`)
	require.NotContains(t, w.Body.String(), `"tenant":"b"`)
	require.Contains(t, ask(a, "GET", "/logstore/api/v1/tenants", "all", "").Body.String(), `"tenant":"b"`)
	require.Equal(t, http.StatusOK, ask(a, "GET", "/config/tenant/v1/limits", "read", "").Code, "the only tenant is the default")

	cfg := api.DefaultConfig
	cfg.OpenMetrics = true
	require.Equal(t, http.StatusOK, ask(guarded(t, cfg), "GET", "/metrics", "", "").Code)
	cfg.AuthEnabled = false
	require.Equal(t, http.StatusForbidden, ask(guarded(t, cfg), "GET", "/config/tenant/v1/limits", "read", "a").Code, "the only tenant is fake, not a")
}

// TestWebsocketTenant takes the tenant of a websocket from a parameter, and from no other request, nor for another site's page.
func TestWebsocketTenant(t *testing.T) {
	overrides, err := limits.New(limits.DefaultLimits())
	require.NoError(t, err)
	reg := prometheus.NewRegistry()
	plain := api.New(api.DefaultConfig, api.Deps{
		Limits: overrides, Logger: slog.New(slog.DiscardHandler), Registerer: reg, Gatherer: reg, LogLevel: new(slog.LevelVar),
	})
	const tail = "/loki/api/v1/tail?query=x&tenant="
	f := func(a *api.API, path, user, org string, want int, wantText string, headers ...string) {
		t.Helper()
		w := ask(a, "GET", path, user, org, headers...)
		require.Equal(t, want, w.Code, w.Body.String())
		require.Contains(t, w.Body.String(), wantText)
	}
	up := []string{"Upgrade", "websocket"}
	with := func(more ...string) []string { return append(up[:2:2], more...) }
	// That the query does not parse shows that the tenant was taken.
	f(plain, tail+"a", "", "", http.StatusBadRequest, "parse error", up...)
	f(plain, tail+"a", "", "", http.StatusBadRequest, "parse error", with("Origin", "http://example.com")...)
	f(plain, tail+"a", "", "", http.StatusBadRequest, "parse error", with("Origin", "https://logs.test", "X-Forwarded-Host", "logs.test")...)
	f(plain, tail+"a", "", "", http.StatusUnauthorized, tenant.ErrNoOrgID.Error())
	f(plain, tail+"a", "", "", http.StatusUnauthorized, tenant.ErrNoOrgID.Error(), with("Origin", "https://evil.test")...)
	f(plain, tail+"a", "", "", http.StatusUnauthorized, tenant.ErrNoOrgID.Error(), with("Sec-Fetch-Site", "cross-site")...)
	f(plain, "/loki/api/v1/labels?tenant=a", "", "", http.StatusUnauthorized, tenant.ErrNoOrgID.Error())
	f(plain, tail+"a", "", "b|c", http.StatusBadRequest, tenant.ErrTooManyOrgIDs.Error(), up...)

	a := guarded(t, api.DefaultConfig)
	f(a, tail+"a", "read", "", http.StatusBadRequest, "parse error", up...)
	f(a, tail+"b", "read", "", http.StatusForbidden, "do not allow the tenant b", up...)
	f(a, tail+"a%7Cb", "read", "", http.StatusForbidden, "do not allow the tenant b", up...)
	f(a, tail+"a", "read", "b", http.StatusForbidden, "do not allow the tenant b", up...)
	f(a, tail+"a", "write", "", http.StatusForbidden, auth.ErrScope.Error(), up...)
	f(a, tail+"a", "read", "", http.StatusForbidden, "another site", with("Origin", "https://evil.test")...)
	f(a, tail+"a", "", "", http.StatusUnauthorized, auth.ErrNoCredentials.Error(), up...)
}
