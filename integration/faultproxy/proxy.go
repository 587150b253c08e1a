package faultproxy

import (
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// Rule breaks the requests that match all of its conditions. The zero value of a condition matches every request.
type Rule struct {
	Method     string
	PathPrefix string
	// Match is any further condition.
	Match func(*http.Request) bool
	// Count is after how many broken requests the rule is used up; 0 is never.
	Count int
	// Probability is the share of the matching requests to break; 0 is all of them.
	Probability float64
	Fault       Fault
}

// Proxy is a running proxy.
type Proxy struct {
	// Address is where it listens, as host:port.
	Address string

	target    *url.URL
	transport *http.Transport
	stopped   chan struct{} // closed when the test ends, for those that hang

	mu       sync.Mutex
	dice     *rand.Rand
	rules    []*armedRule
	requests int
	broken   int
}

type armedRule struct {
	Rule
	hits int
}

// Start starts a proxy before the server at target, which is host:port. It ends with the test.
func Start(tb testing.TB, target string, seed uint64) *Proxy {
	tb.Helper()
	p := &Proxy{
		target:    &url.URL{Scheme: "http", Host: target},
		transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64},
		stopped:   make(chan struct{}),
		dice:      rand.New(rand.NewPCG(seed, 0)),
	}
	server := httptest.NewUnstartedServer(p)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	p.Address = server.Listener.Addr().String()
	tb.Cleanup(func() {
		close(p.stopped)
		server.CloseClientConnections()
		server.Close()
		p.transport.CloseIdleConnections()
	})
	return p
}

// Break adds a rule behind those there are.
func (p *Proxy) Break(r Rule) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules = append(p.rules, &armedRule{Rule: r})
}

// Heal removes all rules.
func (p *Proxy) Heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules = nil
}

// Requests returns how many requests have come in since the last call, and how many of them were broken.
func (p *Proxy) Requests() (all, broken int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	all, broken = p.requests, p.broken
	p.requests, p.broken = 0, 0
	return all, broken
}

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{w: w, r: r, p: p}
	if fault := p.fault(r); fault != nil {
		fault(x)
		return
	}
	x.pass()
}

// fault returns what is to be done to a request, or nil.
func (p *Proxy) fault(r *http.Request) Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests++
	for _, rule := range p.rules {
		if !rule.matches(r) || rule.Count > 0 && rule.hits >= rule.Count {
			continue
		}
		if rule.Probability > 0 && p.dice.Float64() >= rule.Probability {
			continue
		}
		rule.hits++
		p.broken++
		return rule.Fault
	}
	return nil
}

func (r *Rule) matches(req *http.Request) bool {
	return (r.Method == "" || r.Method == req.Method) && strings.HasPrefix(req.URL.Path, r.PathPrefix) &&
		(r.Match == nil || r.Match(req))
}

// exchange is one request and what the client gets for it.
type exchange struct {
	w http.ResponseWriter
	r *http.Request
	p *Proxy
}

// ask sends the request on to the server as it came, with the same Host, which signatures cover.
func (x *exchange) ask() (*http.Response, error) {
	out := x.r.Clone(x.r.Context())
	out.URL.Scheme, out.URL.Host = x.p.target.Scheme, x.p.target.Host
	out.RequestURI = ""
	out.Header.Del("Expect")
	out.Header.Del("Connection")
	if out.ContentLength == 0 {
		out.Body = http.NoBody
	}
	return x.p.transport.RoundTrip(out)
}

// pass does what a proxy without faults does.
func (x *exchange) pass() {
	resp, err := x.ask()
	if err != nil {
		x.reset()
		return
	}
	defer resp.Body.Close()
	x.copyHeader(resp)
	x.w.WriteHeader(resp.StatusCode)
	if _, err := io.Copy(x.w, resp.Body); err != nil {
		panic(http.ErrAbortHandler)
	}
}

// answer sends the request on and reads the whole answer, or resets the connection.
func (x *exchange) answer() (resp *http.Response, body []byte, ok bool) {
	resp, err := x.ask()
	if err == nil {
		defer resp.Body.Close()
		body, err = io.ReadAll(resp.Body)
	}
	if err != nil {
		x.reset()
		return nil, nil, false
	}
	x.copyHeader(resp)
	return resp, body, true
}

func (x *exchange) copyHeader(resp *http.Response) {
	for name, values := range resp.Header {
		if name != "Connection" && name != "Keep-Alive" && name != "Transfer-Encoding" {
			x.w.Header()[name] = values
		}
	}
}

// drain reads the request's body, so that the server notices when the client goes away.
func (x *exchange) drain() { _, _ = io.Copy(io.Discard, x.r.Body) }

// hang returns when the client has gone away or the test ends, and drops the connection.
func (x *exchange) hang() {
	select {
	case <-x.r.Context().Done():
	case <-x.p.stopped:
	}
	panic(http.ErrAbortHandler)
}

// reset ends the connection with a TCP reset.
func (x *exchange) reset() {
	conn, _, err := http.NewResponseController(x.w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
