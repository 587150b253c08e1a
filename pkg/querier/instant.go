package querier

import "logstore/pkg/logql/engine"

// instant evaluates a metric query at one time.
func (r *request) instant() (engine.Result, error) {
	r.stats.Splits = 1
	return r.run(r.ctx, r.p, r.engine)
}
