package alertmanager

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	// batchSize is how many alerts go in one request.
	batchSize = 256
	// drainTime bounds the last try when the process stops.
	drainTime = 5 * time.Second
)

// target is one Alertmanager with its queue.
type target struct {
	n        *Notifier
	endpoint string
	name     string // the end point without secrets
	queue    *queue
	cancel   context.CancelFunc
	failing  bool // to say only once that it fails
}

func newTarget(n *Notifier, endpoint string) *target {
	name := endpoint
	if u, err := url.Parse(endpoint); err == nil {
		name = u.Redacted()
	}
	n.metrics.sent.WithLabelValues(n.tenant, name).Add(0)
	n.metrics.errors.WithLabelValues(n.tenant, name).Add(0)
	n.metrics.lastSuccess.WithLabelValues(n.tenant, name).Set(0)
	return &target{n: n, endpoint: endpoint, name: name, queue: newQueue(n.cfg.QueueCapacity)}
}

func (t *target) put(alerts []*Alert) {
	if len(alerts) == 0 {
		return
	}
	t.n.drop(t.queue.put(alerts))
	t.n.metrics.length.WithLabelValues(t.n.tenant, t.name).Set(float64(t.queue.len()))
}

// run sends what comes until ctx ends.
func (t *target) run(ctx context.Context) {
	defer t.n.metrics.forget(t.n.tenant, t.name)
	pause := t.n.cfg.MinBackoff
	for {
		select {
		case <-ctx.Done():
			t.drain()
			return
		case <-t.queue.ready:
		}
		for t.queue.len() > 0 && ctx.Err() == nil {
			if t.sendBatch(ctx) {
				pause = t.n.cfg.MinBackoff
				continue
			}
			timer := time.NewTimer(pause)
			select {
			case <-ctx.Done():
			case <-timer.C:
			}
			timer.Stop()
			pause = min(2*pause, t.n.cfg.MaxBackoff)
		}
	}
}

func (t *target) drain() {
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	for t.queue.len() > 0 && t.sendBatch(ctx) {
	}
	if left := t.queue.len(); left > 0 {
		t.n.log.Warn("alerts were not delivered before the end; the next owner of their rules sends them again", "alertmanager", t.name, "alerts", left)
	}
}

// sendBatch sends what waits longest. It returns false if that must be tried again.
func (t *target) sendBatch(ctx context.Context) bool {
	batch := t.queue.take(batchSize)
	start := time.Now()
	retry, err := t.post(ctx, batch)
	m, user := t.n.metrics, t.n.tenant
	m.latency.WithLabelValues(user, t.name).Observe(time.Since(start).Seconds())
	if err == nil {
		m.sent.WithLabelValues(user, t.name).Add(float64(len(batch)))
		m.lastSuccess.WithLabelValues(user, t.name).SetToCurrentTime()
		if t.failing {
			t.n.log.Info("an Alertmanager takes alerts again", "alertmanager", t.name)
		}
		t.failing = false
	} else {
		m.errors.WithLabelValues(user, t.name).Add(float64(len(batch)))
		if retry {
			t.n.drop(t.queue.putBack(batch))
		} else {
			m.dropped.WithLabelValues(user).Add(float64(len(batch)))
		}
		if !t.failing || !retry {
			t.n.log.Error("cannot send alerts", "alertmanager", t.name, "alerts", len(batch), "tried_again", retry, "err", err)
		}
		t.failing = retry
	}
	m.length.WithLabelValues(user, t.name).Set(float64(t.queue.len()))
	return err == nil || !retry
}

// post sends one request; retry tells whether a failure may pass.
func (t *target) post(ctx context.Context, batch []*Alert) (retry bool, err error) {
	body, err := json.Marshal(batch)
	if err != nil {
		return false, fmt.Errorf("cannot encode alerts: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, t.n.cfg.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.endpoint, bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "logstore")
	for name, value := range t.n.cfg.Headers {
		req.Header.Set(name, value)
	}
	resp, err := t.n.client.Do(req)
	if err != nil {
		return true, err
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 512))
	if resp.StatusCode/100 == 2 {
		return false, nil
	}
	err = fmt.Errorf("status %s: %s", resp.Status, strings.TrimSpace(string(text)))
	return resp.StatusCode/100 == 5 || resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusRequestTimeout, err
}
