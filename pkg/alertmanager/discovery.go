package alertmanager

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Resolver looks names up; *net.Resolver is one.
type Resolver interface {
	LookupSRV(ctx context.Context, service, proto, name string) (string, []*net.SRV, error)
	LookupHost(ctx context.Context, host string) ([]string, error)
}

type kind uint8

const (
	asItIs    kind = iota
	byHost         // A and AAAA records
	byService      // SRV records
)

// lookupKind tells how an address is looked up, and returns it without what says so.
func lookupKind(u string, discovery bool) (kind, string) {
	if rest, ok := strings.CutPrefix(u, "dnssrv+"); ok {
		return byService, rest
	}
	if rest, ok := strings.CutPrefix(u, "dns+"); ok {
		return byHost, rest
	}
	if !discovery {
		return asItIs, u
	}
	if _, host, ok := strings.Cut(u, "://"); ok && strings.HasPrefix(host[strings.LastIndexByte(host, '@')+1:], "_") {
		return byService, u
	}
	return byHost, u
}

const alertsPath = "/api/v2/alerts"

// discover returns the end points of the Alertmanagers under the configured addresses, ascending. Where a look-up fails the
// end points that it gave before stay; the errors are returned besides.
func discover(ctx context.Context, r Resolver, cfg *Config, before map[string][]string) (endpoints []string, errs []error) {
	for _, raw := range cfg.URLs {
		found, err := lookup(ctx, r, raw, cfg.Discovery)
		if err != nil {
			errs = append(errs, err)
			found = before[raw]
		}
		before[raw] = found
		endpoints = append(endpoints, found...)
	}
	slices.Sort(endpoints)
	return slices.Compact(endpoints), errs
}

func lookup(ctx context.Context, r Resolver, raw string, discovery bool) ([]string, error) {
	kind, raw := lookupKind(raw, discovery)
	u, err := url.Parse(raw)
	if err != nil {
		return nil, err
	}
	var hosts []string
	switch kind {
	case asItIs:
		hosts = []string{u.Host}
	case byService:
		_, records, err := r.LookupSRV(ctx, "", "", u.Hostname())
		if err != nil {
			return nil, fmt.Errorf("cannot look up Alertmanagers: %w", err)
		}
		for _, rec := range records {
			hosts = append(hosts, net.JoinHostPort(strings.TrimSuffix(rec.Target, "."), strconv.Itoa(int(rec.Port))))
		}
	case byHost:
		addrs, err := r.LookupHost(ctx, u.Hostname())
		if err != nil {
			return nil, fmt.Errorf("cannot look up Alertmanagers: %w", err)
		}
		port := u.Port()
		if port == "" {
			port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
		}
		for _, addr := range addrs {
			hosts = append(hosts, net.JoinHostPort(addr, port))
		}
	}
	var out []string
	for _, h := range hosts {
		one := *u
		one.Host = h
		one.Path = strings.TrimSuffix(one.Path, "/") + alertsPath
		out = append(out, one.String())
	}
	return out, nil
}
