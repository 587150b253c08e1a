package api

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"logstore/pkg/auth"
	"logstore/pkg/tenant"
)

// Auth says who asks; *auth.Authenticator does.
type Auth interface {
	Identify(r *http.Request) (*auth.User, error)
	// Refused counts a request whose user may not do what it asks for.
	Refused(err error)
}

// Route is a path that is served.
type Route struct {
	// Method is empty for all methods.
	Method string
	// Path may have wildcards as in http.ServeMux.
	Path string
	// Scope is what a user needs, where there is built-in authentication.
	Scope auth.Scope
	// Tenant is whether the path is about the request's tenants; other paths are about the process, or the same for all.
	Tenant bool
}

// Routes returns all paths that are served.
func (a *API) Routes() []Route { return a.routes }

// handle serves a route.
func (a *API) handle(route Route, h http.Handler) {
	a.routes = append(a.routes, route)
	if route.Tenant {
		h = a.withTenant(h)
	}
	if a.deps.Auth != nil && route.Scope != auth.Open {
		h = a.withAuth(route, h)
	}
	a.mux.Handle(strings.TrimSpace(route.Method+" "+route.Path), h)
}

// tenantRoute serves a path for the tenant of the request: without one the answer is 401.
func (a *API) tenantRoute(path string, scope auth.Scope, h handlerFunc, methods ...string) {
	for _, m := range methods {
		a.handle(Route{Method: m, Path: path, Scope: scope, Tenant: true}, a.withErrors(h))
	}
}

// route serves a path that needs no tenant.
func (a *API) route(path string, scope auth.Scope, h handlerFunc, methods ...string) {
	for _, m := range methods {
		a.handle(Route{Method: m, Path: path, Scope: scope}, a.withErrors(h))
	}
}

// withTenant puts the tenant into the context. The id is checked where it is used, or with the credentials.
func (a *API) withTenant(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := tenant.Default
		if a.cfg.AuthEnabled {
			id = namedTenant(r)
		}
		if user := auth.From(r.Context()); user != nil {
			var err error
			if id, err = user.OrgID(id); err != nil {
				a.refuse(w, r, err)
				return
			}
		}
		if id == "" {
			writeText(w, http.StatusUnauthorized, tenant.ErrNoOrgID.Error()+"\n")
			return
		}
		if rec, ok := w.(*recorder); ok {
			rec.tenant = id
		}
		h.ServeHTTP(w, r.WithContext(tenant.Inject(r.Context(), id)))
	})
}

// namedTenant returns the tenant that a request names. For the upgrade to a websocket that may be the parameter `tenant`, since
// browsers cannot set headers there; a page of another site is not heard, as it cannot set headers of other requests either.
func namedTenant(r *http.Request) string {
	id := r.Header.Get("X-Scope-OrgID")
	if id == "" && isUpgrade(r) && sameSite(r) {
		id = r.URL.Query().Get("tenant")
	}
	return id
}

func isUpgrade(r *http.Request) bool { return strings.EqualFold(r.Header.Get("Upgrade"), "websocket") }

// sameSite reports whether a request comes from no web page, or from one of this server. Browsers send the headers, and no page can
// change them.
func sameSite(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return true
	case "":
	default:
		return false
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && (strings.EqualFold(u.Host, r.Host) || strings.EqualFold(u.Host, r.Header.Get("X-Forwarded-Host")))
}

// errOtherSite is answered to a page of another site that uses what the browser knows of this one.
var errOtherSite = &statusError{status: http.StatusForbidden, text: "a page of another site may not ask for this"}

// withAuth lets those pass whose credentials allow the route. Browsers send theirs along whatever page asks, so that pages of other
// sites are refused where they could change something, or read it through a websocket.
func (a *API) withAuth(route Route, h http.Handler) http.Handler {
	acts := route.Method != http.MethodGet || route.Path == "/flush" || route.Path == "/ingester/shutdown"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, err := a.deps.Auth.Identify(r)
		if err != nil {
			a.refuse(w, r, err)
			return
		}
		if rec, ok := w.(*recorder); ok {
			rec.user = user.Name
		}
		switch {
		case (acts || isUpgrade(r)) && !sameSite(r):
			err = errOtherSite
		case !user.May(route.Scope):
			err = auth.ErrScope
		}
		if err != nil {
			a.refuse(w, r, err)
			return
		}
		h.ServeHTTP(w, r.WithContext(auth.Inject(r.Context(), user)))
	})
}

// refuse answers a request that may not be served. Who shows no valid credentials is asked for them.
func (a *API) refuse(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case errors.Is(err, auth.ErrNoCredentials), errors.Is(err, auth.ErrBadCredentials):
		w.Header().Add("WWW-Authenticate", `Basic realm="logstore", charset="UTF-8"`)
		w.Header().Add("WWW-Authenticate", `Bearer realm="logstore"`)
	case errors.Is(err, auth.ErrScope), errors.Is(err, auth.ErrTenant):
		a.deps.Auth.Refused(err)
	}
	writeError(w, r, err)
}
