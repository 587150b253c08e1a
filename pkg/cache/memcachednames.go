package cache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

const defaultMemcachedPort = 11211

// lookupTime bounds one look at the names of servers.
const lookupTime = 5 * time.Second

// Validate reports the first impossible setting.
func (c MemcachedConfig) Validate() error {
	if c.Addresses != "" && c.Host != "" {
		return errors.New("memcached: both addresses and host are set, one of them is to name the servers")
	}
	if c.enabled() && len(c.names()) == 0 {
		return errors.New("memcached: no address in addresses")
	}
	return nil
}

// names are what the servers are called in the configuration.
func (c MemcachedConfig) names() []string {
	if c.Host != "" {
		return []string{c.Host}
	}
	var out []string
	for name := range strings.SplitSeq(c.Addresses, ",") {
		if name = strings.TrimSpace(name); name != "" {
			out = append(out, name)
		}
	}
	return out
}

// lookUp returns the addresses that the names stand for, sorted and each once. Names that stand for none are no error while others do.
func (c MemcachedConfig) lookUp(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	var out []string
	var errs []error
	for _, name := range c.names() {
		found, err := c.lookUpName(ctx, name)
		out, errs = append(out, found...), append(errs, err)
	}
	slices.Sort(out)
	return slices.Compact(out), errors.Join(errs...)
}

func (c MemcachedConfig) lookUpName(ctx context.Context, name string) ([]string, error) {
	if c.Host != "" {
		if found, err := lookUpSRV(ctx, c.Service, "tcp", name); err == nil && len(found) > 0 {
			return found, nil
		}
	}
	for _, prefix := range []string{"dnssrvnoa+", "dnssrv+"} {
		if srv, ok := strings.CutPrefix(name, prefix); ok {
			return lookUpSRV(ctx, "", "", srv)
		}
	}
	host, port := strings.TrimPrefix(name, "dns+"), strconv.Itoa(defaultMemcachedPort)
	if h, p, err := net.SplitHostPort(host); err == nil {
		host, port = h, p
	}
	return lookUpHost(ctx, host, port)
}

func lookUpSRV(ctx context.Context, service, proto, name string) ([]string, error) {
	_, records, err := net.DefaultResolver.LookupSRV(ctx, service, proto, name)
	if err != nil {
		return nil, fmt.Errorf("cannot look up the SRV record %s: %w", name, err)
	}
	var out []string
	for _, r := range records {
		found, err := lookUpHost(ctx, strings.TrimSuffix(r.Target, "."), strconv.Itoa(int(r.Port)))
		if err != nil {
			return out, err
		}
		out = append(out, found...)
	}
	return out, nil
}

func lookUpHost(ctx context.Context, host, port string) ([]string, error) {
	ips, err := net.DefaultResolver.LookupHost(ctx, strings.Trim(host, "[]"))
	if err != nil {
		return nil, fmt.Errorf("cannot look up %s: %w", host, err)
	}
	out := make([]string, len(ips))
	for i, ip := range ips {
		out[i] = net.JoinHostPort(ip, port)
	}
	return out, nil
}

// update looks the names up, and connects to what is new and leaves what has gone. Servers stay while no name can be looked up.
func (m *Memcached) update(ctx context.Context, g *errgroup.Group) {
	addrs, err := m.cfg.lookUp(ctx)
	if err != nil && ctx.Err() == nil && err.Error() != m.wrong {
		m.wrong = err.Error()
		m.logger.Warn("cannot find all servers of a cache", "cache", m.name, slog.Any("err", err))
	}
	if err == nil {
		m.wrong = ""
	}
	if len(addrs) == 0 {
		return
	}
	m.mu.Lock()
	old := m.nodes
	m.mu.Unlock()
	var nodes []*node
	for _, addr := range addrs {
		if i := slices.IndexFunc(old, func(n *node) bool { return n.addr == addr }); i >= 0 {
			nodes = append(nodes, old[i])
			continue
		}
		n := m.connect(addr)
		running, stop := context.WithCancel(ctx)
		n.stop = stop
		g.Go(func() error {
			if err := n.breaker.probe(running); err != nil && running.Err() == nil {
				n.breaker.failed(err)
			}
			n.breaker.run(running)
			return nil
		})
		nodes = append(nodes, n)
	}
	m.mu.Lock()
	m.nodes = nodes
	m.mu.Unlock()
	for _, n := range old {
		if !slices.Contains(nodes, n) {
			n.stop()
			_ = n.client.Close() // its idle connections; calls under way end by themselves
		}
	}
}
