package ring

import (
	"context"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"
)

// zone is what a DNS server of a test knows: addresses of hosts, and the targets of services.
type zone struct {
	hosts    map[string][]string
	services map[string][]dnsmessage.SRVResource
}

// serve starts the server and has the process ask it, and it alone, until the test ends.
func (z *zone) serve(t *testing.T) {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if answer := z.answer(buf[:n]); answer != nil {
				_, _ = conn.WriteTo(answer, from)
			}
		}
	}()
	before := net.DefaultResolver
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
	t.Cleanup(func() {
		net.DefaultResolver = before
		_ = conn.Close()
		<-done
	})
}

func (z *zone) answer(query []byte) []byte {
	var m dnsmessage.Message
	if m.Unpack(query) != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	m.Response, m.Authoritative, m.Additionals = true, true, nil
	add := func(body dnsmessage.ResourceBody) {
		m.Answers = append(m.Answers, dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 1}, Body: body})
	}
	hosts, services := z.hosts[q.Name.String()], z.services[q.Name.String()]
	switch {
	case hosts == nil && services == nil:
		m.RCode = dnsmessage.RCodeNameError
	case q.Type == dnsmessage.TypeA:
		for _, ip := range hosts {
			add(&dnsmessage.AResource{A: [4]byte(net.ParseIP(ip).To4())})
		}
	case q.Type == dnsmessage.TypeSRV:
		for i := range services {
			add(&services[i])
		}
	}
	out, err := m.Pack()
	if err != nil {
		return nil
	}
	return out
}

// TestResolve asks a DNS server for members in all the ways in which they can be named.
func TestResolve(t *testing.T) {
	srv := func(target string, port uint16) dnsmessage.SRVResource {
		return dnsmessage.SRVResource{Target: dnsmessage.MustNewName(target), Port: port, Priority: 1, Weight: 1}
	}
	z := &zone{
		hosts: map[string][]string{
			"loki.test.": {"10.0.0.1", "10.0.0.2"}, "loki-3.test.": {"10.0.0.3"}, "loki-4.test.": {"10.0.0.4"},
		},
		services: map[string][]dnsmessage.SRVResource{
			"_gossip._tcp.loki.test.": {srv("loki-3.test.", 7000), srv("loki-4.test.", 7001)},
			"_half._tcp.loki.test.":   {srv("loki-3.test.", 7000), srv("gone.test.", 7001)},
		},
	}
	z.serve(t)
	for name, want := range map[string][]string{
		"loki.test":                        {"10.0.0.1:7946", "10.0.0.2:7946"},
		"loki.test:8000":                   {"10.0.0.1:8000", "10.0.0.2:8000"},
		"dns+loki.test:8000":               {"10.0.0.1:8000", "10.0.0.2:8000"},
		"dnssrv+_gossip._tcp.loki.test":    {"10.0.0.3:7000", "10.0.0.4:7001"},
		"dnssrvnoa+_gossip._tcp.loki.test": {"10.0.0.3:7000", "10.0.0.4:7001"},
		"dnssrv+_half._tcp.loki.test":      {"10.0.0.3:7000"},
		"10.1.2.3":                         {"10.1.2.3:7946"},
		"fd00::1":                          {"[fd00::1]:7946"},
		"[fd00::1]:9":                      {"[fd00::1]:9"},
	} {
		got, err := resolve(t.Context(), name, 7946)
		require.NoError(t, err, name)
		require.ElementsMatch(t, want, got, name)
	}
	for _, name := range []string{"gone.test", "dns+gone.test", "dnssrv+_none._tcp.loki.test"} {
		_, err := resolve(t.Context(), name, 7946)
		require.ErrorContains(t, err, "cannot resolve", name)
	}
	all, failed := resolveAll(t.Context(), []string{"gone.test", "loki-3.test", "dns+loki.test:7946", "10.0.0.1"}, 7946)
	require.Len(t, failed, 1)
	require.ErrorContains(t, failed["gone.test"], "cannot resolve", "what is not there is told")
	require.Equal(t, []string{"10.0.0.1:7946", "10.0.0.2:7946", "10.0.0.3:7946"}, all, "and the others are found, each once")
}
