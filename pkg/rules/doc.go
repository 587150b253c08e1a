// Package rules knows rule groups: how they are written, what is wrong with them, and what an evaluation of one makes of
// its alerts and recorded series. It does no I/O and has no clock or goroutine: queries are a function that the caller
// hands in, and so is the time.
//
// Nouns: a Group is a list of Rules that are evaluated together, in order, at one interval; a rule alerts or records. A
// namespace is a named set of groups, a file in a folder of rules. An Evaluator is a group with its state: the Alerts that
// are pending or fire, the series that were recorded last. A Snapshot is that state in a form that outlives the process.
//
// The semantics are those of Prometheus' package rules, with these differences:
//   - The whole state of an alert is kept over a restart, not only since when it is pending: one that fires goes on firing
//     without being sent as new, and keep_firing_for goes on counting. Prometheus rebuilds `for` alone, from series in
//     its database, which a store of logs has not got; this is why the library is not used (it would also bring PromQL's
//     dependency analysis, Alertmanager's models and service discovery).
//   - A group of a file that does not parse leaves the file's other groups alone.
//
// Templates are expanded by Prometheus' own package, so that every function and text is the same.
//
// Locks: Evaluator.mu is a leaf. It is not held while queries run.
package rules
