// Package deletes keeps the requests to delete log lines: it persists and lists them, tells what state they are in, and
// hides from queries what is still to be deleted.
//
// The nouns:
//
//   - Request: a query and a span of time of one tenant. A request with line filters over a long span is cut into parts of
//     one id, which are processed one by one.
//   - table: all requests as Loki keeps them, a gzipped bbolt file of index rows, delete_requests/delete_requests.gz below
//     the index prefix. FORMAT.md has the rows. One member alone writes it, the owner of the compactor.
//   - event: a request that was made or cancelled and is not in the table yet: a small object of its own, which any member
//     may write without asking the others. The owner folds events into the table and removes them when it has read them
//     back from there. So no request is lost when two members take one at the same time, whatever the bucket can do, and
//     Loki finds all of them in its own table.
//   - Filter: a request compiled, for those who look at entries: Hide for queries, package compactor for chunks.
//   - generation: a number per tenant that grows whenever a request of the tenant is made, cancelled or processed. A cache of
//     results puts it into its keys.
//
// The life of a part: received, and processed when no line that it asks for is left in the bucket. Queries apply it from
// the moment that it is received until a while (Config.Linger) after this member has seen it processed, since lookups may
// use an index listing that is that old.
//
// Caveats: another member's request is seen at the next poll (Config.PollInterval). Hide applies to entries: labels, series
// and index statistics still know streams whose lines are all hidden.
//
// Lock order: refreshing (one at a time) is outside of mu; mu guards the snapshot alone and is not held over I/O.
package deletes
