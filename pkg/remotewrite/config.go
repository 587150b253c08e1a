package remotewrite

import (
	"errors"
	"fmt"
	"net/url"
	"time"

	promconfig "github.com/prometheus/common/config"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
)

// Target is a receiver of the samples of a tenant.
type Target struct {
	// Name names the target in metrics and in the saved positions; it is unique among those of a tenant.
	Name string
	URL  string
	// Timeout bounds one request.
	Timeout time.Duration
	// HTTP is authentication, TLS and what else an HTTP client needs.
	HTTP promconfig.HTTPClientConfig
	// Headers are sent with each request. They may be secret.
	Headers map[string]string
	// Relabel changes or drops series before they are sent.
	Relabel []*relabel.Config
	// MaxSamples is the most samples of a request, Deadline how long samples wait for a full one.
	MaxSamples int
	Deadline   time.Duration
	// MinBackoff and MaxBackoff bound the pauses between tries.
	MinBackoff, MaxBackoff time.Duration
	// Version changes when anything of the target does.
	Version string
}

// DefaultTarget holds Prometheus' defaults.
var DefaultTarget = Target{
	Timeout: 30 * time.Second, HTTP: promconfig.DefaultHTTPClientConfig, MaxSamples: 2000, Deadline: 5 * time.Second,
	MinBackoff: 30 * time.Millisecond, MaxBackoff: 5 * time.Second,
}

// Validate reports the first impossible setting.
func (t *Target) Validate() error {
	u, err := url.Parse(t.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("remote write %s: url must be an http or https URL", t.Name)
	case t.Timeout <= 0 || t.MaxSamples < 1 || t.MinBackoff <= 0 || t.MaxBackoff < t.MinBackoff:
		return fmt.Errorf("remote write %s: time-outs, batches and pauses must be above 0", t.Name)
	}
	if err := t.HTTP.Validate(); err != nil {
		return fmt.Errorf("remote write %s: %w", t.Name, err)
	}
	return nil
}

// Config says how samples are kept.
type Config struct {
	// Dir holds a folder for each tenant.
	Dir string
	// MaxAge and MaxSize (in bytes, of a tenant) bound what is kept for targets that do not take it.
	MaxAge  time.Duration
	MaxSize int64
	// RefreshPeriod is how often Targets is asked again.
	RefreshPeriod time.Duration
	// CleanAge is how old the folder of a tenant without targets must be to be removed; 0: never.
	CleanAge time.Duration
	// Memory bounds the bytes of records of a tenant that are kept in memory as well.
	Memory int
	// ExternalLabels are added to series that do not have them.
	ExternalLabels labels.Labels
	// Targets returns the receivers of a tenant.
	Targets func(tenant string) ([]Target, error)
	// Replay tells whether what was kept before the start of the process is sent.
	Replay func(tenant string) bool
}

// DefaultConfig holds Loki's defaults, and ours where Loki has none.
var DefaultConfig = Config{
	MaxAge: 4 * time.Hour, MaxSize: 1 << 30, RefreshPeriod: 10 * time.Second, CleanAge: 12 * time.Hour, Memory: 8 << 20,
	Replay: func(string) bool { return true },
}

// Validate reports the first impossible setting.
func (c *Config) Validate() error {
	if c.Dir == "" || c.MaxAge <= 0 || c.MaxSize <= 0 || c.RefreshPeriod <= 0 || c.Targets == nil || c.Replay == nil {
		return errors.New("remote write needs a folder, bounds and a refresh period above 0")
	}
	return nil
}
