package auth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
)

// Errors of Identify and of users.
var (
	// ErrNoCredentials is returned for a request without any.
	ErrNoCredentials = errors.New("credentials are missing")
	// ErrBadCredentials is returned for credentials that are nobody's.
	ErrBadCredentials = errors.New("the credentials are not valid")
	// ErrBusy is returned when too many passwords wait to be checked.
	ErrBusy = errors.New("too many passwords are being checked")
	// ErrScope is wrapped by the error for something that the user may not do.
	ErrScope = errors.New("the credentials do not allow this")
	// ErrTenant is wrapped by the error for a tenant that is not the user's.
	ErrTenant = errors.New("the credentials do not allow the tenant")
)

// Source is where users come from.
type Source struct {
	// Name is shown in the log.
	Name string
	// Read returns the source's text, Parse the users in it.
	Read  func() ([]byte, error)
	Parse func(text []byte) ([]User, error)
	// Period is the time between two looks at the source.
	Period time.Duration
}

// Authenticator knows the users. It is safe for concurrent use.
type Authenticator struct {
	source  Source
	log     *slog.Logger
	metrics *metrics
	gate    *gate
	// failures lets the first failures of each second into the log.
	failures *rate.Limiter

	users atomic.Pointer[directory]

	reload sync.Mutex
	last   []byte // what was read before
}

// New reads the users; a bad source is an error. The Authenticator reads it again while Run runs.
func New(source Source, log *slog.Logger, reg prometheus.Registerer) (*Authenticator, error) {
	a := &Authenticator{source: source, log: log, metrics: newMetrics(reg), failures: rate.NewLimiter(1, 10)}
	a.gate = &gate{slots: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)), checks: a.metrics.checks}
	return a, a.Reload()
}

// Reload reads the source. If it is bad, the users stay as they are.
func (a *Authenticator) Reload() error {
	a.reload.Lock()
	defer a.reload.Unlock()
	err := a.load()
	if err != nil {
		a.metrics.successful.Set(0)
		return fmt.Errorf("cannot load users from %s: %w", a.source.Name, err)
	}
	a.metrics.successful.Set(1)
	return nil
}

func (a *Authenticator) load() error {
	text, err := a.source.Read()
	if err != nil {
		return err
	}
	if a.last != nil && bytes.Equal(text, a.last) {
		return nil
	}
	users, err := a.source.Parse(text)
	if err != nil {
		return err
	}
	d, err := newDirectory(users)
	if err != nil {
		return err
	}
	a.users.Store(d)
	a.last = text
	a.metrics.loaded.SetToCurrentTime()
	a.metrics.users.Set(float64(len(users)))
	a.log.Info("users loaded", "source", a.source.Name, "users", len(users))
	return nil
}

// Run reads the source each period and whenever reload is sent to, until the context ends.
func (a *Authenticator) Run(ctx context.Context, reload <-chan struct{}) error {
	ticker := time.NewTicker(a.source.Period)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		case <-reload:
		}
		if err := a.Reload(); err != nil {
			a.log.Error("users are not reloaded, the last good ones hold", "err", err)
		}
	}
}

// Identify returns the user whose credentials a request carries: those of the header Authorization, or else its client
// certificate, if that was verified.
func (a *Authenticator) Identify(r *http.Request) (*User, error) {
	u, err := a.identify(r)
	switch {
	case err == nil:
		a.metrics.requests.WithLabelValues("ok").Inc()
	case errors.Is(err, ErrNoCredentials):
		a.metrics.requests.WithLabelValues("missing").Inc()
	case errors.Is(err, ErrBusy):
		a.metrics.requests.WithLabelValues("busy").Inc()
	default:
		a.metrics.requests.WithLabelValues("bad").Inc()
		if a.failures.Allow() {
			// The name is left out: people type passwords in its place.
			a.log.Warn("a request had credentials that are nobody's", "remote", r.RemoteAddr, "path", r.URL.Path)
		}
	}
	return u, err
}

// Refused counts a request whose user may not do what it asks for.
func (a *Authenticator) Refused(err error) {
	what := "tenant"
	if errors.Is(err, ErrScope) {
		what = "scope"
	}
	a.metrics.requests.WithLabelValues("forbidden_" + what).Inc()
}

func (a *Authenticator) identify(r *http.Request) (*User, error) {
	d := a.users.Load()
	header := r.Header.Get("Authorization")
	if header == "" {
		if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
			return nil, ErrNoCredentials
		}
		if u := d.byCertificate(r.TLS.VerifiedChains[0][0]); u != nil {
			return u, nil
		}
		if len(d.certs) == 0 {
			return nil, ErrNoCredentials
		}
		return nil, ErrBadCredentials
	}
	if kind, token, ok := strings.Cut(header, " "); ok && strings.EqualFold(kind, "Bearer") {
		if u := d.byToken(strings.TrimSpace(token)); u != nil {
			return u, nil
		}
		return nil, ErrBadCredentials
	}
	name, password, ok := r.BasicAuth()
	if !ok {
		return nil, ErrBadCredentials
	}
	u, err := d.byPassword(r.Context(), name, password, a.gate)
	if err == nil && u == nil {
		err = ErrBadCredentials
	}
	return u, err
}

// maxWaiting is how many requests may wait for the check of their password.
const maxWaiting = 256

// gate bounds how many passwords are checked at a time.
type gate struct {
	slots   chan struct{}
	waiting atomic.Int32
	checks  prometheus.Counter
}

func (g *gate) enter(ctx context.Context) error {
	defer g.waiting.Add(-1)
	if g.waiting.Add(1) > maxWaiting {
		return ErrBusy
	}
	select {
	case g.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *gate) leave() { <-g.slots }
