// Package querier answers queries of a tenant, or of several at once, over everything that may hold their entries: the
// ingesters' memory and the bucket.
//
// It joins sources into one (union.go), puts several tenants side by side under the label __tenant_id__ (tenants.go),
// holds a request against the tenant's limits (limits.go) and hands it to the engine (querier.go).
//
// A range query is a request of several runs of the engine (request.go). A metric query is cut at multiples of a length into
// splits of its steps; what the cache has of them, as extents, is taken from there, and each gap between is one run
// (metricrange.go, extents.go). A log query goes split by split in its direction until its limit is reached, and remembers
// splits without a line (logs.go). An instant query with a long window is cut into slices of the window, which are kept too
// (instant.go). Runs wait for their turn in a queue that serves the tenant that has used the least (queue.go). Labels, series
// and sizes of past days are kept too (remember.go). Everything kept has the digest of what members have stored in its span
// (package changes), taken before the run, and counts only while the digest is the same; what is too fresh, or old enough for
// retention, is not kept, nor what was answered while a member was missing.
//
// Of several members all are asked that live (members.go). One may fail for each copy beyond the first; a dead one has failed
// already. If more do not answer, entries may be missing: a run is then tried again until the ring has found out who is dead, and
// those that are left answer.
//
// Where there are other members, a large query is run in parts that all of them take (spread.go): its runs, and shards of the
// streams by their hash (shards.go). A member runs one part of a query at a time, in turn with its own queries, over the same data as
// anybody; a part that fails is run by another. What is cut into shards are the legs of a metric query (legs.go): what can be
// added up or compared; what stands above them is evaluated here. Parts of a rate are counts, so that their sum is exact. How many
// parts there are is decided by an estimate of the bytes to read (weight.go): a small query is one run, here. Without other members
// nothing is cut into shards, for a run of the engine uses all processors.
//
// Sources are asked in the order given, ingesters first: a chunk that is flushed in between is then seen twice, which the
// engine undoes, and never missed.
package querier
