// Package changes tells whether anything was written into a span of time since somebody looked, so that results of
// queries can be kept and are never wrong: an entry that comes late, an hour or a year, makes what was kept before worthless.
//
// The nouns: a Log is one member's count, for each tenant and minute, of the pushes that had entries there; it has an
// epoch, a random number that is new with each start of the process. A State is what a member's Log says about an interval.
// A View is the states of all members that a query asks, and its Digest is a number for an interval that is equal only if the members are
// the same, none has started anew, and none has stored an entry of the tenant in the interval's minutes since.
//
// How it is used: the digest is taken before the query runs and kept with the result. A result is good as long as the
// digest of a fresh View is the same. A Log is touched after the entries can be read and before the push is acknowledged: a query
// that missed them has a digest from before.
//
// A member that leaves, joins or starts anew changes every digest, once: what it stored or lost unseen then does not matter.
//
// Caveats: minutes far apart in the past are folded together when there are too many of them, which changes their digests once.
//
// Locks: each tenant of a Log has a mutex, and the Log one for the tenants; they are not held together.
package changes
