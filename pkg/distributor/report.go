package distributor

import (
	"time"

	"golang.org/x/time/rate"
)

// TenantUse is what a tenant pushed to this process.
type TenantUse struct {
	// Received counts the bytes of lines and metadata that were taken.
	Received int64
	// Rate is how much of the tenant's share of the ingestion rate is in use at this moment, RateLimit the share, both in
	// bytes per second. A RateLimit of 0 is no limit.
	Rate, RateLimit float64
}

// Tenants returns the use of each tenant that pushed since it was last forgotten.
func (d *Distributor) Tenants() map[string]TenantUse {
	d.tenants.mu.RLock()
	defer d.tenants.mu.RUnlock()
	now := time.Now()
	out := make(map[string]TenantUse, len(d.tenants.byID))
	for id, t := range d.tenants.byID {
		use := TenantUse{Received: counterValue(t.bytes)}
		if limit := t.limiter.Limit(); limit > 0 && limit != rate.Inf {
			// What is missing from the full bucket came in within the last moment; it refills at the rate.
			use.RateLimit = float64(limit)
			use.Rate = min(max(0, float64(t.limiter.Burst())-t.limiter.TokensAt(now)), float64(limit))
		}
		out[id] = use
	}
	return out
}
