package alertmanager

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	promconfig "github.com/prometheus/common/config"
)

// Status is what an Alertmanager says of itself.
type Status struct {
	// Address is without user and password.
	Address string
	Version string
	Took    time.Duration
	Err     error
}

// Probe asks each Alertmanager for its status; an address that must be looked up and is not found is one of the failures.
func Probe(ctx context.Context, cfg Config) ([]Status, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	client, err := promconfig.NewClientFromConfig(cfg.HTTP, "check")
	if err != nil {
		return nil, err
	}
	defer client.CloseIdleConnections()
	var out []Status
	for _, raw := range cfg.URLs {
		addresses, err := lookup(ctx, net.DefaultResolver, raw, cfg.Discovery)
		if err != nil {
			out = append(out, Status{Address: redacted(raw), Err: err})
		}
		for _, address := range addresses {
			out = append(out, probe(ctx, client, cfg, address))
		}
	}
	return out, nil
}

func redacted(address string) string {
	if u, err := url.Parse(address); err == nil {
		return u.Redacted()
	}
	return "the address"
}

func probe(ctx context.Context, client *http.Client, cfg Config, address string) Status {
	s := Status{Address: redacted(strings.TrimSuffix(address, alertsPath))}
	ctx, cancel := context.WithTimeout(ctx, cfg.Timeout)
	defer cancel()
	start := time.Now()
	s.Version, s.Err = askStatus(ctx, client, cfg, strings.TrimSuffix(address, alertsPath))
	s.Took = time.Since(start)
	return s
}

func askStatus(ctx context.Context, client *http.Client, cfg Config, address string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address+"/api/v2/status", nil)
	if err != nil {
		return "", err
	}
	for name, value := range cfg.Headers {
		req.Header.Set(name, value)
	}
	resp, err := client.Do(req)
	if err != nil {
		if u, ok := err.(*url.Error); ok { //nolint:errorlint // the client wraps in this and nothing else
			err = u.Err // without the address, which may hold a password
		}
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("it answers %s", resp.Status)
	}
	var answer struct {
		VersionInfo struct{ Version string }
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&answer); err != nil {
		return "", fmt.Errorf("it is no Alertmanager: %w", err)
	}
	return answer.VersionInfo.Version, nil
}
