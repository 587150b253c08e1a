// Package ruler evaluates rule groups on time: it finds them in a store, keeps those that this member owns running, and hands
// their alerts and recorded samples on.
//
// Nouns: a Store holds the groups of all tenants, in files or as objects of a bucket (FORMAT.md); a namespace is a named
// set of groups of a tenant; a runner is the goroutine of one group that this member owns; the state of a group is its
// alerts, which are saved to a bucket so that the next owner, or this one after a restart, goes on where it was left.
//
// # Time
//
// A group is evaluated at fixed instants: multiples of its interval plus an offset that is made of its name, so that groups
// are spread over the interval and every owner takes the same instants. An owner that begins with a group evaluates the
// instant that has just passed, and before it the instants that were missed since the last one of the old owner, as far as
// rules record: logs can be asked for the past, so that recorded series have no gap. Alerts are only made for now.
//
// # Ownership
//
// Deps.Owns tells which groups are this member's. When the answer may have changed, Ruler.Changed makes it look again. Two
// members may evaluate a group for as long as their views of the ring differ; both come to the same instants, samples and
// alerts, which receivers take for one.
//
// Caveats: the state is saved every 15 seconds, within two of a change of an alert, and at a stop; what happened to
// alerts since is done again by the next owner. A
// rule file that becomes bad leaves the groups running that it held when it was good.
//
// Locks: Ruler.mu guards the table of runners and is not held over I/O or evaluations; syncMu, above it, makes one
// synchronisation run at a time.
package ruler
