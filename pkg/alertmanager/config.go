package alertmanager

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	promconfig "github.com/prometheus/common/config"
	"github.com/prometheus/prometheus/model/labels"
)

// Config says where alerts go.
type Config struct {
	// URLs are the addresses of Alertmanagers, without /api/v2/alerts. One that begins with dns+ or dnssrv+ is looked up.
	URLs []string
	// Discovery looks every address up: SRV records if its host begins with an underscore, else A and AAAA records.
	Discovery bool
	// RefreshInterval is how often addresses are looked up.
	RefreshInterval time.Duration
	// QueueCapacity is the most alerts that wait for one Alertmanager.
	QueueCapacity int
	// Timeout bounds one request.
	Timeout time.Duration
	// HTTP is authentication, TLS and what else an HTTP client needs.
	HTTP promconfig.HTTPClientConfig
	// Headers are sent with each request. They may be secret.
	Headers map[string]string
	// ExternalLabels are added to alerts that do not have them.
	ExternalLabels labels.Labels
	// MinBackoff and MaxBackoff bound the pauses between tries.
	MinBackoff, MaxBackoff time.Duration
}

// DefaultConfig holds Loki's defaults, and ours where Loki has none; it has no address.
var DefaultConfig = Config{
	RefreshInterval: time.Minute, QueueCapacity: 10000, Timeout: 10 * time.Second, HTTP: promconfig.DefaultHTTPClientConfig,
	MinBackoff: time.Second, MaxBackoff: 30 * time.Second,
}

// Validate reports the first impossible setting.
func (c *Config) Validate() error {
	for _, u := range c.URLs {
		_, raw := lookupKind(u, c.Discovery)
		parsed, err := url.Parse(raw)
		if err != nil || parsed.Host == "" || parsed.Scheme != "http" && parsed.Scheme != "https" {
			return errors.New("the address of an Alertmanager must be an http or https URL")
		}
	}
	if c.QueueCapacity < 1 || c.Timeout <= 0 || c.RefreshInterval <= 0 || c.MinBackoff <= 0 {
		return errors.New("the queue, the time-out and the intervals of Alertmanagers must be above 0")
	}
	if err := c.HTTP.Validate(); err != nil {
		return fmt.Errorf("cannot use the settings of Alertmanagers: %w", err)
	}
	return nil
}

// SplitURLs cuts a list of addresses at its commas.
func SplitURLs(list string) []string {
	var out []string
	for u := range strings.SplitSeq(list, ",") {
		if u = strings.TrimSpace(u); u != "" {
			out = append(out, u)
		}
	}
	return out
}
