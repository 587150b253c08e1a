package ruler

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"logstore/pkg/rules"
)

// Ruler evaluates the rule groups that this member owns. It is safe for concurrent use.
type Ruler struct {
	cfg     Config
	deps    Deps
	log     *slog.Logger
	metrics *metrics
	slots   chan struct{} // a place for each group that is evaluated
	wake    chan string   // why to look again
	dirty   atomic.Bool   // an alert changed its state since the last save

	// storeMu makes one call of the Store run at a time.
	storeMu sync.Mutex
	// syncMu makes one synchronisation run at a time; it guards said and stateThere.
	syncMu     sync.Mutex
	said       string // the files and errors that were logged last
	begun      bool
	stateThere bool

	mu      sync.Mutex
	runners map[key]*runner
	parted  map[key]rules.Snapshot // of groups that this member lost
}

// New returns a ruler that does nothing yet.
func New(cfg Config, deps Deps) (*Ruler, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Ruler{
		cfg: cfg, deps: deps, log: deps.Logger, metrics: newMetrics(deps.Registerer, !cfg.DisableGroupLabel),
		slots: make(chan struct{}, cfg.Concurrency), wake: make(chan string, 1),
		runners: map[key]*runner{}, parted: map[key]rules.Snapshot{},
	}, nil
}

// Run evaluates until ctx ends. Then the evaluations under way are interrupted and the state is saved.
func (r *Ruler) Run(ctx context.Context) error {
	r.sync(ctx, "initial")
	poll, save := time.NewTicker(r.cfg.PollInterval), time.NewTicker(dirtyPeriod)
	defer poll.Stop()
	defer save.Stop()
	saved := time.Now()
	for {
		select {
		case <-ctx.Done():
			r.stopAll()
			return nil
		case <-poll.C:
			r.sync(ctx, "periodic")
		case why := <-r.wake:
			r.sync(ctx, why)
		case now := <-save.C:
			if r.dirty.Swap(false) || now.Sub(saved) >= statePeriod {
				r.save(ctx)
				saved = now
			}
		}
	}
}

// Changed makes the ruler look soon which groups are its own: the ring changed, or another member wrote a group.
func (r *Ruler) Changed(why string) {
	select {
	case r.wake <- why:
	default: // it is about to look anyway
	}
}

func (r *Ruler) save(ctx context.Context) {
	r.syncMu.Lock()
	defer r.syncMu.Unlock()
	if err := r.saveState(ctx); err != nil && ctx.Err() == nil {
		r.log.Error("the state of alerts was not saved; should this process end, they begin anew", "err", err)
	}
}

func (r *Ruler) stopAll() {
	r.mu.Lock()
	running := slices.Collect(maps.Values(r.runners))
	r.mu.Unlock()
	for _, run := range running {
		run.cancel()
	}
	for _, run := range running {
		<-run.done
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	r.save(ctx)
}

func (r *Ruler) acquire(ctx context.Context) bool {
	select {
	case r.slots <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (r *Ruler) release() { <-r.slots }

// enabled tells whether the rules of a tenant are evaluated at all.
func (r *Ruler) enabled(id string) bool {
	if slices.Contains(r.cfg.DisabledTenants, id) {
		return false
	}
	return len(r.cfg.EnabledTenants) == 0 || slices.Contains(r.cfg.EnabledTenants, id)
}

// load reads the store.
func (r *Ruler) load(ctx context.Context, id string) loaded {
	r.storeMu.Lock()
	defer r.storeMu.Unlock()
	return r.deps.Store.load(ctx, id)
}

// sync reads the store and makes the runners what they should be.
func (r *Ruler) sync(ctx context.Context, why string) {
	r.syncMu.Lock()
	defer r.syncMu.Unlock()
	r.metrics.syncs.WithLabelValues(why).Inc()
	got := r.load(ctx, "")
	if ctx.Err() != nil {
		return
	}
	want, errs := r.wanted(&got)
	got.errs = append(got.errs, errs...)
	r.report(&got)
	r.metrics.known.Set(float64(got.count))
	r.metrics.loadFailures.Set(float64(len(got.errs)))
	r.metrics.owned.Set(float64(len(want)))
	r.stopOthers(ctx, want, &got)
	r.startMissing(ctx, want)
	r.begun = true
}

// wanted returns the groups that this member is to evaluate.
func (r *Ruler) wanted(got *loaded) (map[key]entry, []error) {
	want := map[key]entry{}
	var errs []error
	for _, id := range slices.Sorted(maps.Keys(got.groups)) {
		if !r.enabled(id) {
			continue
		}
		n := 0
		for _, namespace := range slices.Sorted(maps.Keys(got.groups[id])) {
			for _, e := range got.groups[id][namespace] {
				n++
				if err := r.checkLimits(id, n, len(e.group.Rules)); err != nil {
					errs = append(errs, errors.New("tenant "+id+", namespace "+namespace+", group "+e.group.Name+": "+err.Error()))
					continue
				}
				if r.deps.Owns(id, namespace, e.group.Name) {
					want[key{id, namespace, e.group.Name}] = e
				}
			}
		}
	}
	return want, errs
}

// stopOthers stops what is not wanted. Of groups that exist no longer the series end; the state of groups that have another
// owner is kept for it.
func (r *Ruler) stopOthers(ctx context.Context, want map[key]entry, got *loaded) {
	var stopped []*runner
	r.mu.Lock()
	for k, run := range r.runners {
		if _, ok := want[k]; !ok {
			delete(r.runners, k)
			stopped = append(stopped, run)
		}
	}
	r.mu.Unlock()
	if len(stopped) == 0 {
		return
	}
	parted := false
	for _, run := range stopped {
		run.stop()
		r.metrics.forget(run.key)
		if got.has(run.key) && r.enabled(run.key.tenant) {
			r.mu.Lock()
			r.parted[run.key] = run.eval.Snapshot()
			r.mu.Unlock()
			parted = true
			continue
		}
		run.record(ctx, run.eval.End(time.Now()))
	}
	if !parted {
		return
	}
	if err := r.saveState(ctx); err != nil {
		r.log.Error("the state of groups that have another owner now was not saved; their alerts begin anew", "err", err)
	}
}

func (l *loaded) has(k key) bool {
	return slices.ContainsFunc(l.groups[k.tenant][k.namespace], func(e entry) bool { return e.group.Name == k.group })
}

// startMissing starts what is wanted and does not run, and replaces what runs in another version.
func (r *Ruler) startMissing(ctx context.Context, want map[key]entry) {
	var state map[string]rules.Snapshot
	for k, e := range want {
		text, err := rules.Marshal(e.group)
		if err != nil {
			r.log.Error("cannot write a rule group as YAML", "group", k.group, "err", err)
			continue
		}
		r.mu.Lock()
		old := r.runners[k]
		delete(r.parted, k)
		r.mu.Unlock()
		if old != nil && old.text == string(text) {
			continue
		}
		run := &runner{r: r, key: k, eval: rules.NewEvaluator(e.group, r.options(k.tenant)), text: string(text)}
		var last time.Time
		if old != nil {
			old.stop()
			run.record(ctx, run.eval.CopyState(old.eval, time.Now()))
		} else {
			if state == nil {
				state = r.loadState(ctx)
			}
			if s, ok := state[k.String()]; ok && run.eval.Restore(s, time.Now()) {
				last = s.Last
				r.metrics.restored.Inc()
			}
		}
		run.start(context.WithoutCancel(ctx), last)
		r.mu.Lock()
		r.runners[k] = run
		r.mu.Unlock()
	}
}

// options are what the groups of a tenant have in common.
func (r *Ruler) options(id string) rules.Options {
	return rules.Options{
		ExternalURL: r.cfg.ExternalURL, ExternalLabels: r.cfg.ExternalLabels, ResendDelay: r.cfg.ResendDelay,
		DefaultInterval: r.cfg.EvaluationInterval, OutageTolerance: r.cfg.ForOutageTolerance, GracePeriod: r.cfg.ForGracePeriod,
		QueryOffset: func() time.Duration { return r.deps.Limits.For(id).RulerEvaluationDelay },
		Logger:      r.log.With("tenant", id),
	}
}

// report logs what was loaded, when it is not what it was, and what is wrong with it.
func (r *Ruler) report(got *loaded) {
	files := got.files()
	var errs []string
	for _, err := range got.errs {
		errs = append(errs, err.Error())
	}
	said := strings.Join(files, "\n") + "\n\n" + strings.Join(errs, "\n")
	if said == r.said && r.begun {
		return
	}
	r.said = said
	unread := false
	for _, err := range got.errs {
		what := "bad rules; the others are evaluated"
		if errors.As(err, &unreadError{}) {
			what, unread = "cannot read rules; those that were read before are evaluated", true
		}
		r.log.Error(what, "err", err)
	}
	where := strings.Join(r.deps.Store.where(), "; ")
	switch {
	case got.count > 0:
		r.log.Info("rules loaded", "groups", got.count, "tenants", len(got.groups), "files", strings.Join(files, ","), "looked_in", where)
	case !unread:
		r.log.Warn("no rule groups found", "looked_in", where)
	}
}
