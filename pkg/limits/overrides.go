package limits

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
)

// Overrides answers with the limits of each tenant. It is safe for concurrent use; reads take no lock and allocate nothing.
type Overrides struct {
	current atomic.Pointer[table]
}

type table struct {
	defaults *Limits
	tenants  map[string]*Limits
}

// New returns overrides in which every tenant has the defaults. The defaults must be valid.
func New(defaults Limits) (*Overrides, error) {
	o := &Overrides{}
	if err := o.Replace(defaults, nil); err != nil {
		return nil, err
	}
	return o, nil
}

// For returns the limits of a tenant. They must not be changed.
func (o *Overrides) For(tenant string) *Limits {
	t := o.current.Load()
	if l, ok := t.tenants[tenant]; ok {
		return l
	}
	return t.defaults
}

// Defaults returns the limits of a tenant without overrides.
func (o *Overrides) Defaults() *Limits { return o.current.Load().defaults }

// Tenants returns the tenants that have limits of their own, in ascending order.
func (o *Overrides) Tenants() []string {
	return slices.Sorted(maps.Keys(o.current.Load().tenants))
}

// Reload replaces the limits of all tenants: a tenant that is not in the map has the defaults afterwards. Each Limits must
// be complete (the defaults with the tenant's changes). If one is invalid nothing changes.
func (o *Overrides) Reload(tenants map[string]Limits) error {
	return o.Replace(*o.Defaults(), tenants)
}

// Replace replaces the defaults and the limits of all tenants. If one is invalid nothing changes.
func (o *Overrides) Replace(defaults Limits, tenants map[string]Limits) error {
	t := &table{tenants: make(map[string]*Limits, len(tenants))}
	var errs []error
	var err error
	if t.defaults, err = prepare(defaults); err != nil {
		errs = append(errs, err)
	}
	for _, tenant := range slices.Sorted(maps.Keys(tenants)) {
		if t.tenants[tenant], err = prepare(tenants[tenant]); err != nil {
			errs = append(errs, fmt.Errorf("tenant %s: %w", tenant, err))
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	o.current.Store(t)
	return nil
}

// Set gives one tenant limits of its own until the next Reload. It is meant for tests: it races with Reload, the later wins.
func (o *Overrides) Set(tenant string, l Limits) error {
	ready, err := prepare(l)
	if err != nil {
		return fmt.Errorf("tenant %s: %w", tenant, err)
	}
	for {
		old := o.current.Load()
		next := &table{defaults: old.defaults, tenants: maps.Clone(old.tenants)}
		next.tenants[tenant] = ready
		if o.current.CompareAndSwap(old, next) {
			return nil
		}
	}
}

func prepare(l Limits) (*Limits, error) {
	if err := l.Validate(); err != nil {
		return nil, err
	}
	rules, err := l.OTLPConfig.Compile()
	if err != nil {
		return nil, fmt.Errorf("otlp_config.%w", err)
	}
	l.otlp = rules
	return &l, nil
}

// OTLP returns the compiled rules of OTLPConfig. Limits that For returned have them ready; for others they are compiled
// anew, and rules with a mistake count as none.
func (l *Limits) OTLP() *OTLPRules {
	if l.otlp != nil {
		return l.otlp
	}
	rules, err := l.OTLPConfig.Compile()
	if err != nil {
		return &OTLPRules{}
	}
	return rules
}
