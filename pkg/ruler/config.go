package ruler

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/limits"
	"logstore/pkg/objstore"
	"logstore/pkg/rules"
	"logstore/pkg/trace"
)

// Config holds the ruler's settings; those of tenants are in package limits.
type Config struct {
	// EvaluationInterval is that of groups without one, PollInterval how often the store is read again.
	EvaluationInterval, PollInterval time.Duration
	// MaxJitter is the most by which an evaluation is put off at random; what it asks for stays the same.
	MaxJitter time.Duration
	// ResendDelay, ForOutageTolerance and ForGracePeriod are those of rules.Options.
	ResendDelay, ForOutageTolerance, ForGracePeriod time.Duration
	ExternalURL                                     *url.URL
	ExternalLabels                                  labels.Labels
	// EnabledTenants are the only ones whose rules are evaluated; empty: all. DisabledTenants are never.
	EnabledTenants, DisabledTenants []string
	// DisableGroupLabel leaves the label rule_group out of the metrics.
	DisableGroupLabel bool
	// Concurrency is how many groups are evaluated at a time.
	Concurrency int
	// Member names this process in the bucket of the state.
	Member string
}

// DefaultConfig holds Loki's defaults, and ours where Loki has none.
var DefaultConfig = Config{
	EvaluationInterval: time.Minute, PollInterval: time.Minute, ResendDelay: time.Minute, ForOutageTolerance: time.Hour,
	ForGracePeriod: 10 * time.Minute, ExternalURL: &url.URL{}, Concurrency: 16, Member: "logstore",
}

// Validate reports the first impossible setting.
func (c Config) Validate() error {
	switch {
	case c.EvaluationInterval <= 0 || c.PollInterval <= 0:
		return errors.New("ruler.evaluation_interval and ruler.poll_interval must be above 0")
	case c.Concurrency < 1:
		return errors.New("the ruler must evaluate at least one group at a time")
	case c.ExternalURL == nil || c.Member == "":
		return errors.New("BUG: the ruler needs an external URL and a member's name")
	}
	return nil
}

// Alert is an alert that must be sent. Link shows the query that made it.
type Alert struct {
	rules.Alert
	Link string
}

// Deps are what a Ruler works with.
type Deps struct {
	Store *Store
	// State is where the state of alerts is kept; nil keeps none.
	State objstore.Bucket
	// Query evaluates a metric query for the tenant of the context at an instant.
	Query rules.QueryFunc
	// Notify takes alerts to send and returns at once.
	Notify func(tenant string, alerts []Alert)
	// Record takes samples and returns when they are safe, or why they are not.
	Record func(ctx context.Context, tenant string, samples []rules.Sample) error
	// Link returns the address that shows a query.
	Link func(expr string) string
	// Owns tells whether this member evaluates a group. It is asked often.
	Owns func(tenant, namespace, group string) bool
	// Written is told when a group was changed here, so that other members can look as well; nil: nobody is.
	Written    func()
	Limits     *limits.Overrides
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	// Tracer begins a trace for each evaluation of a group; nil begins none.
	Tracer *trace.Tracer
}
