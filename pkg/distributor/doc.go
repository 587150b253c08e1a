// Package distributor takes decoded pushes: it checks them against the tenant's limits, completes them (service_name,
// detected_level), and hands the good streams to the ingesters.
//
// Nouns: a stream's info is what is known of a label set, kept by the text in which clients write it, so that labels are
// parsed once per new stream; a problem is a reason for which entries were refused, with a count and the first one's text.
//
// Partial success: every stream and every entry is judged by itself. The good ones are stored and the answer still is a
// PushError that names the reasons, once. Only unparsable labels, the ingestion rate and blocked ingestion refuse a whole
// request.
//
// Copies. Among several members a stream goes to its replica set (write.go): a member that fails is replaced by the next one of the
// ring, one that is slow is joined by it. Fewer copies than the replication factor says, but at least one, are stored when there are no
// more members that take them, and counted as degraded.
//
// Caveats. Push works in place: it sorts metadata, cuts long lines and removes refused entries in the request given,
// which must not be released or read by others before it returns. The hot path takes one read lock per request and
// allocates nothing per entry.
//
// Lock order: the map of tenants before a tenant's streams. No lock is held while an ingester is called.
package distributor
