package objstore

import (
	"context"
	"io"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// storeS3 is the name under which Metered keeps Loki's series.
const storeS3 = "s3"

// Metered counts and times the requests to a store: "s3", "filesystem" or another short name, under which all buckets
// of the registerer are counted together. It belongs inside Retried, so that each attempt counts.
func Metered(b Bucket, store string, reg prometheus.Registerer) Bucket {
	m := &meter{metrics: newRequestMetrics(reg, store)}
	if store == storeS3 {
		m.prefix = "S3."
	}
	return &around{inner: pagerOf(b), call: m.call, reader: m.open}
}

type meter struct {
	metrics *requestMetrics
	prefix  string
}

func (m *meter) call(ctx context.Context, op operation, do request) error {
	name := m.prefix + string(op)
	start := time.Now()
	n, err := do(ctx)
	m.metrics.duration.WithLabelValues(name, statusOf(err)).Observe(time.Since(start).Seconds())
	if err == nil && n > 0 {
		m.metrics.bytes.WithLabelValues(name).Add(float64(n))
	}
	return err
}

func (m *meter) open(ctx context.Context, open openReader) (r io.ReadCloser, err error) {
	err = m.call(ctx, opGet, func(ctx context.Context) (int64, error) {
		var err error
		r, err = open(ctx)
		return 0, err
	})
	if err != nil {
		return nil, err
	}
	return &meteredReader{r, m.metrics.bytes.WithLabelValues(m.prefix + string(opGet))}, nil
}

type meteredReader struct {
	io.ReadCloser
	bytes prometheus.Counter
}

// Read implements io.Reader.
func (r *meteredReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.bytes.Add(float64(n))
	return n, err
}
