// Package engine plans and evaluates LogQL log and metric queries over a logql.Source.
//
// The nouns: a query is one call of Run. A stream of the Source has pieces, a piece when opened has blocks, and a block is
// loaded as a whole into a chunk.Batch. The steps of a metric query are the instants at which it is evaluated; the buckets
// of a range aggregation are the spans of time between all ends of its windows, so that every window is a run of whole
// buckets. A store holds what one series has in each bucket.
//
// A log query works best first: pieces and blocks wait in a queue ordered by the best time that they may hold, and the
// query ends when nothing in the queue can be better than the worst entry of a full result. Order between blocks therefore
// needs no merge, and duplicates are dropped where entries are collected.
//
// A metric query needs no order at all. Each worker adds entries to the buckets of its own series; the workers' series are
// merged at the end, and then windows are put together of buckets. Only where blocks of one stream overlap in time are they
// read side by side, to find entries that are stored twice. An expression is evaluated column by column: a matrix has a value
// and a presence for each series and step, and an instant query is a matrix of one step.
//
// Caveats: the order of float additions varies from run to run, so sums of fractions may differ in their last digits. Which
// of several equal values topk keeps is decided by labels.
//
// Quantiles keep all samples as long as the memory that a query may hold allows it, and sketches beyond (quantile.go).
//
// A query holds no locks; its goroutines share only the account, which is atomic, and channels.
package engine
