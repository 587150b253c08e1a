package objstore_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"logstore/integration/faultproxy"
	"logstore/integration/testservers"
	"logstore/pkg/objstore"
	"logstore/pkg/objstore/objstoretest"
)

// faultyS3 is a real S3 server with a proxy before it, and two buckets: through the proxy and around it.
type faultyS3 struct {
	proxy          *faultproxy.Proxy
	bucket, direct objstore.Bucket
	log            *bytes.Buffer
}

const faultRetries = 4

const (
	// stallTimeout is short, so that hanging requests end soon, and long enough for a machine that is busy with other tests.
	stallTimeout = 3 * time.Second
	// neverStalls is for where nothing hangs.
	neverStalls = time.Minute
)

func startFaultyS3(t *testing.T) *faultyS3 {
	t.Helper()
	return newFaultyS3(t, testservers.StartVersityGW(t, "chunks"), neverStalls)
}

func newFaultyS3(t *testing.T, server *testservers.VersityGW, stall time.Duration) *faultyS3 {
	t.Helper()
	s := &faultyS3{proxy: faultproxy.Start(t, server.Address, 1), log: &bytes.Buffer{}}
	cfg := s3Config(strings.Replace(server.URL("chunks"), server.Address, s.proxy.Address, 1))
	cfg.StallTimeout = stall
	cfg.Backoff.MaxRetries = faultRetries
	s.bucket = newS3With(t, cfg, slog.New(slog.NewTextHandler(s.log, nil)), prometheus.NewRegistry())
	s.direct = newS3(t, s3Config(server.URL("chunks")))
	return s
}

var faultBody = bytes.Repeat([]byte("0123456789abcdef"), 10_000)

type fault struct {
	name      string
	fault     faultproxy.Fault
	wantError string // a regular expression; "" if the client alone cannot tell
	bodyOnly  bool   // has no effect on an answer without a body
}

// faults are those that a retry must get over, and what the error says if they do not end.
var faults = []fault{
	{"slow down", faultproxy.SlowDown(), "HTTP 503 S", false},
	{"too many requests", faultproxy.Status(429, "TooManyRequests", "wait"), "HTTP 429", false},
	{"internal error", faultproxy.Status(500, "InternalError", "oops"), "HTTP 500", false},
	{"bad gateway", faultproxy.Status(502, "", ""), "HTTP 502", false},
	{"request timeout", faultproxy.Status(400, "RequestTimeout", "too slow"), "400", false},
	{"hang", faultproxy.Hang(), "no byte moved for too long", false},
	{"reset", faultproxy.Reset(), "connection|broken pipe", false}, // who writes when it comes is told of a pipe
	{"lost answer", faultproxy.LoseAnswer(), "connection reset", false},
	{"hang in body", faultproxy.HangInBody(100), "no byte moved for too long", true},
	{"truncated", faultproxy.Truncate(100), "EOF", true},
	{"truncated by a reset", faultproxy.ResetInBody(100), "connection reset", true},
	{"length too short", faultproxy.ShortLength(7), "", true},
	{"length too long", faultproxy.LongLength(7), "EOF", true},
	{"damaged", faultproxy.Damage(), "", true},
}

// faultyOperations are requests to a bucket that holds faultBody under "a/b".
var faultyOperations = []struct {
	name string
	run  func(context.Context, objstore.Bucket) error
}{
	{"put", func(ctx context.Context, b objstore.Bucket) error { return b.Put(ctx, "a/put", faultBody) }},
	{"delete", func(ctx context.Context, b objstore.Bucket) error { return b.Delete(ctx, "a/absent") }},
	{"stat", func(ctx context.Context, b objstore.Bucket) error {
		info, err := b.Stat(ctx, "a/b")
		return orWrong(err, info.Size == int64(len(faultBody)))
	}},
	{"get", func(ctx context.Context, b objstore.Bucket) error {
		body, err := b.Get(ctx, "a/b")
		return orWrong(err, bytes.Equal(faultBody, body))
	}},
	{"get range", func(ctx context.Context, b objstore.Bucket) error {
		body, err := b.GetRange(ctx, "a/b", 1000, 10_000)
		return orWrong(err, bytes.Equal(faultBody[1000:11_000], body))
	}},
	{"list", func(ctx context.Context, b objstore.Bucket) error {
		keys := []string{}
		err := b.List(ctx, "a/", func(o objstore.ObjectInfo) error { keys = append(keys, o.Key); return nil })
		return orWrong(err, len(keys) > 0 && keys[0] == "a/b")
	}},
	{"list dirs", func(ctx context.Context, b objstore.Bucket) error {
		dirs := []string{}
		err := b.ListDirs(ctx, "", func(dir string) error { dirs = append(dirs, dir); return nil })
		return orWrong(err, len(dirs) == 1 && dirs[0] == "a/")
	}},
}

// TestS3Faults meets each operation with each fault: a few times, which must not be seen, and always, which must end in a
// clear error after a bounded number of requests.
func TestS3Faults(t *testing.T) {
	t.Parallel()
	server := testservers.StartVersityGW(t, "chunks")
	direct := newS3(t, s3Config(server.URL("chunks")))
	require.NoError(t, direct.Put(t.Context(), "a/b", faultBody))
	t.Run("operations", func(t *testing.T) {
		for _, op := range faultyOperations {
			for _, fault := range faults {
				if !fault.hangs() || !fault.hits(op.name) {
					continue
				}
				// By themselves, as they only wait.
				t.Run(op.name+" "+fault.name+" twice", func(t *testing.T) {
					t.Parallel()
					meetTwice(t, newFaultyS3(t, server, stallTimeout), op.run, fault)
				})
				t.Run(op.name+" "+fault.name+" always", func(t *testing.T) {
					t.Parallel()
					meetAlways(t, newFaultyS3(t, server, stallTimeout), op.name, op.run, fault)
				})
			}
			t.Run(op.name, func(t *testing.T) {
				t.Parallel()
				s := newFaultyS3(t, server, neverStalls)
				for _, fault := range faults {
					if fault.hangs() || !fault.hits(op.name) {
						continue
					}
					t.Run(fault.name, func(t *testing.T) {
						meetTwice(t, s, op.run, fault)
						meetAlways(t, s, op.name, op.run, fault)
					})
				}
				require.Contains(t, s.log.String(), "level=WARN msg=\"object store asks to slow down, spreading requests\"")
				require.NotContains(t, s.log.String(), "se/cr+et")
			})
		}
	})
	got, err := direct.Get(t.Context(), "a/put")
	require.NoError(t, err)
	require.True(t, bytes.Equal(faultBody, got))
}

// hangs reports whether each request waits for stallTimeout.
func (f fault) hangs() bool { return strings.HasPrefix(f.name, "hang") }

// hits reports whether the client can notice the fault in an operation.
func (f fault) hits(op string) bool {
	switch {
	case f.bodyOnly && (op == "put" || op == "delete" || op == "stat"):
		return false
	case f.wantError == "":
		return op == "get" // Only an object's stamp tells these.
	case f.name == "request timeout":
		return op != "stat" // The code is in the body, which HEAD has not.
	case f.name == "length too long":
		return !strings.HasPrefix(op, "list") // A listing's XML says itself where it ends.
	}
	return true
}

func meetTwice(t *testing.T, s *faultyS3, run func(context.Context, objstore.Bucket) error, f fault) {
	defer s.proxy.Heal()
	s.proxy.Requests()
	s.proxy.Break(faultproxy.Rule{Count: 2, Fault: f.fault})
	require.NoError(t, run(t.Context(), s.bucket))
	all, broken := s.proxy.Requests()
	require.Equal(t, []int{3, 2}, []int{all, broken})
}

func meetAlways(t *testing.T, s *faultyS3, name string, run func(context.Context, objstore.Bucket) error, f fault) {
	defer s.proxy.Heal()
	s.proxy.Requests()
	s.proxy.Break(faultproxy.Rule{Fault: f.fault})
	err := run(t.Context(), s.bucket)
	require.ErrorContains(t, err, fmt.Sprintf("gave up after %d attempts", faultRetries+1))
	require.ErrorContains(t, err, "cannot "+strings.Fields(name)[0])
	require.Regexp(t, f.wantError, err.Error())
	require.NotErrorIs(t, err, errWrong)
	require.True(t, objstore.IsTemporary(err))
	require.NotErrorIs(t, err, objstore.ErrNotFound)
	all, _ := s.proxy.Requests()
	// Go's transport asks again by itself when a kept connection turns out to be broken.
	require.Contains(t, []int{faultRetries + 1, faultRetries + 2}, all)
}

var errWrong = fmt.Errorf("the answer is wrong")

// orWrong returns err, or errWrong if there is none though the answer is wrong.
func orWrong(err error, right bool) error {
	if err == nil && !right {
		return errWrong
	}
	return err
}

// TestS3StreamFaults checks that a stream never ends in peace before its object does.
func TestS3StreamFaults(t *testing.T) {
	t.Parallel()
	server := testservers.StartVersityGW(t, "chunks")
	s, impatient := newFaultyS3(t, server, neverStalls), newFaultyS3(t, server, stallTimeout)
	require.NoError(t, s.direct.Put(t.Context(), "a/b", faultBody))
	f := func(s *faultyS3, fault faultproxy.Fault, want error) {
		t.Helper()
		defer s.proxy.Heal()
		s.proxy.Break(faultproxy.Rule{Fault: fault}) // always: a request that fails before its body comes is sent again
		r, err := s.bucket.GetReader(t.Context(), "a/b")
		require.NoError(t, err)
		defer func() { require.NoError(t, r.Close()) }()
		_, err = io.ReadAll(r)
		require.Error(t, err)
		require.ErrorContains(t, err, "cannot read object a/b")
		if want != nil {
			require.ErrorIs(t, err, want)
		}
		require.True(t, objstore.IsTemporary(err))
	}
	f(s, faultproxy.Truncate(100), io.ErrUnexpectedEOF)
	f(s, faultproxy.ResetInBody(100), nil)
	f(impatient, faultproxy.HangInBody(100), nil)
	f(s, faultproxy.ShortLength(100), objstore.ErrCorrupt)
	f(s, faultproxy.LongLength(100), io.ErrUnexpectedEOF)
	f(s, faultproxy.Damage(), objstore.ErrCorrupt)

	// A reader who takes his time is not a store that stalls.
	r, err := impatient.bucket.GetReader(t.Context(), "a/b")
	require.NoError(t, err)
	time.Sleep(stallTimeout / 2)
	_, err = io.ReadFull(r, make([]byte, 10))
	require.NoError(t, err)
	time.Sleep(stallTimeout / 2)
	rest, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Len(t, rest, len(faultBody)-10)
	require.NoError(t, r.Close())
}

// TestS3NeverRetried checks that what the store means is asked once.
func TestS3NeverRetried(t *testing.T) {
	s := startFaultyS3(t)
	f := func(status int, code string, want string) {
		t.Helper()
		defer s.proxy.Heal()
		s.proxy.Requests()
		s.proxy.Break(faultproxy.Rule{Fault: faultproxy.Status(status, code, "no")})
		_, err := s.bucket.Get(t.Context(), "a/b")
		require.ErrorContains(t, err, want)
		require.False(t, objstore.IsTemporary(err))
		all, _ := s.proxy.Requests()
		require.Equal(t, 1, all)
	}
	f(404, "NoSuchKey", "cannot get object a/b: object not found")
	f(404, "NoSuchBucket", "cannot get object a/b: HTTP 404 NoSuchBucket: no")
	f(403, "AccessDenied", "cannot get object a/b: HTTP 403 AccessDenied: no (request proxied)")
	f(403, "SignatureDoesNotMatch", "HTTP 403 SignatureDoesNotMatch")
	f(400, "InvalidArgument", "HTTP 400 InvalidArgument")
	f(301, "PermanentRedirect", "HTTP 301 PermanentRedirect")
	f(501, "NotImplemented", "HTTP 501 NotImplemented")
}

// TestS3ContextEndsRetries checks that neither a hanging store nor a pause outlives its caller, though the number of
// retries has no bound.
func TestS3ContextEndsRetries(t *testing.T) {
	server := testservers.StartVersityGW(t, "chunks")
	proxy := faultproxy.Start(t, server.Address, 1)
	cfg := s3Config(strings.Replace(server.URL("chunks"), server.Address, proxy.Address, 1))
	cfg.Backoff = objstore.BackoffConfig{MinPeriod: 40 * time.Millisecond, MaxPeriod: time.Hour, MaxRetries: 0}
	b := newS3(t, cfg)
	for _, fault := range []faultproxy.Fault{faultproxy.Hang(), faultproxy.SlowDown(), faultproxy.HangInBody(0)} {
		proxy.Break(faultproxy.Rule{Fault: fault})
		ctx, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
		start := time.Now()
		_, err := b.Get(ctx, "a/b")
		cancel()
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Less(t, time.Since(start), 20*time.Second, "it must not wait for the stall")
		proxy.Heal()
	}
}

// TestS3Storm writes and reads through a store that fails every fifth request in some way: nothing that was put is lost
// or changed, and every object is listed once.
func TestS3Storm(t *testing.T) {
	t.Parallel()
	server := testservers.StartVersityGW(t, "chunks")
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	proxy := faultproxy.Start(t, server.Address, seed)
	cfg := s3Config(strings.Replace(server.URL("chunks"), server.Address, proxy.Address, 1))
	cfg.StallTimeout = stallTimeout
	cfg.Backoff.MaxRetries = 30
	cfg.MaxConcurrency = 4
	reg := prometheus.NewRegistry()
	b := newS3With(t, cfg, slog.New(slog.DiscardHandler), reg)
	for _, f := range faults {
		match := func(r *http.Request) bool {
			return !f.bodyOnly || r.Method == http.MethodGet && r.URL.RawQuery == "x-id=GetObject"
		}
		proxy.Break(faultproxy.Rule{Match: match, Probability: 0.02, Fault: f.fault})
	}
	const workers, objects = 8, 25
	var wg sync.WaitGroup
	for worker := range workers {
		wg.Go(func() {
			for i := range objects {
				key := fmt.Sprintf("tenant/%d/%02d", worker, i)
				body := bytes.Repeat([]byte(key), 100+i)
				if err := b.Put(context.Background(), key, body); err != nil {
					t.Errorf("cannot put: %v", err)
				}
				if got, err := b.Get(context.Background(), key); err != nil || !bytes.Equal(body, got) {
					t.Errorf("%s: got %d bytes instead of %d: %v", key, len(got), len(body), err)
				}
			}
		})
	}
	wg.Wait()
	keys := objstoretest.Keys(t, b, "tenant/")
	require.Len(t, keys, workers*objects)
	all, broken := proxy.Requests()
	t.Logf("%d of %d requests were broken", broken, all)
	require.Greater(t, broken, 20)
	retries, err := testutil.GatherAndCount(reg, "logstore_objstore_retries_total")
	require.NoError(t, err)
	require.Positive(t, retries)
}
