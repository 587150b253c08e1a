package api

import (
	"bytes"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
)

// index is a page for a person who opened the address in a browser, and a health check for clients that ask for /.
func (a *API) index(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, err := fmt.Fprintf(w, `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>logstore</title></head><body>
<h1>logstore %s</h1>
<ul>
<li><a href="ui/">/ui</a>: search and watch the logs, members, tenants, rules and storage</li>
<li><a href="ready">/ready</a>: whether it serves</li>
<li><a href="services">/services</a>: the state of its parts</li>
<li><a href="config">/config</a>: the configuration in effect (<a href="config?mode=diff">what differs from the defaults</a>)</li>
<li><a href="metrics">/metrics</a>: for Prometheus</li>
<li><a href="loki/api/v1/labels">/loki/api/v1/labels</a>, /loki/api/v1/query_range, ...: the query API, as in Loki</li>
<li><a href="loki/api/v1/status/buildinfo">/loki/api/v1/status/buildinfo</a>, <a href="debug/pprof/">/debug/pprof/</a></li>
</ul></body></html>
`, a.deps.Build.Version)
	return ignoreGone(err)
}

func (a *API) ready(w http.ResponseWriter, _ *http.Request) error {
	if err := a.deps.Ready(); err != nil {
		return &statusError{status: http.StatusServiceUnavailable, text: err.Error()}
	}
	writeText(w, http.StatusOK, "ready\n")
	return nil
}

func (a *API) services(w http.ResponseWriter, _ *http.Request) error {
	states := a.deps.Services()
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(states)) {
		fmt.Fprintf(&b, "%s => %s\n", name, states[name])
	}
	writeText(w, http.StatusOK, b.String())
	return nil
}

func (a *API) config(w http.ResponseWriter, r *http.Request) error {
	mode := r.URL.Query().Get("mode")
	if mode != "defaults" && mode != "diff" {
		mode = ""
	}
	var b bytes.Buffer
	if err := a.deps.WriteConfig(&b, mode); err != nil {
		return err
	}
	writeText(w, http.StatusOK, b.String())
	return nil
}

func (a *API) buildInfo(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, http.StatusOK, a.deps.Build)
}

func (a *API) flush(w http.ResponseWriter, _ *http.Request) error {
	a.deps.Flush()
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// logLevel shows and, by POST, sets the level of the log.
func (a *API) logLevel(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodPost {
		return writeJSON(w, http.StatusOK, map[string]string{"message": "Current log level is " + strings.ToLower(a.deps.LogLevel.Level().String())})
	}
	name := r.FormValue("log_level")
	level, ok := levels[name]
	if !ok {
		return writeJSON(w, http.StatusBadRequest, map[string]string{"status": "failed", "message": fmt.Sprintf("unrecognized log level %q", name)})
	}
	a.deps.LogLevel.Set(level)
	return writeJSON(w, http.StatusOK, map[string]string{"status": "success", "message": "Log level set to " + name})
}

var levels = map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}

// cmdline shows the command line as pprof's page does, but for the values of flags, some of which are secrets.
func cmdline(w http.ResponseWriter, _ *http.Request) {
	args := slices.Clone(os.Args)
	for i, arg := range args[1:] {
		name, _, _ := strings.Cut(arg, "=")
		if !strings.HasPrefix(name, "-") {
			name = "..."
		}
		args[i+1] = name
	}
	writeText(w, http.StatusOK, strings.Join(args, "\x00"))
}
