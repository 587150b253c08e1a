package distributor

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"logstore/pkg/limits"
	"logstore/pkg/wire"
)

const (
	// idleTenant is after how long a tenant that pushes nothing may be forgotten; tenantsBeforeSweep how many are kept
	// without looking for such.
	idleTenant         = time.Hour
	tenantsBeforeSweep = 1000
)

// tenantState is what a distributor keeps of one tenant.
type tenantState struct {
	id           string
	limiter      *rate.Limiter
	bytes, lines prometheus.Counter
	// used is when the tenant last pushed, in nanoseconds.
	used atomic.Int64

	mu sync.RWMutex
	// limits, fields and policies are those that the infos were made under.
	limits   *limits.Limits
	fields   *levelFields
	policies []policyRule
	// recent and older are two generations of infos by the text in which a client wrote the labels. A look-up in older
	// moves the info to recent; when recent is full or old, it becomes older.
	recent, older map[string]*streamInfo
	rotated       time.Time
}

// tenants are the tenants of a distributor by id.
type tenants struct {
	mu   sync.RWMutex
	byID map[string]*tenantState
}

func (d *Distributor) tenantState(id string, lim *limits.Limits, now time.Time) *tenantState {
	d.tenants.mu.RLock()
	t := d.tenants.byID[id]
	d.tenants.mu.RUnlock()
	if t == nil {
		t = d.addTenant(id, lim, now)
	}
	t.used.Store(now.UnixNano())
	return t
}

func (d *Distributor) addTenant(id string, lim *limits.Limits, now time.Time) *tenantState {
	d.tenants.mu.Lock()
	defer d.tenants.mu.Unlock()
	if t := d.tenants.byID[id]; t != nil {
		return t
	}
	if len(d.tenants.byID) >= tenantsBeforeSweep {
		d.sweepLocked(now)
	}
	id = strings.Clone(id)
	perSecond, burst := ingestionRate(lim, d.members.Healthy())
	t := &tenantState{
		id:      id,
		limiter: rate.NewLimiter(rate.Limit(perSecond), burst),
		bytes:   d.metrics.bytes.WithLabelValues(id),
		lines:   d.metrics.lines.WithLabelValues(id),
	}
	t.used.Store(now.UnixNano())
	d.tenants.byID[id] = t
	return t
}

func (d *Distributor) sweepLocked(now time.Time) {
	for id, t := range d.tenants.byID {
		if now.UnixNano()-t.used.Load() > int64(idleTenant) {
			delete(d.tenants.byID, id)
			d.metrics.forget(id)
		}
	}
}

// find fills infos with those of the streams. An error refuses the request.
func (d *Distributor) find(t *tenantState, lim *limits.Limits, streams []wire.PushStream, infos []*streamInfo, now time.Time) ([]*streamInfo, *levelFields, error) {
	missing := 0
	t.mu.RLock()
	fresh, fields := t.limits == lim && now.Sub(t.rotated) < d.cfg.CachedStreamAge, t.fields
	for i := range streams {
		info := t.recent[streams[i].Labels]
		if !fresh {
			info = nil
		}
		if info == nil {
			missing++
		}
		infos = append(infos, info)
	}
	t.mu.RUnlock()
	d.metrics.cachedStreamHits.Add(float64(len(streams) - missing))
	if missing == 0 {
		return infos, fields, nil
	}
	fields, err := d.parse(t, lim, streams, infos, now)
	return infos, fields, err
}

// parse fills what find did not find.
func (d *Distributor) parse(t *tenantState, lim *limits.Limits, streams []wire.PushStream, infos []*streamInfo, now time.Time) (*levelFields, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.limits != lim {
		// What is known of a stream depends on the limits: all is new.
		t.limits, t.fields, t.recent, t.older = lim, newLevelFields(lim), nil, nil
		var bad []error
		t.policies, bad = policyRules(lim)
		for _, err := range bad {
			d.log.Warn("a selector of policy_stream_mapping has no effect", "tenant", t.id, "err", err)
		}
	}
	parsed := 0
	for i := range streams {
		if infos[i] != nil {
			continue
		}
		d.rotateLocked(t, now)
		raw := streams[i].Labels
		info := t.recent[raw]
		if info == nil {
			info = t.older[raw]
			if info == nil {
				parsed++
				var err error
				if info, err = newStreamInfo(raw, t.id, lim, t.fields, t.policies); err != nil {
					return nil, err
				}
			}
			key := info.text
			if key != raw {
				key = strings.Clone(raw)
			}
			t.recent[key] = info
		}
		infos[i] = info
	}
	d.metrics.parsedLabelSet.Add(float64(parsed))
	return t.fields, nil
}

func (d *Distributor) rotateLocked(t *tenantState, now time.Time) {
	if t.recent != nil && len(t.recent) < d.cfg.CachedStreams && now.Sub(t.rotated) < d.cfg.CachedStreamAge {
		return
	}
	t.older, t.recent, t.rotated = t.recent, make(map[string]*streamInfo), now
}

// ingestionRate returns the tenant's rate in bytes per second on this member, 0 for no limit, and its burst in bytes.
func ingestionRate(lim *limits.Limits, members int) (perSecond float64, burst int) {
	const mib = 1 << 20
	perSecond, burst = lim.IngestionRateMB*mib, int(lim.IngestionBurstSizeMB*mib)
	if lim.IngestionRateStrategy == limits.RateGlobal && members > 1 {
		perSecond /= float64(members)
	}
	return perSecond, burst
}

// allow takes the bytes of a push from the tenant's ingestion rate. If they are too many it returns the limit in bytes
// per second and the time after which it is worth to try again.
func (t *tenantState) allow(lim *limits.Limits, members, bytes int, now time.Time) (ok bool, limit int, wait time.Duration) {
	perSecond, burst := ingestionRate(lim, members)
	if perSecond <= 0 {
		return true, 0, 0
	}
	if t.limiter.Limit() != rate.Limit(perSecond) {
		t.limiter.SetLimitAt(now, rate.Limit(perSecond))
	}
	if t.limiter.Burst() != burst {
		t.limiter.SetBurstAt(now, burst)
	}
	if t.limiter.AllowN(now, bytes) {
		return true, 0, 0
	}
	lack := float64(bytes) - t.limiter.TokensAt(now)
	wait = time.Duration(lack / perSecond * float64(time.Second))
	return false, int(perSecond), min(max(wait, time.Second), maxRetryAfter)
}
