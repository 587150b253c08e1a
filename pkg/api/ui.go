package api

import (
	"net/http"
	"strings"

	"logstore/pkg/auth"
	"logstore/pkg/ui"
)

// pagePolicy lets the page load nothing but its own files and ask nobody but its own server. Styles are inline because the
// editor and the charts write them into the document.
const pagePolicy = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self' ws: wss:; frame-ancestors 'self'; base-uri 'none'; form-action 'self'"

// uiRoutes serves the embedded page under /ui/. It needs no tenant: what it shows it asks of the API. Any
// credentials are good enough, but there must be some: that is how a browser comes to ask for them.
func (a *API) uiRoutes() {
	files, err := ui.Files()
	if err != nil {
		panic("BUG: the embedded page cannot be read: " + err.Error())
	}
	a.route("/ui", auth.Any, func(w http.ResponseWriter, _ *http.Request) error {
		// Relative to the address that the client sees, so that it also holds behind a proxy that adds a prefix.
		w.Header().Set("Location", "ui/")
		w.WriteHeader(http.StatusFound)
		return nil
	}, http.MethodGet)
	a.route("/ui/{path...}", auth.Any, a.withGzip(func(w http.ResponseWriter, r *http.Request) error {
		name := r.PathValue("path")
		if name == "" {
			name = "index.html"
		}
		f, ok := files[name]
		if !ok {
			http.NotFound(w, r)
			return nil
		}
		h := w.Header()
		h.Set("ETag", f.ETag)
		h.Set("Cache-Control", "no-cache")
		h.Set("Content-Type", f.ContentType)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Content-Security-Policy", pagePolicy)
		if strings.Contains(r.Header.Get("If-None-Match"), f.ETag) {
			w.WriteHeader(http.StatusNotModified)
			return nil
		}
		_, err := w.Write(f.Body)
		return ignoreGone(err)
	}), http.MethodGet)
}
