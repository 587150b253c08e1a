package remotewrite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
)

// Writers keeps and sends the samples of all tenants. It is safe for concurrent use.
type Writers struct {
	cfg Config
	m   *metrics
	log *slog.Logger

	mu      sync.Mutex
	writers map[string]*writer
	ctx     context.Context // of the targets; nil before Run and after it
}

// ErrStopped is returned by Append when nothing runs.
var ErrStopped = errors.New("remote write does not run")

// New returns writers that send once they run.
func New(cfg Config, reg prometheus.Registerer, log *slog.Logger) (*Writers, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Writers{cfg: cfg, m: newMetrics(reg), log: log, writers: map[string]*writer{}}, nil
}

// Append keeps the samples of a tenant until its targets have taken them. Without a target they are dropped.
func (ws *Writers) Append(tenant string, samples []Sample) error {
	w, err := ws.writer(tenant)
	if err != nil || w == nil {
		return err
	}
	if !ws.cfg.ExternalLabels.IsEmpty() {
		for i := range samples {
			samples[i].Labels = ws.withExternal(samples[i].Labels)
		}
	}
	return w.append(samples)
}

func (ws *Writers) withExternal(set labels.Labels) labels.Labels {
	b := labels.NewBuilder(set)
	ws.cfg.ExternalLabels.Range(func(l labels.Label) {
		if set.Get(l.Name) == "" {
			b.Set(l.Name, l.Value)
		}
	})
	return b.Labels()
}

// writer returns the writer of a tenant, which is opened if need be; nil if the tenant has no target.
func (ws *Writers) writer(tenant string) (*writer, error) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.ctx == nil {
		return nil, ErrStopped
	}
	if w := ws.writers[tenant]; w != nil {
		if len(w.targets) == 0 {
			return nil, nil
		}
		return w, nil
	}
	targets, err := ws.cfg.Targets(tenant)
	if err != nil || len(targets) == 0 {
		return nil, err
	}
	return ws.openLocked(tenant, targets)
}

func (ws *Writers) openLocked(tenant string, targets []Target) (*writer, error) {
	w, err := openWriter(&ws.cfg, tenant, ws.m, ws.log.With("tenant", tenant))
	if err != nil {
		return nil, err
	}
	ws.writers[tenant] = w
	return w, ws.applyLocked(w, targets)
}

// applyLocked makes the targets of a writer what they should be.
func (ws *Writers) applyLocked(w *writer, want []Target) error {
	var errs []error
	for name, t := range w.targets {
		i := slices.IndexFunc(want, func(c Target) bool { return c.Name == name })
		if i >= 0 && want[i].Version == t.Version {
			continue
		}
		t.stop()
		w.mu.Lock()
		delete(w.targets, name)
		w.mu.Unlock()
		if i < 0 {
			ws.m.forget(w.tenant, name)
			w.forget(name)
		}
	}
	for _, c := range want {
		if w.targets[c.Name] != nil {
			continue
		}
		t, err := newTarget(w, c)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		w.mu.Lock()
		begin, known := w.acked[c.Name]
		if !known {
			begin = w.next - 1
			w.acked[c.Name], w.unsaved = begin, true
		}
		w.targets[c.Name] = t
		w.mu.Unlock()
		t.start(ws.ctx, begin)
	}
	return errors.Join(errs...)
}

// Run sends until ctx ends. What was not taken then stays in the logs.
func (ws *Writers) Run(ctx context.Context) error {
	sending, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	ws.mu.Lock()
	ws.ctx = sending
	ws.mu.Unlock()
	ws.refresh()
	refresh, save, cut := time.NewTicker(ws.cfg.RefreshPeriod), time.NewTicker(time.Second), time.NewTicker(time.Minute)
	defer refresh.Stop()
	defer save.Stop()
	defer cut.Stop()
	for {
		select {
		case <-ctx.Done():
			return ws.stop()
		case <-refresh.C:
			ws.refresh()
		case <-save.C:
			ws.each("positions", (*writer).save)
		case <-cut.C:
			ws.each("log", func(w *writer) error { return w.truncate(time.Now()) })
		}
	}
}

// Drain waits until all targets have taken everything, or for the time d.
func (ws *Writers) Drain(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		left := false
		ws.each("", func(w *writer) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			for name := range w.targets {
				left = left || w.acked[name]+1 < w.next
			}
			return nil
		})
		if !left {
			return
		}
	}
}

func (ws *Writers) each(what string, fn func(*writer) error) {
	ws.mu.Lock()
	writers := slices.Collect(maps.Values(ws.writers))
	ws.mu.Unlock()
	for _, w := range writers {
		if err := fn(w); err != nil {
			w.log.Error("cannot keep the "+what+" of recorded samples in order", "err", err)
		}
	}
}

// refresh opens the logs that are there and asks for the targets of all tenants.
func (ws *Writers) refresh() {
	tenants := map[string]bool{}
	dirs, err := os.ReadDir(ws.cfg.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		ws.log.Error("cannot list the logs of recorded samples", "err", err)
	}
	for _, d := range dirs {
		if d.IsDir() {
			tenants[d.Name()] = true
		}
	}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for id := range ws.writers {
		tenants[id] = true
	}
	for _, id := range slices.Sorted(maps.Keys(tenants)) {
		targets, err := ws.cfg.Targets(id)
		if err != nil {
			ws.log.Error("cannot use the remote write settings of a tenant; those before are kept", "tenant", id, "err", err)
			continue
		}
		w := ws.writers[id]
		switch {
		case w != nil:
			err = ws.applyLocked(w, targets)
		case len(targets) > 0:
			_, err = ws.openLocked(id, targets)
		default:
			err = ws.cleanLocked(id)
		}
		if err != nil {
			ws.log.Error("cannot send recorded samples of a tenant", "tenant", id, "err", err)
		}
	}
}

// cleanLocked removes the folder of a tenant that has no targets, once it is old.
func (ws *Writers) cleanLocked(tenant string) error {
	dir := filepath.Join(ws.cfg.Dir, tenant)
	info, err := os.Stat(filepath.Join(dir, positionsFile))
	if err != nil || ws.cfg.CleanAge <= 0 || time.Since(info.ModTime()) < ws.cfg.CleanAge {
		return nil // it is not ours, or it may be wanted yet
	}
	ws.log.Info("removing recorded samples of a tenant without receivers", "tenant", tenant)
	return os.RemoveAll(dir)
}

func (ws *Writers) stop() error {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.ctx = nil
	var errs []error
	for _, w := range ws.writers {
		for _, t := range w.targets {
			t.stop()
		}
		if err := errors.Join(w.save(), w.wal.Close()); err != nil {
			errs = append(errs, fmt.Errorf("tenant %s: %w", w.tenant, err))
		}
	}
	ws.writers = map[string]*writer{}
	return errors.Join(errs...)
}
