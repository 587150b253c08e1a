package distributor

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"logstore/pkg/limits"
	"logstore/pkg/tenant"
	"logstore/pkg/wire"
)

// memory is an ingester that keeps entries in memory, by tenant, stream and time.
type memory struct {
	mu      sync.Mutex
	streams map[string][]entry
	refuse  func(tenant string, streams []wire.Stream) error
	pushes  int
}

type entry struct {
	ts   int64
	line string
	meta string
}

func (m *memory) Push(_ context.Context, tenantID string, streams []wire.Stream) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pushes++
	if m.refuse != nil {
		if err := m.refuse(tenantID, streams); err != nil {
			return err
		}
	}
	for _, s := range streams {
		if s.Labels.String() != s.Text {
			return fmt.Errorf("BUG: labels %s and text %s differ", s.Labels, s.Text)
		}
		key := tenantID + " " + strings.Clone(s.Text)
		for _, e := range s.Entries {
			one := entry{ts: e.Timestamp, line: string(e.Line), meta: metaText(e)}
			if !slices.Contains(m.streams[key], one) {
				m.streams[key] = append(m.streams[key], one)
			}
		}
	}
	return nil
}

func metaText(e wire.PushEntry) string {
	var out []string
	for _, p := range e.Metadata {
		out = append(out, p.Name+"="+p.Value)
	}
	return strings.Clone(strings.Join(out, ","))
}

// lines returns what is stored of a stream, in the order of time.
func (m *memory) lines(key string) []entry {
	got := slices.Clone(m.streams[key])
	slices.SortStableFunc(got, func(a, b entry) int { return int(a.ts - b.ts) })
	return got
}

func newTestDistributor(t testing.TB, lim limits.Limits) (*Distributor, *memory, *limits.Overrides, *prometheus.Registry) {
	overrides, err := limits.New(lim)
	require.NoError(t, err)
	m := &memory{streams: map[string][]entry{}}
	reg := prometheus.NewRegistry()
	d, err := New(DefaultConfig(), Deps{
		Limits: overrides, Members: oneMember{}, Ingester: m, Registerer: reg, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	require.NoError(t, err)
	return d, m, overrides, reg
}

type oneMember struct{}

func (oneMember) Healthy() int { return 1 }

// conformanceLimits are those under which the cases of testdata were recorded.
func conformanceLimits() limits.Limits {
	l := limits.DefaultLimits()
	l.RejectOldSamples = false
	l.DiscoverServiceName = nil
	l.DiscoverLogLevels = false
	l.IngestionRateMB, l.IngestionBurstSizeMB = 1000, 1000
	return l
}

type pushCase struct {
	ID, Tenant, Method, Path string
	Headers                  map[string]string
	Body                     string
	BodyB64                  []byte `json:"body_b64"`
	OrStatus                 []int  `json:"or_status"`
	Contains                 []string
	Params                   [][]any
	Expect                   struct {
		Status int
		Body   json.RawMessage
	}
}

func readCases(t *testing.T, file string) (cases []pushCase) {
	f, err := os.Open(file)
	require.NoError(t, err)
	defer f.Close()
	scan := bufio.NewScanner(f)
	scan.Buffer(nil, 1<<20)
	for scan.Scan() {
		var c pushCase
		require.NoError(t, json.Unmarshal(scan.Bytes(), &c))
		cases = append(cases, c)
	}
	require.NoError(t, scan.Err())
	return cases
}

// serve does what the HTTP layer does with a push.
func serve(d *Distributor, c pushCase) (int, string) {
	body := c.BodyB64
	if body == nil {
		body = []byte(c.Body)
	}
	h := wire.Header{ContentType: c.Headers["Content-Type"], ContentEncoding: c.Headers["Content-Encoding"], ContentLength: int64(len(body))}
	ctx := context.Background()
	if c.Tenant != "" {
		ctx = tenant.Inject(ctx, c.Tenant)
	}
	id, err := tenant.ID(ctx)
	if err != nil {
		return d.status(tenantError(err))
	}
	var req *wire.PushRequest
	if strings.HasPrefix(c.Path, "/otlp") {
		req, err = wire.ReadOTLP(bytes.NewReader(body), h, wire.Options{MaxBody: 100 << 20, MaxDecompressed: 5000 << 20}, d.limits.For(id).OTLP(), time.Now().UnixNano())
	} else {
		req, err = wire.ReadPush(bytes.NewReader(body), h, wire.Options{MaxBody: 100 << 20, MaxDecompressed: 5000 << 20})
	}
	if err != nil {
		return statusBadRequest, err.Error()
	}
	defer req.Release()
	return d.status(d.Push(ctx, req))
}

func (d *Distributor) status(err error) (int, string) {
	var refused *PushError
	if errors.As(err, &refused) {
		return refused.Status, refused.Text
	}
	return 204, ""
}

// sameText are the beginnings of texts that must be as recorded. Those of decoders are our own.
var sameText = []string{
	"couldn't parse labels", "error at least", "stream '", "entry for stream", "max entry size", "snappy:", "mime:", "Content-Encoding",
	"gzip:", "no org id", "tenant ID", "multiple org IDs", "unexpected EOF", "proto:",
}

func TestRecordedPushes(t *testing.T) {
	d, m, _, _ := newTestDistributor(t, conformanceLimits())
	for _, c := range readCases(t, "testdata/push.jsonl") {
		if c.Method != "POST" || strings.HasSuffix(c.Path, "/push/") || c.Path == "/flush" {
			continue
		}
		status, text := serve(d, c)
		switch c.ID {
		case "api-push-too-far-behind-2", "api-push-ts-seconds":
			// The ingester judges these.
			require.Equal(t, 204, status, c.ID)
			continue
		case "api-push-value-one-item":
			require.Equal(t, 400, status, c.ID)
			continue
		}
		require.Equal(t, c.Expect.Status, status, "%s: %s", c.ID, text)
		for _, part := range c.Contains {
			require.Contains(t, text, part, c.ID)
		}
		var want string
		require.NoError(t, json.Unmarshal(c.Expect.Body, &want))
		want = strings.TrimSuffix(want, "\n")
		if strings.HasPrefix(c.Path, "/otlp") && c.Expect.Status != 401 && want != "" {
			want = want[2:]
		}
		if slices.ContainsFunc(sameText, func(prefix string) bool { return strings.HasPrefix(want, prefix) }) {
			if len(want) >= 290 {
				text = text[:min(len(text), len(want))] // Recorded bodies were cut.
			}
			require.Equal(t, want, text, c.ID)
		}
	}
	t.Run("read back", func(t *testing.T) { readBack(t, m) })
}

// readBack compares what is stored with what the recorded queries found.
func readBack(t *testing.T, m *memory) {
	n := 0
	for _, c := range readCases(t, "testdata/readback.jsonl") {
		var body struct {
			Data struct {
				Result []struct {
					Stream map[string]string
					Values [][]any
				}
			}
		}
		if json.Unmarshal(c.Expect.Body, &body) != nil || c.Headers == nil && strings.Contains(c.ID, "meta") {
			continue // Merged labels: the test knows the categorised form only.
		}
		for _, r := range body.Data.Result {
			var names, want, got []string
			for _, name := range slices.Sorted(mapKeys(r.Stream)) {
				names = append(names, name+"="+strconv.Quote(r.Stream[name]))
			}
			for _, v := range r.Values {
				meta := ""
				if len(v) > 2 {
					pairs, _ := v[2].(map[string]any)["structuredMetadata"].(map[string]any)
					var list []string
					for _, name := range slices.Sorted(mapKeys(pairs)) {
						list = append(list, fmt.Sprintf("%s=%s", name, pairs[name]))
					}
					meta = strings.Join(list, ",")
				}
				want = append(want, fmt.Sprint(v[0], " ", v[1], " ", meta))
			}
			for _, e := range m.lines(c.Tenant + " {" + strings.Join(names, ", ") + "}") {
				got = append(got, fmt.Sprint(e.ts, " ", strings.ToValidUTF8(strings.ReplaceAll(e.line, "\xff\xfe", "\ufffd\ufffd"), "\ufffd"), " ", e.meta))
			}
			if strings.Contains(c.ID, "behind") {
				continue
			}
			require.Equal(t, want, got, c.ID)
			n++
		}
	}
	require.Greater(t, n, 50)
}

func mapKeys[V any](m map[string]V) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}
