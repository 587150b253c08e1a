package remotewrite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/snappy"
	promconfig "github.com/prometheus/common/config"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"

	"logstore/pkg/wal"
)

// target sends the records of a writer to one receiver.
type target struct {
	Target
	w      *writer
	client *http.Client
	cancel context.CancelFunc
	done   chan struct{}
	old    *wal.Reader // reads records that are no longer in memory
	fails  bool        // to say only once that it fails
}

func newTarget(w *writer, cfg Target) (*target, error) {
	client, err := promconfig.NewClientFromConfig(cfg.HTTP, "remote_write")
	if err != nil {
		return nil, fmt.Errorf("cannot build the client for remote write %s: %w", cfg.Name, err)
	}
	w.m.begin(w.tenant, cfg.Name)
	return &target{Target: cfg, w: w, client: client, done: make(chan struct{})}, nil
}

// start sends until stop; begin is the number before the first record to send.
func (t *target) start(ctx context.Context, begin uint64) {
	ctx, t.cancel = context.WithCancel(ctx)
	go func() {
		defer close(t.done)
		defer t.client.CloseIdleConnections()
		t.run(ctx, begin)
	}()
}

func (t *target) stop() {
	t.cancel()
	<-t.done
}

func (t *target) run(ctx context.Context, taken uint64) {
	for ctx.Err() == nil {
		batch := t.next(ctx, taken+1)
		if len(batch) == 0 {
			continue
		}
		t.w.m.pending.WithLabelValues(t.w.tenant, t.Name).Set(float64(t.w.pending(taken)))
		if !t.deliver(ctx, batch) {
			return
		}
		taken = batch[len(batch)-1].seq
		t.w.ack(t.Name, taken)
		t.w.m.pending.WithLabelValues(t.w.tenant, t.Name).Set(float64(t.w.pending(taken)))
	}
}

// next returns the next records to send. It waits until there are some, and then until they fill a request or the oldest has
// waited for Deadline. It may return none.
func (t *target) next(ctx context.Context, seq uint64) []record {
	if batch := t.fromLog(seq); len(batch) > 0 {
		return batch
	}
	for {
		recs, old, more := t.w.from(seq, t.MaxSamples)
		if old != nil {
			t.old = old
			if batch := t.fromLog(seq); len(batch) > 0 {
				return batch
			}
			// The log has no record of that number: it was damaged or cut. What follows is in memory.
			t.w.skip(&seq)
			continue
		}
		wait := time.Duration(-1)
		if len(recs) > 0 {
			n := 0
			for _, r := range recs {
				n += r.n
			}
			wait = t.Deadline - time.Since(recs[0].time)
			if n >= t.MaxSamples || wait <= 0 {
				return recs
			}
		}
		var timeout <-chan time.Time
		if wait > 0 {
			timer := time.NewTimer(wait)
			defer timer.Stop()
			timeout = timer.C
		}
		select {
		case <-ctx.Done():
			return nil
		case <-more:
		case <-timeout:
			return recs
		}
	}
}

// fromLog returns records from the reader of the log, if there is one that has some.
func (t *target) fromLog(seq uint64) []record {
	var batch []record
	samples := 0
	for t.old != nil && samples < t.MaxSamples {
		if !t.old.Next() {
			t.old = nil
			break
		}
		rec, err := decodeRecord(t.old.Record())
		if err != nil || rec.seq < seq {
			continue
		}
		batch = append(batch, rec)
		samples += rec.n
	}
	return batch
}

// deliver sends records until they are taken, refused for good or too old. It returns false if ctx ended before.
func (t *target) deliver(ctx context.Context, batch []record) bool {
	var series [][]byte
	for _, r := range batch {
		if time.Since(r.time) > t.w.cfg.MaxAge {
			t.w.m.dropped.WithLabelValues(t.w.tenant, t.Name).Add(float64(r.n))
			continue
		}
		parts, err := splitSeries(r.body)
		if err != nil {
			t.w.m.damaged.Inc()
			continue
		}
		series = append(series, parts...)
	}
	oldest := batch[0].time
	if len(t.Relabel) > 0 {
		series = t.relabel(series)
	}
	for len(series) > 0 {
		n := min(len(series), max(t.MaxSamples, 1))
		if !t.sendAll(ctx, series[:n], oldest) {
			return false
		}
		series = series[n:]
	}
	return true
}

// relabel applies the target's rules.
func (t *target) relabel(series [][]byte) [][]byte {
	var out [][]byte
	b := labels.NewBuilder(labels.EmptyLabels())
	for _, request := range series {
		s, err := decodeSample(request)
		if err != nil {
			t.w.m.damaged.Inc()
			continue
		}
		b.Reset(s.Labels)
		keep := relabel.ProcessBuilder(b, t.Relabel...)
		set := b.Labels()
		if !keep || set.IsEmpty() {
			t.w.m.dropped.WithLabelValues(t.w.tenant, t.Name).Inc()
			continue
		}
		if !labels.Equal(set, s.Labels) {
			s.Labels = set
			request = appendSample(nil, &s)
		}
		out = append(out, request)
	}
	return out
}

// sendAll sends series, in halves if they are refused together.
func (t *target) sendAll(ctx context.Context, series [][]byte, oldest time.Time) bool {
	err := t.send(ctx, series, oldest)
	switch refused := (*refusal)(nil); {
	case err == nil:
		return true
	case !errors.As(err, &refused):
		return false
	case len(series) > 1 && refused.maybePart():
		half := len(series) / 2
		return t.sendAll(ctx, series[:half], oldest) && t.sendAll(ctx, series[half:], oldest)
	default:
		t.w.m.failed.WithLabelValues(t.w.tenant, t.Name).Add(float64(len(series)))
		t.w.log.Error("a receiver refused samples; they are dropped", "remote_name", t.Name, "samples", len(series), "err", err)
		return true
	}
}

// send sends one request, again and again while it fails for a passing reason. It returns a refusal, or ctx's error.
func (t *target) send(ctx context.Context, series [][]byte, oldest time.Time) error {
	body := snappy.Encode(nil, bytes.Join(series, nil))
	m, user := t.w.m, t.w.tenant
	for pause := t.MinBackoff; ; pause = min(2*pause, t.MaxBackoff) {
		start := time.Now()
		after, err := t.post(ctx, body)
		m.seconds.WithLabelValues(user, t.Name).Observe(time.Since(start).Seconds())
		m.sent.WithLabelValues(user, t.Name).Add(float64(len(series)))
		if err == nil {
			m.lastSuccess.WithLabelValues(user, t.Name).SetToCurrentTime()
			if s, err := decodeSample(series[len(series)-1]); err == nil {
				m.lastTime.WithLabelValues(user, t.Name).Set(float64(s.Time) / 1000)
			}
			if t.fails {
				t.w.log.Info("a receiver takes samples again", "remote_name", t.Name)
			}
			t.fails = false
			return nil
		}
		if refused := (*refusal)(nil); errors.As(err, &refused) || ctx.Err() != nil {
			return err
		}
		m.retried.WithLabelValues(user, t.Name).Add(float64(len(series)))
		if !t.fails {
			t.w.log.Warn("a receiver does not take samples; they are kept and tried again", "remote_name", t.Name, "err", err)
		}
		t.fails = true
		if time.Since(oldest) > t.w.cfg.MaxAge {
			return &refusal{text: "too old: " + err.Error()}
		}
		timer := time.NewTimer(max(pause, min(after, time.Minute)))
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// refusal is an answer that another try would get again.
type refusal struct {
	status int
	text   string
}

func (r *refusal) Error() string { return r.text }

// maybePart tells whether the reason may lie in a part of the request.
func (r *refusal) maybePart() bool {
	switch r.status {
	case http.StatusBadRequest, http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return true
	}
	return false
}

// post sends one request. after is how long the receiver wants to be left alone.
func (t *target) post(ctx context.Context, body []byte) (after time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, t.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.URL, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Encoding", "snappy")
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("X-Prometheus-Remote-Write-Version", "0.1.0")
	req.Header.Set("User-Agent", "logstore")
	for name, value := range t.Headers {
		req.Header.Set(name, value)
	}
	resp, err := t.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 512))
	if resp.StatusCode/100 == 2 {
		return 0, nil
	}
	msg := fmt.Sprintf("status %s: %s", resp.Status, strings.TrimSpace(string(text)))
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusRequestTimeout, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound:
		// Of the last three somebody will mend the settings, and wants the samples then.
	default:
		if resp.StatusCode/100 == 4 {
			return 0, &refusal{status: resp.StatusCode, text: msg}
		}
	}
	if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && n > 0 {
		after = time.Duration(n) * time.Second
	}
	return after, errors.New(msg)
}
