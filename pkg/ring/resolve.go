package ring

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// resolveAll returns the addresses ip:port that names stand for, sorted and each once, and why some names stand for none.
func resolveAll(ctx context.Context, names []string, port int) (addrs []string, failed map[string]error) {
	var (
		wg sync.WaitGroup
		mu sync.Mutex
	)
	failed = map[string]error{}
	for _, name := range names {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, lookTime)
			defer cancel()
			found, err := resolve(ctx, name, port)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed[name] = err
			}
			addrs = append(addrs, found...)
		})
	}
	wg.Wait()
	slices.Sort(addrs)
	return slices.Compact(addrs), failed
}

// resolve returns the addresses of one name: host or host:port, dns+host:port (all addresses of the host), dnssrv+name (the
// targets of an SRV record, looked up) or dnssrvnoa+name (its targets, as they are).
func resolve(ctx context.Context, name string, port int) ([]string, error) {
	if srv, ok := strings.CutPrefix(name, "dnssrvnoa+"); ok {
		return resolveSRV(ctx, srv)
	}
	if srv, ok := strings.CutPrefix(name, "dnssrv+"); ok {
		return resolveSRV(ctx, srv)
	}
	name = strings.TrimPrefix(name, "dns+")
	host, p := splitPort(name, port)
	return resolveHost(ctx, host, p)
}

func resolveSRV(ctx context.Context, name string) ([]string, error) {
	_, records, err := net.DefaultResolver.LookupSRV(ctx, "", "", name)
	if err != nil {
		return nil, fmt.Errorf("cannot resolve the SRV record %s: %w", name, err)
	}
	var out []string
	var errs []error
	for _, r := range records {
		found, err := resolveHost(ctx, strings.TrimSuffix(r.Target, "."), int(r.Port))
		out, errs = append(out, found...), append(errs, err)
	}
	if len(out) == 0 {
		return nil, errors.Join(errs...)
	}
	return out, nil
}

func resolveHost(ctx context.Context, host string, port int) ([]string, error) {
	if ip := net.ParseIP(host); ip != nil {
		return []string{net.JoinHostPort(ip.String(), strconv.Itoa(port))}, nil
	}
	ips, err := net.DefaultResolver.LookupIPAddr(ctx, host)
	if err != nil {
		return nil, fmt.Errorf("cannot resolve %s: %w", host, err)
	}
	out := make([]string, len(ips))
	for i, ip := range ips {
		out[i] = net.JoinHostPort(ip.String(), strconv.Itoa(port))
	}
	return out, nil
}

// splitPort parts host:port; without a port the given one counts. An IPv6 address may stand without brackets.
func splitPort(name string, port int) (string, int) {
	if net.ParseIP(name) != nil {
		return name, port
	}
	host, text, err := net.SplitHostPort(name)
	if err != nil {
		return strings.Trim(name, "[]"), port
	}
	if p, err := strconv.Atoi(text); err == nil {
		port = p
	}
	return host, port
}

// errOnlyLoopback is a machine that others cannot reach.
var errOnlyLoopback = errors.New("the member has only a loopback address, which no other machine can reach: " +
	"set memberlist.advertise_addr")

// advertised returns the address under which others find this member: the one that is configured, the one that it listens on,
// or the one from which the first member to join is reached. It is the loopback address only if the others have one, too, or
// if there are none.
func (g *gossip) advertised(ctx context.Context) (net.IP, error) {
	if addr := g.cfg.AdvertiseAddr; addr != "" {
		found, err := resolveAll(ctx, []string{addr}, 0)
		if len(found) == 0 {
			return nil, fmt.Errorf("cannot use memberlist.advertise_addr %q: %w", addr, err[addr])
		}
		host, _, _ := net.SplitHostPort(found[0])
		return net.ParseIP(host), nil
	}
	for _, bind := range g.cfg.BindAddrs {
		if ip := net.ParseIP(bind); ip != nil && !ip.IsUnspecified() {
			return ip, nil
		}
	}
	if ip := g.interfaceIP(); ip != nil {
		return ip, nil
	}
	addrs, _ := resolveAll(ctx, g.cfg.Join, g.cfg.BindPort)
	slices.SortStableFunc(addrs, loopbackLast)
	for _, addr := range addrs {
		if ip := sourceTo(addr); ip != nil {
			return ip, nil
		}
	}
	if ip := anyAddress(g.cfg.IPv6); ip != nil {
		return ip, nil
	}
	if len(addrs) > 0 && !isLoopback(addrs[0]) {
		return nil, errOnlyLoopback
	}
	return net.IPv4(127, 0, 0, 1), nil
}

func isLoopback(addr string) bool {
	host, _, _ := net.SplitHostPort(addr)
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

func loopbackLast(a, b string) int {
	if la, lb := isLoopback(a), isLoopback(b); la != lb {
		if la {
			return 1
		}
		return -1
	}
	return 0
}

// sourceTo returns the address from which this machine would talk to another; nothing is sent. If the other is this machine
// itself, by an outer address, that is the one.
func sourceTo(addr string) net.IP {
	conn, err := net.Dial("udp", addr)
	if err != nil {
		return nil
	}
	defer func() { _ = conn.Close() }() // nothing was sent
	local, ok := conn.LocalAddr().(*net.UDPAddr)
	if !ok || local.IP.IsUnspecified() {
		return nil
	}
	return local.IP
}

// interfaceIP returns the address of the first of the configured interfaces that has one.
func (g *gossip) interfaceIP() net.IP {
	for _, name := range g.cfg.Interfaces {
		i, err := net.InterfaceByName(name)
		if err != nil {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			continue
		}
		if ip := best(addrs, g.cfg.IPv6, true); ip != nil {
			return ip
		}
	}
	return nil
}

// anyAddress returns an address of this machine that is not loopback.
func anyAddress(ipv6 bool) net.IP {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	return best(addrs, ipv6, false)
}

// best returns the first address that others may reach, of the wished family if there is one of it.
func best(addrs []net.Addr, ipv6, loopback bool) net.IP {
	var second net.IP
	for _, a := range addrs {
		n, ok := a.(*net.IPNet)
		if !ok || !n.IP.IsGlobalUnicast() && (!loopback || !n.IP.IsLoopback()) {
			continue
		}
		if (n.IP.To4() == nil) == ipv6 {
			return n.IP
		}
		if second == nil {
			second = n.IP
		}
	}
	return second
}
