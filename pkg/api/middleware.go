package api

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"logstore/pkg/querier"
	"logstore/pkg/trace"
)

type metrics struct {
	seconds  *prometheus.HistogramVec
	inflight prometheus.Gauge
	panics   prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	return &metrics{
		seconds: f.NewHistogramVec(prometheus.HistogramOpts{
			Name: "loki_request_duration_seconds", Help: "Time spent serving HTTP requests.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 25, 50, 100},
		}, []string{"method", "route", "status_code"}),
		inflight: f.NewGauge(prometheus.GaugeOpts{
			Name: "loki_inflight_requests", Help: "HTTP requests being served."}),
		panics: f.NewCounter(prometheus.CounterOpts{
			Name: "loki_panic_total", Help: "Requests that ended in a panic."}),
	}
}

// recorder remembers the status and size of an answer.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
	// begin is called once before the answer's first byte; it may be nil.
	begin func()
	// tenant and user are who asks, as far as that is known.
	tenant, user string
}

func (w *recorder) WriteHeader(status int) {
	w.started(status)
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(p []byte) (int, error) {
	w.started(http.StatusOK)
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// started notes the status of an answer that begins.
func (w *recorder) started(status int) {
	if w.status != 0 {
		return
	}
	w.status = status
	if w.begin != nil {
		w.begin()
	}
}

// Unwrap lets http.ResponseController reach what is beneath, for websockets and deadlines.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// observe serves the request, counts and logs it, and turns a panic into a 500 that harms nobody else.
func (a *API) observe(w http.ResponseWriter, r *http.Request, h http.Handler) {
	start := time.Now()
	rec := &recorder{ResponseWriter: w}
	r, span := a.startSpan(r)
	a.metrics.inflight.Inc()
	defer func() {
		a.metrics.inflight.Dec()
		if p := recover(); p != nil {
			if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(p)
			}
			a.metrics.panics.Inc()
			a.deps.Logger.Error("panic while serving a request", "path", r.URL.Path, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			if rec.status == 0 {
				http.Error(rec, "internal error", http.StatusInternalServerError)
			}
		}
		a.logRequest(rec, r, time.Since(start))
		endSpan(span, rec, r)
	}()
	h.ServeHTTP(rec, r)
}

// startSpan begins the span of a request, but of those that come again and again and ask for nothing.
func (a *API) startSpan(r *http.Request) (*http.Request, *trace.Span) {
	if a.deps.Tracer == nil || r.URL.Path == "/ready" || r.URL.Path == "/metrics" {
		return r, nil
	}
	ctx, span := a.deps.Tracer.Request(r.Context(), r.Method, r.Header.Get("Traceparent"), r.Header.Get("Tracestate"))
	return r.WithContext(ctx), span
}

// endSpan says in the words of OpenTelemetry what the request was.
func endSpan(span *trace.Span, rec *recorder, r *http.Request) {
	if span == nil {
		return
	}
	if _, route, _ := strings.Cut(r.Pattern, " "); route != "" {
		span.Name(r.Method + " " + route)
		span.Text("http.route", route)
	}
	span.Text("http.request.method", r.Method)
	span.Text("url.path", r.URL.Path)
	span.Int("http.response.status_code", int64(rec.status))
	span.Int("http.response.body.size", rec.bytes)
	if r.ContentLength > 0 {
		span.Int("http.request.body.size", r.ContentLength)
	}
	if rec.tenant != "" {
		span.Text("logstore.tenant", rec.tenant)
	}
	if rec.status >= http.StatusInternalServerError {
		span.Fail(http.StatusText(rec.status))
	}
	span.End(nil)
}

func (a *API) logRequest(rec *recorder, r *http.Request, took time.Duration) {
	route := "other"
	if r.Pattern != "" { // set by the mux
		route = routeName(r.Pattern)
	}
	a.metrics.seconds.WithLabelValues(r.Method, route, strconv.Itoa(rec.status)).Observe(took.Seconds())
	level := slog.LevelDebug
	switch {
	case rec.status >= 500:
		level = slog.LevelWarn
	case a.cfg.LogRequests:
		level = slog.LevelInfo
	}
	if !a.deps.Logger.Enabled(r.Context(), level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.Int("status", rec.status),
		slog.Duration("duration", took), slog.Int64("bytes", rec.bytes), slog.String("tenant", rec.tenant),
	}
	if rec.user != "" {
		attrs = append(attrs, slog.String("user", rec.user))
	}
	if id := trace.ID(r.Context()); id != "" {
		attrs = append(attrs, slog.String("trace_id", id))
	}
	if tags := r.Header.Get("X-Query-Tags"); tags != "" {
		attrs = append(attrs, slog.String("query_tags", tags))
	}
	a.deps.Logger.LogAttrs(r.Context(), level, "request", attrs...)
}

var routeCleaner = strings.NewReplacer("{", "", "}", "", "$", "", ".", "")

// routeName turns "GET /loki/api/v1/label/{name}/values" into loki_api_v1_label_name_values, as Loki names its routes.
func routeName(pattern string) string {
	_, path, _ := strings.Cut(pattern, " ")
	name := strings.ReplaceAll(strings.Trim(routeCleaner.Replace(path), "/"), "/", "_")
	if name == "" {
		return "root"
	}
	return name
}

// withErrors answers with the error that the handler returns.
func (a *API) withErrors(h handlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			writeError(w, r, err)
		}
	})
}

// withForm parses query string and form body, so that handlers may use r.Form.
func (a *API) withForm(h handlerFunc) handlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		r.Body = http.MaxBytesReader(w, r.Body, a.cfg.MaxForm)
		if err := r.ParseForm(); err != nil {
			if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
				return badRequest("http: POST too large")
			}
			return badRequest("%v", err)
		}
		if strings.Contains(r.Header.Get("Accept"), "application/vnd.apache.parquet") {
			return badRequest("support for Parquet encoded responses is disabled")
		}
		if source := sourceOf(r); source != "" {
			r = r.WithContext(querier.WithSource(r.Context(), source))
		}
		return h(w, r)
	}
}

// gzipMin is the size from which an answer is worth compressing.
const gzipMin = 1024

var gzipWriters = sync.Pool{New: func() any {
	zw, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
	if err != nil {
		panic("BUG: gzip level: " + err.Error())
	}
	return zw
}}

// withGzip compresses answers of more than gzipMin bytes for clients that accept it.
func (a *API) withGzip(h handlerFunc) handlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		if !a.cfg.CompressResponses || !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			return h(w, r)
		}
		gw := &gzipWriter{ResponseWriter: w}
		err := h(gw, r)
		if err != nil && !gw.started() {
			return err
		}
		return errors.Join(err, gw.close())
	}
}

// gzipWriter holds the answer back until it is known to be large.
type gzipWriter struct {
	http.ResponseWriter
	status int
	held   []byte
	zw     *gzip.Writer
}

func (w *gzipWriter) started() bool               { return w.zw != nil || len(w.held) > 0 || w.status != 0 }
func (w *gzipWriter) WriteHeader(status int)      { w.status = status }
func (w *gzipWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *gzipWriter) Write(p []byte) (int, error) {
	if w.zw != nil {
		return w.zw.Write(p)
	}
	w.held = append(w.held, p...)
	if len(w.held) < gzipMin {
		return len(p), nil
	}
	w.Header().Set("Content-Encoding", "gzip")
	w.Header().Add("Vary", "Accept-Encoding")
	w.Header().Del("Content-Length")
	if w.status != 0 {
		w.ResponseWriter.WriteHeader(w.status)
	}
	w.zw, _ = gzipWriters.Get().(*gzip.Writer)
	w.zw.Reset(w.ResponseWriter)
	_, err := w.zw.Write(w.held)
	return len(p), err
}

func (w *gzipWriter) close() error {
	if w.zw != nil {
		err := w.zw.Close()
		w.zw.Reset(nil)
		gzipWriters.Put(w.zw)
		return err
	}
	if w.status != 0 {
		w.ResponseWriter.WriteHeader(w.status)
	}
	_, err := w.ResponseWriter.Write(w.held)
	return err
}

// clientGone reports whether the request ended because its client left.
func clientGone(r *http.Request, err error) bool {
	return errors.Is(err, context.Canceled) && r.Context().Err() != nil
}
