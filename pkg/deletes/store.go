package deletes

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"logstore/pkg/failpoint"
	"logstore/pkg/limits"
	"logstore/pkg/objstore"
)

// Errors of requests. The HTTP API maps them to status codes; the text of ErrInvalid's follows it.
var (
	ErrNotFound = errors.New("could not find delete request with given id")
	ErrInvalid  = errors.New("")
	ErrDisabled = errors.New("deletion is not available for this tenant")
	// ErrStarted refuses to cancel what may have begun, unless it is forced.
	ErrStarted = errors.New("the delete request is past its cancel period or was begun; force=true cancels what is left of it")
)

var (
	pointAdded  = failpoint.New("deletes/added", "a new delete request is in the bucket, its client has no answer yet")
	pointTable  = failpoint.New("deletes/table", "the table of delete requests was written, the events that it took up are still there")
	pointFolded = failpoint.New("deletes/folded", "some of the events that the table took up are removed")
)

// Config holds the settings of compactor.delete_*.
type Config struct {
	// KeyPrefix stands before delete_requests/ in the table's key.
	KeyPrefix string
	// Directory takes temporary files.
	Directory string
	// CancelPeriod is how long a request waits before it is processed.
	CancelPeriod time.Duration
	// MaxInterval is the longest part of a request with line filters; 0 cuts nothing.
	MaxInterval time.Duration
	// PollInterval is how often requests of other members are looked for.
	PollInterval time.Duration
	// Linger is how long a request is still applied to queries after it was seen processed: as long as lookups may use an
	// index from before.
	Linger time.Duration
}

// DefaultConfig holds Loki's defaults where Loki has the setting.
var DefaultConfig = Config{
	KeyPrefix: "index/", Directory: "compactor/deletes", CancelPeriod: 24 * time.Hour, MaxInterval: 24 * time.Hour,
	PollInterval: 10 * time.Second, Linger: 10 * time.Minute,
}

// Validate reports the first setting that cannot work.
func (c *Config) Validate() error {
	switch {
	case c.Directory == "":
		return errors.New("compactor.working_directory is empty")
	case c.CancelPeriod < 0 || c.MaxInterval < 0 || c.Linger < 0:
		return errors.New("compactor.delete_request_cancel_period and delete_max_interval must not be negative")
	case c.PollInterval <= 0:
		return errors.New("the interval at which delete requests are looked for must be above zero")
	}
	return nil
}

// Deps are what a Store works with.
type Deps struct {
	Bucket     objstore.Bucket
	Limits     *limits.Overrides
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Store holds all requests. It is safe for concurrent use.
type Store struct {
	cfg     Config
	bucket  objstore.Bucket
	limits  *limits.Overrides
	logger  *slog.Logger
	metrics *metrics
	now     func() time.Time

	// refreshing holds a value while the bucket is read or written.
	refreshing chan struct{}
	// Guarded by refreshing: the table as it was last read, and the events by key.
	object []byte
	stored *table
	events map[string]*event

	mu sync.Mutex
	// current is the table with the events applied. It is replaced, never changed.
	current *table
	// processed is when a part that was waiting before was first seen processed.
	processed map[string]time.Time
	compiled  map[string]*Filter
}

// New returns a store that has read nothing yet.
func New(cfg Config, deps Deps) (*Store, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Store{
		cfg: cfg, bucket: deps.Bucket, limits: deps.Limits, logger: deps.Logger, metrics: newMetrics(deps.Registerer), now: deps.Now,
		refreshing: make(chan struct{}, 1), stored: newTable(), events: map[string]*event{}, current: newTable(),
		processed: map[string]time.Time{}, compiled: map[string]*Filter{},
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	return s, nil
}

// Run looks for requests of other members until the context ends.
func (s *Store) Run(ctx context.Context) error {
	ticker := time.NewTicker(s.cfg.PollInterval)
	defer ticker.Stop()
	for {
		if err := s.Refresh(ctx); err != nil && ctx.Err() == nil {
			s.metrics.failures.Inc()
			s.logger.Warn("cannot read the delete requests; those known are applied", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// Refresh reads the requests of all members.
func (s *Store) Refresh(ctx context.Context) error {
	release, err := s.turn(ctx)
	if err != nil {
		return err
	}
	defer release()
	return s.refresh(ctx)
}

// turn waits until nobody else reads or writes the bucket.
func (s *Store) turn(ctx context.Context) (release func(), err error) {
	select {
	case s.refreshing <- struct{}{}:
		return func() { <-s.refreshing }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *Store) tableKey() string { return s.cfg.KeyPrefix + "delete_requests/delete_requests.gz" }

// refresh reads the events and then the table: an event goes only when the table has it.
func (s *Store) refresh(ctx context.Context) error {
	events, err := readEvents(ctx, s.bucket, s.events)
	if err != nil {
		return fmt.Errorf("cannot read delete requests: %w", err)
	}
	stored, object, err := s.readTable(ctx)
	if err != nil {
		return err
	}
	s.events, s.stored, s.object = events, stored, object
	s.show()
	return nil
}

func (s *Store) readTable(ctx context.Context) (*table, []byte, error) {
	object, err := s.bucket.Get(ctx, s.tableKey())
	if errors.Is(err, objstore.ErrNotFound) {
		return newTable(), nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read delete requests: %w", err)
	}
	if s.object != nil && bytes.Equal(object, s.object) {
		return s.stored, s.object, nil
	}
	t, err := decodeTable(s.cfg.Directory, object)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read delete requests %s: %w", s.tableKey(), err)
	}
	return t, object, nil
}

// folded returns the table with the events applied, adds before cancels: a cancel may come only after its add.
func (s *Store) folded() *table {
	t := s.stored.clone()
	for _, cancels := range []bool{false, true} {
		for _, key := range slices.Sorted(maps.Keys(s.events)) {
			if e := s.events[key]; e.cancel == cancels {
				t.apply(e)
			}
		}
	}
	return t
}

// show makes what was read the current state.
func (s *Store) show() {
	next := s.folded()
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, p := range next.parts {
		if before, ok := s.current.parts[name]; ok && before.State != Processed && p.State == Processed {
			s.processed[name] = now
		}
	}
	for name, at := range s.processed {
		if _, ok := next.parts[name]; !ok || now.Sub(at) > s.cfg.Linger {
			delete(s.processed, name)
		}
	}
	for name := range s.compiled {
		if _, ok := next.parts[name]; !ok {
			delete(s.compiled, name)
		}
	}
	s.current = next
	s.observeLocked(now)
}

// Requests returns the requests of a tenant, or of all tenants for "", in the order of their creation.
func (s *Store) Requests(tenant string) []Request {
	s.mu.Lock()
	current := s.current
	s.mu.Unlock()
	return slices.DeleteFunc(current.requests(), func(r Request) bool { return tenant != "" && r.Tenant != tenant })
}

// Generation returns a tenant's number: it differs from what it was before whenever a request of the tenant was made, cancelled
// or processed.
func (s *Store) Generation(tenant string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := s.current.generations[tenant]; g > 0 {
		return strconv.FormatInt(g, 10)
	}
	return ""
}

// Filters returns what queries of a tenant must not show: all parts that are not processed, and for a while those that are.
func (s *Store) Filters(tenant string) []*Filter {
	if s.limits.For(tenant).DeletionMode == limits.DeletionDisabled {
		return nil
	}
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*Filter
	for name, p := range s.current.parts {
		if p.Tenant != tenant {
			continue
		}
		if p.State == Processed {
			if at, ok := s.processed[name]; !ok || now.Sub(at) > s.cfg.Linger {
				continue
			}
		}
		if f := s.compileLocked(name, p); f != nil {
			out = append(out, f)
		}
	}
	return out
}

// compileLocked returns a part's filter. A query that we cannot read is another version's; it is logged once.
func (s *Store) compileLocked(name string, p Part) *Filter {
	if f, ok := s.compiled[name]; ok {
		return f
	}
	f, err := NewFilter(p)
	if err != nil {
		s.logger.Error("a delete request cannot be applied", "tenant", p.Tenant, "request", name, "err", err)
		f = nil
	}
	s.compiled[name] = f
	return f
}

// Due returns the filters of the parts that are to be processed now, oldest first, of at most limit requests (0: all).
func (s *Store) Due(limit int) []*Filter {
	latest := s.now().Add(-s.cfg.CancelPeriod).UnixMilli()
	var out []*Filter
	count := 0
	for _, r := range s.Requests("") {
		if r.Created > latest || r.Status() == Processed || s.limits.For(r.Tenant).DeletionMode != limits.DeletionFilterAndDelete {
			continue
		}
		if count++; limit > 0 && count > limit {
			break
		}
		s.mu.Lock()
		for i := range r.Parts {
			if p := r.Parts[i]; p.State != Processed {
				if f := s.compileLocked(p.Name(), p); f != nil {
					out = append(out, f)
				}
			}
		}
		s.mu.Unlock()
	}
	return out
}

// NextDue returns when the next request comes to be processed; ok is false if none waits for that.
func (s *Store) NextDue() (at time.Time, ok bool) {
	for _, r := range s.Requests("") {
		if r.Status() == Processed || s.limits.For(r.Tenant).DeletionMode != limits.DeletionFilterAndDelete {
			continue
		}
		due := time.UnixMilli(r.Created).Add(s.cfg.CancelPeriod)
		if !ok || due.Before(at) {
			at, ok = due, true
		}
	}
	return at, ok
}
