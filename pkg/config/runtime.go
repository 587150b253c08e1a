package config

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"logstore/pkg/limits"
)

// Runtime reads the runtime file again and again while the store runs, and hands the limits of single tenants to the
// overrides. A file that is bad, or gone, changes nothing: the last good one holds.
type Runtime struct {
	cfg       RuntimeFile
	defaults  limits.Limits
	overrides *limits.Overrides
	log       *slog.Logger
	metrics   *runtimeMetrics

	// last is what was read before; only Load and Run touch it, and Run begins after Load.
	last [][]byte
}

// NewRuntime returns a Runtime. Call Load once before the store starts, and then Run.
func NewRuntime(c *Config, overrides *limits.Overrides, log *slog.Logger, reg prometheus.Registerer) *Runtime {
	return &Runtime{
		cfg: c.RuntimeConfig, defaults: c.Limits.Limits, overrides: overrides, log: log, metrics: newRuntimeMetrics(reg),
	}
}

// Load reads the file and gives the overrides what it says. Without a file it does nothing.
func (r *Runtime) Load() error {
	if r.cfg.File == "" {
		return nil
	}
	err := r.load()
	if err != nil {
		r.metrics.successful.Set(0)
		return fmt.Errorf("cannot load runtime configuration: %w", err)
	}
	r.metrics.successful.Set(1)
	return nil
}

// Run loads the file each period until the context ends.
func (r *Runtime) Run(ctx context.Context) error {
	if r.cfg.File == "" {
		<-ctx.Done()
		return nil
	}
	ticker := time.NewTicker(r.cfg.Period)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			if err := r.Load(); err != nil {
				r.log.Error("runtime configuration is not reloaded, the last good one holds", "err", err)
			}
		}
	}
}

func (r *Runtime) load() error {
	files := parseList(r.cfg.File)
	texts := make([][]byte, len(files))
	for i, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		texts[i] = text
	}
	if r.last != nil && slices.EqualFunc(texts, r.last, bytes.Equal) {
		return nil
	}
	tenants := map[string]limits.Limits{}
	var noEffect []string
	for i, file := range files {
		ignored, err := readOverrides(file, texts[i], r.defaults, tenants)
		if err != nil {
			return err
		}
		noEffect = append(noEffect, ignored...)
	}
	if err := r.overrides.Reload(tenants); err != nil {
		return err
	}
	r.last = texts
	r.log.Info("runtime configuration loaded", "files", r.cfg.File, "tenants", len(tenants))
	if len(noEffect) > 0 {
		r.log.Warn("keys of the runtime configuration without effect", "keys", strings.Join(noEffect, ", "))
	}
	return nil
}

// overridesFile is the runtime file. Each tenant's limits begin as the defaults.
type overridesFile struct {
	Overrides map[string]tenantLimits `loki:"overrides"`
}

// tenantLimits are the limits of a tenant as they are read; the decoder starts from defaults.
type tenantLimits struct {
	limits.Limits
}

// runtimeKeys are the keys of a runtime file that have no effect.
var runtimeKeys = &key{children: map[string]*key{"configs": {}, "multi_kv_config": {}}}

// readOverrides adds the overrides of one file to those of the files before it and returns the keys without effect.
func readOverrides(file string, text []byte, defaults limits.Limits, tenants map[string]limits.Limits) ([]string, error) {
	d := newDecoder(file)
	d.start = func(path string, element reflect.Value) {
		l, ok := element.Interface().(*tenantLimits)
		if !ok {
			return
		}
		l.Limits = defaults
		if before, ok := tenants[strings.TrimPrefix(path, "overrides.")]; ok {
			l.Limits = before
		}
	}
	var out overridesFile
	d.document(text, reflect.ValueOf(&out).Elem(), runtimeKeys)
	add := collect(&d.errs, d.set, file)
	for tenant, l := range out.Overrides {
		tenants[tenant] = l.Limits
		if len(d.errs) > 0 {
			continue
		}
		for _, err := range flatten(l.Validate()) {
			k, message, _ := strings.Cut(err.Error(), ": ")
			add("overrides."+tenant+"."+k, "%s", message)
		}
	}
	if len(d.errs) > 0 {
		return nil, d.errs.sorted()
	}
	slices.Sort(d.noEffect)
	return d.noEffect, nil
}
