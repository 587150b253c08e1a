package configtool

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"logstore/pkg/alertmanager"
	"logstore/pkg/buckets"
	"logstore/pkg/cache"
	"logstore/pkg/config"
	"logstore/pkg/objstore"
)

// Result says how the trying of one thing went.
type Result struct {
	// What is "bucket", "redis" or "alertmanager".
	What string `json:"what"`
	// Where names it: the object stores, the caches, the address, without secrets.
	Where string `json:"where"`
	// Steps are in the order in which they were done; the last is the one that failed, if any.
	Steps []Step `json:"steps,omitempty"`
	Error string `json:"error,omitempty"`
	// Advice is what to do about the error.
	Advice string `json:"advice,omitempty"`
}

// Step is a request with the time that it took.
type Step struct {
	Name         string  `json:"name"`
	Milliseconds float64 `json:"milliseconds"`
}

// String returns a line, and others for an error.
func (r *Result) String() string {
	var out strings.Builder
	word := "ok  "
	if r.Error != "" {
		word = "FAIL"
	}
	fmt.Fprintf(&out, "%s %s %s:", word, r.What, r.Where)
	for _, s := range r.Steps {
		fmt.Fprintf(&out, " %s %.1f ms,", s.Name, s.Milliseconds)
	}
	text := strings.TrimSuffix(strings.TrimSuffix(out.String(), ","), ":")
	if r.Error != "" {
		text += "\n     " + r.Error
		if r.Advice != "" {
			text += "\n     " + r.Advice
		}
	}
	return text
}

func (r *Result) step(name string, took time.Duration) {
	r.Steps = append(r.Steps, Step{Name: name, Milliseconds: float64(took.Microseconds()) / 1000})
}

// fail notes an error, unless there is none.
func (r *Result) fail(err error, advice string) {
	if err != nil {
		r.Error, r.Advice = err.Error(), advice
	}
}

// try tries what a configuration names, one after the other.
func try(ctx context.Context, cfg *config.Config, timeout time.Duration) []Result {
	out := tryBuckets(ctx, cfg, timeout)
	out = append(out, tryCaches(ctx, cfg, timeout)...)
	return append(out, tryAlertmanagers(ctx, cfg, timeout)...)
}

// objectName is the key of the object or value that is written: of its own each time.
func objectName() string {
	b := make([]byte, 8)
	_, _ = rand.Read(b) // it does not fail
	return "logstore-config-check/" + hex.EncodeToString(b)
}

// bucketUse is an object store and what it is for.
type bucketUse struct {
	name  string
	rules bool
	uses  []string
}

func bucketUses(cfg *config.Config) []bucketUse {
	var out []bucketUse
	add := func(name, use string) {
		if name == "" {
			return
		}
		for i := range out {
			if out[i].name == name {
				if !slices.Contains(out[i].uses, use) {
					out[i].uses = append(out[i].uses, use)
				}
				return
			}
		}
		out = append(out, bucketUse{name: name, uses: []string{use}})
	}
	for _, p := range cfg.Schema.Configs {
		add(p.ObjectStore, "chunks")
		shared := cfg.Storage.BoltDBShipper.SharedStore
		if p.Store == config.StoreTSDB {
			shared = cfg.Storage.TSDBShipper.SharedStore
		}
		if shared == "" {
			shared = p.ObjectStore
		}
		add(shared, "index")
	}
	if cfg.Compactor.RetentionEnabled {
		add(cfg.Compactor.DeleteRequestStore, "delete requests")
	}
	return append(out, bucketUse{name: "rules", rules: true, uses: []string{"rules"}})
}

func tryBuckets(ctx context.Context, cfg *config.Config, timeout time.Duration) []Result {
	open, err := buckets.New(cfg, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		return []Result{{What: "bucket", Where: "schema_config", Error: err.Error()}}
	}
	defer open.Close() //nolint:errcheck // nothing waits in it
	var out []Result
	for _, use := range bucketUses(cfg) {
		r := Result{What: "bucket", Where: fmt.Sprintf("%s (%s)", use.name, strings.Join(use.uses, ", "))}
		var where config.ObjectStore
		var bucket objstore.Bucket
		writable := true
		if use.rules {
			if where, writable, err = cfg.RulerStore(); err == nil {
				bucket, err = open.Rules(where)
			}
		} else {
			bucket, where, err = open.Get(use.name)
		}
		switch {
		case err != nil:
			r.fail(err, "")
		case !writable:
			r.tryList(ctx, bucket, timeout)
		default:
			r.tryBucket(ctx, bucket, timeout)
		}
		if r.Error != "" && r.Advice == "" {
			r.Advice = bucketAdvice(r.Error, where)
		}
		out = append(out, r)
	}
	return out
}

// tryList lists a bucket that is only read.
func (r *Result) tryList(ctx context.Context, b objstore.Bucket, timeout time.Duration) {
	r.Where += " at " + b.Name()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	start := time.Now()
	err := b.ListDirs(ctx, "", func(string) error { return nil })
	r.step("list", time.Since(start))
	r.fail(err, "")
}

func (r *Result) tryBucket(ctx context.Context, b objstore.Bucket, timeout time.Duration) {
	r.Where += " at " + b.Name()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	key, body := objectName(), []byte("written by a check of the configuration; it may be deleted")
	for _, s := range []struct {
		name string
		do   func() error
	}{
		{"put", func() error { return b.Put(ctx, key, body) }},
		{"get", func() error {
			got, err := b.Get(ctx, key)
			if err == nil && !bytes.Equal(got, body) {
				err = errors.New("it is not what was written")
			}
			return err
		}},
		{"list", func() error {
			found := false
			err := b.List(ctx, key, func(o objstore.ObjectInfo) error { found = found || o.Key == key; return nil })
			if err == nil && !found {
				err = errors.New("the object that was written is not listed")
			}
			return err
		}},
		{"delete", func() error { return b.Delete(ctx, key) }},
	} {
		start := time.Now()
		err := s.do()
		r.step(s.name, time.Since(start))
		if err != nil {
			r.fail(fmt.Errorf("cannot %s: %w", s.name, err), "")
			return
		}
	}
}

// bucketAdvice says what to do about an error of a bucket.
func bucketAdvice(text string, where config.ObjectStore) string {
	has := func(parts ...string) bool {
		return slices.ContainsFunc(parts, func(p string) bool { return strings.Contains(text, p) })
	}
	switch {
	case where.Kind == config.KindFilesystem, has("the filesystem store"):
		return strings.Join(strings.Fields("the folder "+where.Directory+" must be one that this user may write to"), " ")
	case has("NoSuchBucket"):
		return "create the bucket, or correct bucketnames"
	case has("InvalidAccessKeyId", "SignatureDoesNotMatch"):
		return "correct access_key_id and secret_access_key"
	case has("AccessDenied", "Forbidden", "StatusCode: 403"):
		return "the user needs s3:PutObject, s3:GetObject, s3:ListBucket and s3:DeleteObject on the bucket"
	case has("PermanentRedirect", "AuthorizationHeaderMalformed"):
		return "correct region"
	case has("no such host"):
		return "correct endpoint; with a server that has no host for each bucket set s3forcepathstyle: true"
	case has("connection refused", "deadline exceeded", "i/o timeout"):
		return "nothing answers at the endpoint from here: correct endpoint, or open the network"
	case has("server gave HTTP response to HTTPS client"):
		return "the server speaks plain HTTP: set insecure: true"
	case has("certificate"):
		return "name the authority that signed the server's certificate in http_config.ca_file"
	}
	return "correct the block of storage_config that the object store has"
}

// tryCaches tries each Redis once, however many caches are in it.
func tryCaches(ctx context.Context, cfg *config.Config, timeout time.Duration) []Result {
	names := map[cache.RedisConfig][]string{}
	for _, c := range cfg.Caches() {
		redis := buckets.Redis(c.Cache)
		redis.Expiration = 0 // what differs there is the same server
		if redis.Endpoint != "" {
			names[redis] = append(names[redis], c.Path)
		}
	}
	out := []Result{}
	for redis, paths := range names {
		slices.Sort(paths)
		r := Result{What: "redis", Where: strings.Join(paths, ", ")}
		limited, cancel := context.WithTimeout(ctx, timeout)
		err := cache.Probe(limited, redis, objectName(), func(command string, took time.Duration, _ error) { r.step(command, took) })
		cancel()
		r.fail(err, "")
		if err != nil {
			r.Advice = redisAdvice(err.Error())
		}
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b Result) int { return strings.Compare(a.Where, b.Where) })
	return out
}

func redisAdvice(text string) string {
	switch {
	case strings.Contains(text, "NOAUTH"), strings.Contains(text, "WRONGPASS"), strings.Contains(text, "AUTH"):
		return "correct redis.username and redis.password"
	case strings.Contains(text, "NOPERM"):
		return "the user needs the commands SET, GET and DEL"
	case strings.Contains(text, "tls:"), strings.Contains(text, "certificate"), strings.Contains(text, "EOF"):
		return "redis.tls_enabled must be what the server speaks"
	case strings.Contains(text, "no such host"), strings.Contains(text, "refused"), strings.Contains(text, "timeout"), strings.Contains(text, "deadline"):
		return "nothing answers at redis.endpoint from here: correct it, or open the network; without Redis the store works, slower"
	}
	return "correct the cache's block redis"
}

func tryAlertmanagers(ctx context.Context, cfg *config.Config, timeout time.Duration) []Result {
	c := alertmanager.DefaultConfig
	c.URLs, c.Discovery = alertmanager.SplitURLs(cfg.Ruler.AlertmanagerURL), cfg.Ruler.EnableAlertmanagerDiscovery
	if len(c.URLs) == 0 {
		return nil
	}
	c.Timeout = timeout
	c.HTTP, c.Headers = buckets.AlertmanagerHTTP(cfg.Ruler.AlertmanagerClient), cfg.Logstore.Ruler.AlertmanagerHeaders
	found, err := alertmanager.Probe(ctx, c)
	if err != nil {
		return []Result{{What: "alertmanager", Where: "ruler.alertmanager_url", Error: err.Error()}}
	}
	var out []Result
	for _, s := range found {
		r := Result{What: "alertmanager", Where: s.Address}
		r.step("status", s.Took)
		if s.Err != nil {
			r.fail(s.Err, "correct ruler.alertmanager_url and ruler.alertmanager_client; alerts wait in memory while no Alertmanager answers")
		}
		out = append(out, r)
	}
	return out
}
