// Package querier answers queries of a tenant, or of several at once, over everything that may hold their entries: the
// ingesters' memory and the bucket.
//
// It joins sources into one (union.go), puts several tenants side by side under the label __tenant_id__ (tenants.go),
// holds a request against the tenant's limits (limits.go) and hands it to the engine (querier.go).
//
// Sources are asked in the order given, ingesters first: a chunk that is flushed in between is then seen twice, which the
// engine undoes, and never missed.
package querier
