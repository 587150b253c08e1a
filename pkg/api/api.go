package api

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/auth"
	"logstore/pkg/limits"
	"logstore/pkg/logql/engine"
	"logstore/pkg/model"
	"logstore/pkg/patterns"
	"logstore/pkg/querier"
	"logstore/pkg/ring"
	"logstore/pkg/trace"
	"logstore/pkg/wire"
)

// Config holds the settings of the HTTP surface.
type Config struct {
	// AuthEnabled takes the tenant from X-Scope-OrgID; otherwise every request is the tenant "fake".
	AuthEnabled bool
	// PathPrefix goes before every path.
	PathPrefix string
	// Push says how bodies of pushes are read and how large they may be.
	Push wire.Options
	// CompressResponses gzips large answers for clients that accept it.
	CompressResponses bool
	// PublishedLimits are the keys of the limits that a tenant is shown.
	PublishedLimits []string
	// MaxForm is how large the form of a read may be.
	MaxForm int64
	// WriteTimeout is the server's time to write an answer, 0 for no bound. For queries it begins with the answer, not with the request.
	WriteTimeout time.Duration
	// OpenMetrics answers /metrics without credentials.
	OpenMetrics bool
	// LogRequests logs every request at level info instead of debug.
	LogRequests bool
}

// DefaultConfig holds Loki's defaults.
var DefaultConfig = Config{AuthEnabled: true, Push: wire.Options{MaxBody: 100 << 20, MaxDecompressed: 5000 << 20}, CompressResponses: true, MaxForm: 10 << 20}

// Querier is what the read endpoints ask; *querier.Querier is one.
type Querier interface {
	Query(ctx context.Context, p engine.Params) (engine.Result, error)
	LabelNames(ctx context.Context, r querier.LabelRequest) ([]string, error)
	LabelValues(ctx context.Context, name string, r querier.LabelRequest) ([]string, error)
	DetectedFields(ctx context.Context, p engine.Params, limit int) ([]querier.Field, error)
	DetectedFieldValues(ctx context.Context, p engine.Params, name string, limit int) ([]string, error)
	DetectedLabels(ctx context.Context, r querier.LabelRequest) ([]querier.DetectedLabel, error)
	Volume(ctx context.Context, r querier.VolumeRequest) ([]querier.Volume, error)
	IndexStats(ctx context.Context, matchers []*labels.Matcher, interval model.Interval) (querier.IndexStats, error)
	Running(tenant string) []querier.Running
	Stop(tenant, id string) bool
	Tail(ctx context.Context, r querier.TailRequest, send func(*querier.TailFrame) error) error
	Series(ctx context.Context, selectors [][]*labels.Matcher, interval model.Interval) ([]labels.Labels, error)
}

// BuildInfo describes the binary.
type BuildInfo struct {
	Version   string `json:"version"`
	Revision  string `json:"revision"`
	Branch    string `json:"branch"`
	BuildUser string `json:"buildUser"`
	BuildDate string `json:"buildDate"`
	GoVersion string `json:"goVersion"`
}

// Deps are what the handlers call.
type Deps struct {
	// Push stores a decoded push for the tenant of the context.
	Push    func(ctx context.Context, req *wire.PushRequest) error
	Querier Querier
	Limits  *limits.Overrides
	// Flush starts flushing everything in memory and returns at once.
	Flush func()
	// Ready returns nil when pushes and queries are served, else the reason why not.
	Ready func() error
	// Services returns the state of each part by name.
	Services func() map[string]string
	// WriteConfig writes the effective configuration as YAML; mode is "", "defaults" or "diff". Secrets are left out.
	WriteConfig func(w io.Writer, mode string) error
	// WriteValues writes any value as YAML.
	WriteValues func(w io.Writer, v any) error
	// Ring returns the members of the ring.
	Ring func() []RingMember
	// Forget removes a dead member from the ring; its errors are those of the package ring.
	Forget func(id string) error
	// Gossip returns what gossip knows, nil without gossip.
	Gossip func() *ring.GossipStatus
	// Ruler answers what is asked of rules; nil serves none of it.
	Ruler Ruler
	// Patterns returns the templates of lines; nil if they are not mined.
	Patterns func(ctx context.Context, matchers []*labels.Matcher, from, to, step int64) ([]patterns.Pattern, error)
	// Deletes keeps delete requests; nil if there is nobody to process them, then their routes are not there either.
	Deletes Deletes
	// Reports are for the pages of operators.
	Reports Reports
	// Compactor returns what the compactor did last, as JSON; nil if there is none.
	Compactor func() any
	Shutdown  ShutdownMarker
	// Auth says who asks; nil believes X-Scope-OrgID.
	Auth Auth
	// Tracer begins the spans of requests; nil begins none.
	Tracer *trace.Tracer
	// ShutdownIngester leaves the ring and takes no more pushes; it flushes, deletes the ring's tokens and ends the process, as asked.
	ShutdownIngester func(ctx context.Context, flush, deleteTokens, terminate bool) error
	LogLevel         *slog.LevelVar
	Build            BuildInfo
	Logger           *slog.Logger
	Registerer       prometheus.Registerer
	Gatherer         prometheus.Gatherer
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// API serves HTTP. It is safe for concurrent use.
type API struct {
	cfg     Config
	deps    Deps
	mux     *http.ServeMux
	routes  []Route
	metrics *metrics
	// tails ends when CloseTails is called.
	tails      context.Context
	closeTails context.CancelFunc
}

// New returns the handler of all routes.
func New(cfg Config, deps Deps) *API {
	if deps.Now == nil {
		deps.Now = time.Now
	}
	a := &API{cfg: cfg, deps: deps, mux: http.NewServeMux(), metrics: newMetrics(deps.Registerer)}
	a.tails, a.closeTails = context.WithCancel(context.Background())
	a.writeRoutes()
	a.readRoutes()
	a.ruleRoutes()
	a.operationRoutes()
	a.deleteRoutes()
	a.uiRoutes()
	a.reportRoutes()
	return a
}

// Handler returns the HTTP handler.
func (a *API) Handler() http.Handler { return a }

// ServeHTTP serves one request. Paths are matched as they are, without cleaning, since a redirect would turn a POST into
// a GET.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodHead && r.URL.Path != "/" {
		// The mux would answer as for a GET, and a query would run for nothing.
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	path, ok := strings.CutPrefix(r.URL.Path, strings.TrimSuffix(a.cfg.PathPrefix, "/"))
	if !ok || strings.Contains(r.URL.EscapedPath(), "//") {
		http.NotFound(w, r)
		return
	}
	if path != r.URL.Path {
		r = r.Clone(r.Context())
		r.URL.Path = path
		r.URL.RawPath = strings.TrimPrefix(r.URL.RawPath, strings.TrimSuffix(a.cfg.PathPrefix, "/"))
	}
	a.observe(w, r, a.mux)
}

// handlerFunc answers a request or returns the error to answer with.
type handlerFunc func(w http.ResponseWriter, r *http.Request) error

func (a *API) writeRoutes() {
	a.tenantRoute("/loki/api/v1/push", auth.Write, a.push, http.MethodPost)
	a.tenantRoute("/api/prom/push", auth.Write, a.push, http.MethodPost)
	a.tenantRoute("/otlp/v1/logs", auth.Write, a.pushOTLP, http.MethodPost)
	a.tenantRoute("/v1/logs", auth.Write, a.pushOTLP, http.MethodPost)
}

func (a *API) readRoutes() {
	read := func(path string, h handlerFunc) {
		a.tenantRoute(path, auth.Read, a.withForm(a.withPatience(a.withGzip(h))), http.MethodGet, http.MethodPost)
	}
	read("/loki/api/v1/query_range", a.queryRange)
	read("/loki/api/v1/query", a.queryInstant)
	read("/loki/api/v1/labels", a.labelNames)
	read("/loki/api/v1/label", a.labelNames)
	read("/loki/api/v1/label/{name}/values", a.labelValues)
	read("/loki/api/v1/series", a.series)
	read("/loki/api/v1/detected_labels", a.detectedLabels)
	read("/loki/api/v1/detected_fields", a.detectedFields)
	read("/loki/api/v1/detected_field/{name}/values", a.detectedFieldValues)
	read("/loki/api/v1/index/stats", a.indexStats)
	read("/loki/api/v1/index/volume", a.volume)
	read("/loki/api/v1/index/volume_range", a.volumeRange)
	read("/loki/api/v1/index/shards", a.indexShards)
	read("/loki/api/v1/patterns", a.patterns)
	a.tenantRoute("/loki/api/v1/tail", auth.Read, a.withForm(a.tail(false)), http.MethodGet)
	a.tenantRoute("/api/prom/tail", auth.Read, a.withForm(a.tail(true)), http.MethodGet)
	read("/api/prom/query", a.legacyQuery)
	read("/api/prom/label", a.legacyLabelNames)
	read("/api/prom/label/{name}/values", a.legacyLabelValues)
	read("/api/prom/series", a.series)
	a.tenantRoute("/logstore/api/v1/queries", auth.Read, a.runningQueries, http.MethodGet)
	a.tenantRoute("/logstore/api/v1/queries/{id}", auth.Manage, a.stopQuery, http.MethodDelete)
	a.tenantRoute("/loki/api/v1/drilldown-limits", auth.Read, a.drilldownLimits, http.MethodGet)
	a.tenantRoute("/config/tenant/v1/limits", auth.Read, a.tenantLimits, http.MethodGet)
	a.route("/loki/api/v1/format_query", auth.Any, a.withForm(a.formatQuery), http.MethodGet, http.MethodPost)
}

func (a *API) operationRoutes() {
	a.route("/{$}", auth.Any, a.index, http.MethodGet)
	a.route("/ready", auth.Open, a.ready, http.MethodGet)
	a.route("/services", auth.Admin, a.services, http.MethodGet)
	a.route("/config", auth.Admin, a.config, http.MethodGet)
	a.route("/loki/api/v1/status/buildinfo", auth.Any, a.buildInfo, http.MethodGet)
	a.route("/log_level", auth.Admin, a.logLevel, http.MethodGet, http.MethodPost)
	a.route("/flush", auth.Admin, a.flush, http.MethodGet, http.MethodPost)
	a.route("/ingester/prepare_shutdown", auth.Admin, a.prepareShutdown, http.MethodGet, http.MethodPost, http.MethodDelete)
	a.route("/ingester/shutdown", auth.Admin, a.withForm(a.withPatience(a.shutdownIngester)), http.MethodGet, http.MethodPost)
	a.route("/ingester/flush_shutdown", auth.Admin, a.withForm(a.withPatience(a.shutdownIngester)), http.MethodPost)
	for path, name := range map[string]string{
		"/ring": "Ingesters", "/distributor/ring": "Distributors", "/compactor/ring": "Compactors", "/scheduler/ring": "Schedulers", "/ruler/ring": "Rulers",
	} {
		a.route(path, auth.Admin, a.ring(name), http.MethodGet, http.MethodPost)
	}
	if a.deps.Compactor != nil {
		a.route("/compactor/status", auth.Admin, a.compactorStatus, http.MethodGet)
	}
	a.route("/memberlist", auth.Admin, a.memberlist, http.MethodGet, http.MethodPost)
	metricsScope := auth.Metrics
	if a.cfg.OpenMetrics {
		metricsScope = auth.Open
	}
	a.handle(Route{Method: http.MethodGet, Path: "/metrics", Scope: metricsScope}, promhttp.InstrumentMetricHandler(a.deps.Registerer,
		promhttp.HandlerFor(a.deps.Gatherer, promhttp.HandlerOpts{EnableOpenMetrics: true})))
	for path, h := range map[string]http.HandlerFunc{
		"": pprof.Index, "cmdline": cmdline, "profile": pprof.Profile, "symbol": pprof.Symbol, "trace": pprof.Trace,
	} {
		a.handle(Route{Path: "/debug/pprof/" + path, Scope: auth.Admin}, h)
	}
}
