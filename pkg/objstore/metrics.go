package objstore

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// requestMetrics belong to one kind of store. Buckets of the same kind share them.
type requestMetrics struct {
	duration *prometheus.HistogramVec
	bytes    *prometheus.CounterVec
}

func newRequestMetrics(reg prometheus.Registerer, store string) *requestMetrics {
	duration := prometheus.HistogramOpts{
		Name:        "logstore_objstore_request_duration_seconds",
		Help:        "Time spent in requests to the object store, each attempt by itself.",
		ConstLabels: prometheus.Labels{"store": store},
		Buckets:     []float64{.005, .025, .05, .1, .25, .5, 1, 2, 5, 10},
	}
	if store == storeS3 {
		// Loki's series, which its dashboards show.
		duration.Name, duration.Help, duration.ConstLabels = "loki_s3_request_duration_seconds", "Time spent doing S3 requests.", nil
	}
	return &requestMetrics{
		duration: register(reg, prometheus.NewHistogramVec(duration, []string{"operation", "status_code"})),
		bytes: register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name:        "logstore_objstore_bytes_total",
			Help:        "Bytes of objects that went to and came from the object store.",
			ConstLabels: prometheus.Labels{"store": store},
		}, []string{"operation"})),
	}
}

type retryMetrics struct {
	retries   *prometheus.CounterVec
	throttled prometheus.Counter
}

func newRetryMetrics(reg prometheus.Registerer) *retryMetrics {
	return &retryMetrics{
		retries: register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "logstore_objstore_retries_total",
			Help: "Requests to the object store that were sent again.",
		}, []string{"operation"})),
		throttled: register(reg, prometheus.NewCounter(prometheus.CounterOpts{
			Name: "logstore_objstore_throttled_total",
			Help: "Requests that the object store refused to have fewer of them.",
		})),
	}
}

// register registers the collector, or returns the one that another bucket has registered before.
func register[C prometheus.Collector](reg prometheus.Registerer, c C) C {
	if reg == nil {
		return c
	}
	err := reg.Register(c)
	if known, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		return known.ExistingCollector.(C)
	}
	if err != nil {
		panic("BUG: cannot register a metric of objstore: " + err.Error())
	}
	return c
}
