package app

import (
	"io"
	"log/slog"
	"runtime"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"logstore/pkg/api"
	"logstore/pkg/compress"
	"logstore/pkg/config"
	"logstore/pkg/ingester"
	"logstore/pkg/wire"
)

var logLevels = map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}

// NewLogger returns the process's logger. A level that is given follows the configuration and may be changed later.
func NewLogger(cfg *config.Config, w io.Writer, level *slog.LevelVar) *slog.Logger {
	if level == nil {
		level = &slog.LevelVar{}
	}
	level.Set(logLevels[cfg.Server.LogLevel])
	opts := &slog.HandlerOptions{Level: level, ReplaceAttr: lokiKeys}
	if cfg.Server.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

// lokiKeys names time and level as Loki's log does, so that its dashboards and parsers keep working.
func lokiKeys(groups []string, attr slog.Attr) slog.Attr {
	if len(groups) > 0 {
		return attr
	}
	switch attr.Key {
	case slog.TimeKey:
		attr.Key = "ts"
	case slog.LevelKey:
		attr.Value = slog.StringValue(strings.ToLower(attr.Value.String()))
	}
	return attr
}

// LogSetup says what was read, and in one line which keys have no effect here.
func LogSetup(logger *slog.Logger, setup *config.Setup) {
	if setup.File != "" {
		logger.Info("configuration read", "file", setup.File)
	}
	if len(setup.NoEffect) > 0 {
		logger.Warn("some keys of the configuration have no effect here", "keys", strings.Join(setup.NoEffect, ","))
	}
	for _, w := range setup.Warnings {
		logger.Warn(w)
	}
}

func newRegistry(build api.BuildInfo) *prometheus.Registry {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "loki_build_info", Help: "A constant 1 with the version of the binary.",
		ConstLabels: prometheus.Labels{
			"version": build.Version, "revision": build.Revision, "branch": build.Branch, "goversion": build.GoVersion,
		},
	})
	info.Set(1)
	reg.MustRegister(info)
	return reg
}

// ingesterConfig says the block `ingester` in the ingester's words.
func ingesterConfig(cfg *config.Config) (ingester.Config, error) {
	c, in := ingester.DefaultConfig, cfg.Ingester
	var err error
	if c.Encoding, err = compress.Parse(in.ChunkEncoding); err != nil {
		return c, err
	}
	c.BlockSize, c.TargetSize = in.ChunkBlockSize, in.ChunkTargetSize
	c.MaxChunkAge, c.ChunkIdle, c.ChunkRetain = in.MaxChunkAge, in.ChunkIdlePeriod, in.ChunkRetainPeriod
	c.SyncPeriod, c.SyncMinUtilization = in.SyncPeriod, in.SyncMinUtilization
	c.FlushCheck, c.ConcurrentFlushes, c.FlushTimeout = in.FlushCheckPeriod, in.ConcurrentFlushes, in.FlushOpTimeout
	c.MinBackoff, c.MaxBackoff = in.FlushOpBackoff.MinPeriod, in.FlushOpBackoff.MaxPeriod
	c.CheckpointPeriod, c.ReplayMemory = in.WAL.CheckpointDuration, int64(in.WAL.ReplayMemoryCeiling)
	c.NamedErrors = in.MaxReturnedStreamErrors
	if c.DiskFull = in.WAL.DiskFullThreshold; in.WAL.DiskFullGiven {
		c.DiskSpare = 0
	}
	c.MemoryLimit = int64(cfg.Logstore.MemoryLimit)
	if in.WAL.Enabled {
		c.WALDir = in.WAL.Dir
	}
	return c, c.Validate()
}

// readOptions bound the bodies of pushes.
func (a *App) readOptions() wire.Options {
	return wire.Options{
		MaxBody: a.cfg.Distributor.MaxRecvMsgSize, MaxDecompressed: a.cfg.Distributor.MaxDecompressedSize,
		NumericTimes: a.cfg.Logstore.LenientPush, ZlibDeflate: a.cfg.Logstore.LenientPush,
	}
}

// parallelism bounds the goroutines of one query: what is configured, and not more than the processors can use.
func parallelism(configured int) int {
	return max(1, min(configured, 2*runtime.GOMAXPROCS(0)))
}
