package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb/fileutil"

	"logstore/pkg/api"
	"logstore/pkg/auth"
	"logstore/pkg/buckets"
	"logstore/pkg/certs"
	"logstore/pkg/changes"
	"logstore/pkg/compactor"
	"logstore/pkg/config"
	"logstore/pkg/deletes"
	"logstore/pkg/distributor"
	"logstore/pkg/ingester"
	"logstore/pkg/limits"
	"logstore/pkg/model"
	"logstore/pkg/objstore"
	"logstore/pkg/patterns"
	"logstore/pkg/querier"
	"logstore/pkg/remotewrite"
	"logstore/pkg/ring"
	"logstore/pkg/rpc"
	"logstore/pkg/ruler"
	"logstore/pkg/schema"
	"logstore/pkg/shipper"
	"logstore/pkg/store"
	"logstore/pkg/trace"
)

// App is one logstore process.
type App struct {
	cfg      *config.Config
	build    api.BuildInfo
	logger   *slog.Logger
	level    *slog.LevelVar
	registry *prometheus.Registry
	certs    *certs.Metrics
	tracer   *trace.Tracer

	limits      *limits.Overrides
	runtime     *config.Runtime
	buckets     *buckets.Buckets
	caches      caches
	changes     *changes.Log
	periods     schema.Periods
	shipper     *shipper.Shipper
	tsdb        *shipper.TSDB
	store       *store.Store
	deletes     *deletes.Store
	compactor   *compactor.Compactor
	ring        *ring.Ring
	rpcServer   *rpc.Server
	peers       *rpc.Pool
	ingester    *ingester.Ingester
	distributor *distributor.Distributor
	querier     *querier.Querier
	notifiers   *notifiers
	remote      *remotewrite.Writers
	ruler       *ruler.Ruler
	patterns    *patterns.Store
	auth        *auth.Authenticator
	api         *api.API

	states   states
	stopping stopRequest
	// lock is held on the folder of the write-ahead log.
	lock fileutil.Releaser
}

// New builds the process; nothing runs yet, and no port is taken.
func New(setup *config.Setup, build api.BuildInfo, log io.Writer) (*App, error) {
	cfg := setup.Config
	a := &App{cfg: cfg, build: build, stopping: stopRequest{c: make(chan struct{})}, level: &slog.LevelVar{}, registry: newRegistry(build), changes: changes.NewLog()}
	a.logger, a.certs = NewLogger(cfg, log, a.level), certs.NewMetrics(a.registry)
	LogSetup(a.logger, setup)
	tuneMemory(a.logger)
	for _, step := range []struct {
		name string
		fn   func() error
	}{
		{"write-ahead log", a.lockLog},
		{"limits", a.newLimits},
		{"caches", a.newCaches},
		{"storage", a.newStorage},
		{"deletes", a.newDeletes},
		{"ring", a.newRing},
		{"tracing", a.newTracer},
		{"rpc", a.newRPC},
		{"ingester", a.newIngester},
		{"distributor", a.newDistributor},
		{"compactor", a.newCompactor},
		{"querier", a.newQuerier},
		{"remote write", a.newRemoteWrite},
		{"ruler", a.newRuler},
		{"patterns", a.newPatterns},
		{"authentication", a.newAuth},
		{"server", a.newAPI},
	} {
		if err := step.fn(); err != nil {
			a.unlockLog()
			return nil, fmt.Errorf("cannot build %s: %w", step.name, err)
		}
		a.states.set(step.name, "New")
	}
	return a, nil
}

func (a *App) newLimits() error {
	var err error
	if a.limits, err = limits.New(a.cfg.Limits.Limits); err != nil {
		return err
	}
	a.runtime = config.NewRuntime(a.cfg, a.limits, a.logger, a.registry)
	return a.runtime.Load()
}

func (a *App) newIngester() error {
	cfg, err := ingesterConfig(a.cfg)
	if err != nil {
		return err
	}
	deps := ingester.Deps{
		Store: a.store, Limits: a.limits, Periods: a.periods, LocalStreams: a.localStreams, Changes: a.changes, HandOver: a.handOver(),
		DiskUsage: objstore.DiskSpace,
		Registry:  a.registry, Log: a.logger.With("component", "ingester"),
	}
	if a.cfg.Logstore.Sidecar.Enabled {
		deps.Sidecars = a.store
	}
	if a.clustered() {
		deps.Second = a.holdsSecond
	}
	a.ingester, err = ingester.New(cfg, deps)
	if err == nil {
		a.serveMembers()
	}
	return err
}

func (a *App) newDistributor() error {
	cfg := distributor.DefaultConfig()
	if configs := a.cfg.Schema.Configs; len(configs) > 0 {
		cfg.Oldest = configs[0].From
	}
	for _, r := range a.cfg.Schema.ReadOnly(time.Now()) {
		i := model.Interval{Start: r.From.UnixNano(), End: math.MaxInt64}
		if !r.Until.IsZero() {
			i.End = r.Until.UnixNano()
		}
		cfg.ReadOnly = append(cfg.ReadOnly, distributor.ReadOnly{Interval: i, Why: r.Why})
	}
	deps := distributor.Deps{
		Limits: a.limits, Members: a.ring, Ingester: a.ingester, ID: a.ring.Self().ID,
		Registerer: a.registry, Log: a.logger.With("component", "distributor"),
	}
	if a.clustered() {
		cfg.ReplicationFactor, cfg.RemoteTimeout = a.replicationFactor(), a.cfg.IngesterClient.RemoteTimeout
		deps.Ring, deps.Peers, deps.Transfer = a.ring, a.peers, rpc.Transfers{Pool: a.peers}
	}
	var err error
	a.distributor, err = distributor.New(cfg, deps)
	return err
}

func (a *App) newAPI() error {
	var find func(context.Context, []*labels.Matcher, int64, int64, int64) ([]patterns.Pattern, error)
	if a.patterns != nil {
		find = a.timedPatterns
	}
	var rules api.Ruler
	if a.cfg.Ruler.EnableAPI {
		rules = rulerAPI{Ruler: a.ruler, app: a}
	}
	var who api.Auth
	if a.auth != nil {
		who = a.auth
	}
	a.api = api.New(api.Config{
		AuthEnabled: a.cfg.AuthEnabled, PathPrefix: a.cfg.Server.HTTPPathPrefix, Push: a.readOptions(),
		MaxForm: int64(cmp.Or(a.cfg.Frontend.MaxBodySize, 10<<20)), OpenMetrics: a.cfg.Logstore.Auth.OpenMetrics,
		WriteTimeout: a.cfg.Server.HTTPServerWriteTimeout, CompressResponses: true, PublishedLimits: a.cfg.TenantLimitsPublish, LogRequests: a.cfg.Server.LogRequestAtInfoLevel,
	}, api.Deps{
		Push: a.distributor.Push, Querier: a.querier, Limits: a.limits,
		Flush: a.flush, Ready: a.ready, Services: a.states.all,
		WriteConfig: a.cfg.WriteYAML, WriteValues: config.WriteValues, Ring: a.members, Forget: a.ring.Forget, Gossip: a.ring.GossipStatus,
		Patterns: find, Ruler: rules, Auth: who, Tracer: a.tracer,
		Deletes: a.deletesAPI(), Compactor: a.compactorStatus, Reports: api.Reports{Tenants: a.tenantReports, Storage: a.storageReport},
		Shutdown: newShutdownMarker(markerDir(a.cfg)), ShutdownIngester: a.shutdownIngester, LogLevel: a.level, Build: a.build,
		Logger: a.logger.With("component", "http"), Registerer: a.registry, Gatherer: a.registry,
	})
	return nil
}

// flush starts flushing what is in memory and then the index, and returns at once.
func (a *App) flush() {
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), a.cfg.Ingester.FlushOpTimeout)
		defer cancel()
		begin := time.Now()
		if err := errors.Join(a.ingester.FlushWait(ctx), a.shipper.Flush(ctx)); err != nil {
			a.logger.Error("flush failed; what is left stays in the write-ahead log and is tried again", "err", err)
			return
		}
		a.logger.Info("flushed", "duration", time.Since(begin))
	}()
}

// ready returns why the process does not serve, or nil.
func (a *App) ready() error {
	if a.states.get("server") == "Stopping" {
		return errors.New("Application is stopping")
	}
	if err := cmp.Or(a.ingester.Ready(), a.ring.Ready()); err != nil {
		return fmt.Errorf("Ingester not ready: %w", err)
	}
	if err := a.indexReady(); err != nil {
		return fmt.Errorf("Index not ready: %w", err)
	}
	return nil
}

// Run serves until ctx ends and then stops in the order that the package comment gives. It returns the first failure.
func (a *App) Run(ctx context.Context) error {
	srv, err := a.listen()
	if err != nil {
		return err
	}
	calls, err := a.listenRPC()
	if err != nil {
		return errors.Join(err, srv.listener.Close())
	}
	parts := newParts(ctx, a.logger, &a.states)
	// Bottom up: what is started last is stopped first.
	parts.start("tracing", a.tracer.Run)
	parts.start("limits", a.runtime.Run)
	parts.start("caches", a.caches.run)
	parts.start("ring", a.ring.Run)
	parts.start("peers", func(ctx context.Context) error { return a.peers.Run(ctx, a.memberAddrs) })
	a.readDeletes(ctx)
	parts.start("deletes", a.runDeletes)
	parts.start("shipper", a.shipper.Run)
	parts.start("tsdb", a.runTSDB)
	parts.start("ingester", a.ingester.Run)
	parts.start("compactor", a.runCompactor)
	parts.start("notifier", a.notifiers.run)
	parts.start("remote write", a.runRemoteWrite)
	parts.start("ruler", a.runRuler)
	parts.start("patterns", a.runPatterns)
	parts.start("rpc", func(ctx context.Context) error { return a.rpcServer.Serve(ctx, calls) })
	parts.start("authentication", a.runAuth)
	parts.start("server", srv.run)
	for _, name := range []string{"distributor", "querier", "storage"} {
		a.states.set(name, "Running") // they have no goroutine of their own
	}
	go a.activate(ctx)
	a.logger.Info("logstore started", "version", a.build.Version, "http", srv.addr(), "target", a.cfg.Target)
	parts.wait(a.stopping.c)
	a.logger.Info("stopping")
	a.ring.Leave()
	a.states.set("server", "Stopping")
	a.pause(ctx)
	a.lastStop()
	err = parts.stop("server", "authentication", "ruler", "remote write", "notifier", "patterns", "compactor", "ingester", "shipper", "tsdb", "ring", "rpc", "peers", "deletes", "caches", "limits", "tracing")
	a.unlockLog()
	if closeErr := a.buckets.Close(); closeErr != nil {
		a.logger.Warn("cannot close the buckets", "err", closeErr)
	}
	if err == nil {
		a.logger.Info("logstore stopped")
	}
	return err
}

// pause keeps serving while load balancers notice that /ready says no.
func (a *App) pause(ctx context.Context) {
	if a.cfg.ShutdownDelay <= 0 || ctx.Err() == nil {
		return
	}
	a.logger.Info("serving on while load balancers turn away", "shutdown_delay", a.cfg.ShutdownDelay)
	time.Sleep(a.cfg.ShutdownDelay)
}

// states holds what each part is doing, for /services.
type states struct {
	mu sync.Mutex
	m  map[string]string
}

func (s *states) set(name, state string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.m == nil {
		s.m = map[string]string{}
	}
	s.m[name] = state
}

func (s *states) get(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.m[name]
}

func (s *states) all() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[string]string, len(s.m))
	for k, v := range s.m {
		out[k] = v
	}
	return out
}
