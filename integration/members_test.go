package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"logstore/integration/faultproxy"
	"logstore/integration/testservers"
)

// Cluster is members that run on the operator's file of a cluster, each at an address of its own of the loopback network.
type Cluster struct {
	Members []*Process
	S3      *testservers.VersityGW
	// Way is the proxy through which members reach the S3 server.
	Way   *faultproxy.Proxy
	Redis *testservers.Redis

	t testing.TB
	// net begins the members' addresses. The ports are the same on all.
	net                string
	http, grpc, gossip int
	size               int
	args               []string
	env                []string
	// cables are what the members hang on, each as a machine of its own; nil: all are on the loopback network.
	cables *cables
}

// NewCluster starts an S3 server, Redis, and size members, and waits until all are in the ring. The arguments come behind
// those that make members find each other.
func NewCluster(t testing.TB, size int, args ...string) *Cluster {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("needs the whole loopback network 127.0.0.0/8")
	}
	c := &Cluster{t: t, size: size, args: args, net: fmt.Sprintf("127.%d.%d.", 1+rand.IntN(250), 1+rand.IntN(250))}
	c.start()
	return c
}

// NewCabledCluster is NewCluster in the test's own network, with cables that can be cut.
func NewCabledCluster(t testing.TB, size int, args ...string) *Cluster {
	t.Helper()
	c := &Cluster{t: t, size: size, args: args, net: strings.TrimSuffix(machineIP(0), "0"), cables: newCables(t)}
	c.start()
	return c
}

func (c *Cluster) start() {
	c.t.Helper()
	c.S3, c.Redis = testservers.StartVersityGW(c.t, "loki-chunks", "loki-rules"), testservers.StartRedis(c.t)
	c.Way = faultproxy.Start(c.t, c.S3.Address, 1)
	s3, redis := c.Way.Address, c.Redis.Address
	if c.cables != nil {
		s3, redis = c.cables.serve(s3), c.cables.serve(redis)
	}
	c.http, c.grpc, c.gossip = FreePort(c.t), FreePort(c.t), FreePort(c.t)
	c.env = []string{
		"S3_ACCESS_KEY=" + c.S3.AccessKeyID, "S3_SECRET_KEY=" + c.S3.SecretAccessKey, "S3_URL=" + s3,
		"S3_BUCKET=loki-chunks", "S3_RULES_BUCKET=loki-rules", "ALERTMANAGER_URL=http://127.0.0.1:9/", "REDIS=" + redis,
	}
	for range c.size {
		c.Add().Launch()
	}
	c.WaitRing(c.size)
}

// metric is the sum of a metric of all members.
func (c *Cluster) metric(name string) (sum float64) {
	c.t.Helper()
	for _, p := range c.Members {
		sum += p.Metric(name)
	}
	return sum
}

// Add prepares another member.
func (c *Cluster) Add() *Process {
	c.t.Helper()
	n := len(c.Members)
	ip := fmt.Sprint(c.net, n+1)
	file, err := filepath.Abs(clusterFile)
	require.NoError(c.t, err)
	dir := c.t.TempDir()
	args := []string{
		"-config.file=" + file, "-config.expand-env=true", fmt.Sprintf("-ingester.lifecycler.ID=loki-%d", n+1),
		"-server.http-listen-address=" + ip, fmt.Sprint("-server.http-listen-port=", c.http),
		"-server.grpc-listen-address=" + ip, fmt.Sprint("-server.grpc-listen-port=", c.grpc), fmt.Sprint("-memberlist.bind-port=", c.gossip),
		"-ingester.lifecycler.addr=" + ip, "-memberlist.bind-addr=" + ip, "-memberlist.advertise-addr=" + ip,
		"-ingester.min-ready-duration=0s", "-ingester.join-after=2s", "-ingester.observe-period=500ms", "-memberlist.min-join-backoff=200ms", "-memberlist.rejoin-interval=2s",
		"-boltdb.shipper.active-index-directory=" + dir + "/index", "-boltdb.shipper.cache-location=" + dir + "/boltdb-cache",
		"-log.level=info",
	}
	for k := range max(c.size, n) {
		args = append(args, fmt.Sprintf("-memberlist.join=%s%d:%d", c.net, k+1, c.gossip))
	}
	p := &Process{URL: "http://" + net.JoinHostPort(ip, strconv.Itoa(c.http)), Dir: dir, Env: c.env, t: c.t, args: append(args, c.args...)}
	if c.cables != nil {
		p.through = c.cables.plug(n + 1)
	}
	c.t.Cleanup(p.Kill)
	c.Members = append(c.Members, p)
	return p
}

// WaitRing waits until every running member is ready and knows of so many that take pushes.
func (c *Cluster) WaitRing(active int) {
	c.t.Helper()
	for _, p := range c.Members {
		if p.Running() {
			p.WaitReady(time.Minute)
		}
	}
	c.WaitView(active, c.Members...)
}

// WaitView waits until the given members, as far as they run, know of so many that take pushes.
func (c *Cluster) WaitView(active int, members ...*Process) {
	c.t.Helper()
	require.Eventually(c.t, func() bool {
		for _, p := range members {
			if p.Running() && c.active(p) != active {
				return false
			}
		}
		return true
	}, time.Minute, 50*time.Millisecond, "the ring of %d", active)
}

// active returns how many members a member believes to take pushes.
func (c *Cluster) active(p *Process) int {
	req, err := http.NewRequest(http.MethodGet, p.URL+"/ring", nil)
	require.NoError(c.t, err)
	req.Header.Set("Accept", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return -1
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return -1
	}
	return strings.Count(string(body), `"ACTIVE"`)
}

// URLs returns where the running members serve.
func (c *Cluster) URLs() []string {
	var out []string
	for _, p := range c.Members {
		if p.Running() {
			out = append(out, p.URL)
		}
	}
	return out
}

// Pause stops a process as if its machine hung; Resume lets it go on.
func (p *Process) Pause() {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(syscall.SIGSTOP))
}

// Resume lets a paused process go on.
func (p *Process) Resume() {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(syscall.SIGCONT))
}

// CPU returns the processor time that a process has used.
func (p *Process) CPU() time.Duration {
	p.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID()))
	require.NoError(p.t, err)
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	var user, system int64
	_, err = fmt.Sscan(fields[11]+" "+fields[12], &user, &system)
	require.NoError(p.t, err)
	return time.Duration(user+system) * 10 * time.Millisecond
}

// load is clients that push to members in turn, as agents behind a load balancer do, and a reader that queries meanwhile.
type load struct {
	w *workload
	// targets are where clients push to and query; it may change while they do.
	targets atomic.Pointer[[]string]
	// partial allows queries to find less than what was acknowledged.
	partial atomic.Bool
	// Counters: pushes answered 2xx at the first try, at a later one, never; answers that were not 2xx, by text.
	first, retried, lost atomic.Int64
	queries, failed      atomic.Int64
	slowest              atomic.Int64

	mu      sync.Mutex
	answers map[string]int
	stop    context.CancelFunc
	done    sync.WaitGroup
}

// startLoad begins with so many clients, whose lines bear a name.
func startLoad(app string, clients int, urls []string) *load {
	l := &load{w: newWorkload(clients), answers: map[string]int{}}
	l.w.app = app
	l.w.pause = pick(25*time.Millisecond, 200*time.Millisecond)
	l.targets.Store(&urls)
	ctx, cancel := context.WithCancel(context.Background())
	l.stop = cancel
	for n := range clients {
		l.done.Go(func() { l.client(ctx, n) })
	}
	l.done.Go(func() { l.reader(ctx) })
	return l
}

// client pushes; a push that fails is tried again for a while, as agents do.
func (l *load) client(ctx context.Context, n int) {
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 4}}
	defer client.CloseIdleConnections()
	for turn := n; ctx.Err() == nil; turn++ {
		streams, lines := l.w.next(n)
		for try := 0; ; try++ {
			targets := *l.targets.Load()
			begin := time.Now()
			err := pushProto(context.Background(), client, targets[(turn+try)%len(targets)], streams)
			l.slow(time.Since(begin))
			if err == nil {
				l.w.ack(lines)
				if try == 0 {
					l.first.Add(1)
				} else {
					l.retried.Add(1)
				}
				break
			}
			l.answer(err)
			if try == 20 {
				l.lost.Add(1)
				break
			}
			time.Sleep(time.Duration(min(try+1, 10)) * 100 * time.Millisecond)
		}
		time.Sleep(l.w.pause)
	}
}

func (l *load) slow(d time.Duration) {
	for {
		was := l.slowest.Load()
		if int64(d) <= was || l.slowest.CompareAndSwap(was, int64(d)) {
			return
		}
	}
}

func (l *load) answer(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := err.Error()
	l.answers[text[:min(len(text), 160)]]++
}

// refusals returns how many answers there were that were not 2xx; connections that failed do not count.
func (l *load) refusals() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for text, count := range l.answers {
		if strings.HasPrefix(text, "status ") {
			n += count
		}
	}
	return n
}

// reader counts all lines, again and again: the count must never be less than what was acknowledged before, nor more than was tried.
func (l *load) reader(ctx context.Context) {
	client := &http.Client{Timeout: 30 * time.Second}
	defer client.CloseIdleConnections()
	silent := 0 // members in a row that did not answer at all: then the next is asked, as clients do
	for turn := 0; ctx.Err() == nil; turn++ {
		targets := *l.targets.Load()
		atLeast, partial := l.w.acks(), l.partial.Load()
		got, err := l.w.count(client, targets[turn%len(targets)])
		atMost := l.w.tries()
		l.queries.Add(1)
		if refused := (*refusedError)(nil); err != nil && !errors.As(err, &refused) && silent < len(targets)-1 {
			silent++
			continue
		}
		silent = 0
		switch {
		case err != nil:
			l.failed.Add(1)
			l.answer(fmt.Errorf("query: %w", err))
		case err == nil && (got < atLeast && !partial && !l.partial.Load() || got > atMost):
			l.failed.Add(1)
			l.answer(fmt.Errorf("query: %d lines, of %d acknowledged and %d tried", got, atLeast, atMost))
		}
		time.Sleep(pick(200*time.Millisecond, 2*time.Second))
	}
}

// end stops the clients.
func (l *load) end() {
	l.stop()
	l.done.Wait()
}

// figures returns a line of what happened since the last call, and begins anew.
func (l *load) figures() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var kinds []string
	for text, n := range l.answers {
		kinds = append(kinds, fmt.Sprintf("\n    %4d x %s", n, text))
	}
	slices.Sort(kinds)
	clear(l.answers)
	return fmt.Sprintf("%d pushes at the first try, %d after retries, %d lost; slowest answer %s; %d queries, %d failed%s",
		l.first.Swap(0), l.retried.Swap(0), l.lost.Swap(0), time.Duration(l.slowest.Swap(0)).Round(time.Millisecond), l.queries.Swap(0), l.failed.Swap(0), strings.Join(kinds, ""))
}

// count asks a member for the number of lines of the workload.
func (w *workload) count(client *http.Client, base string) (int, error) {
	params := url.Values{"query": {`sum(count_over_time({app="` + w.app + `"}[2h]))`}, "time": {strconv.FormatInt(time.Now().Add(time.Minute).UnixNano(), 10)}}
	resp, err := client.Get(base + "/loki/api/v1/query?" + params.Encode())
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	if resp.StatusCode != http.StatusOK {
		return 0, &refusedError{status: resp.StatusCode, text: string(body)}
	}
	var answer struct {
		Data struct {
			Result []struct{ Value [2]any }
		}
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return 0, err
	}
	if len(answer.Data.Result) == 0 {
		return 0, nil
	}
	return strconv.Atoi(fmt.Sprint(answer.Data.Result[0].Value[1]))
}
