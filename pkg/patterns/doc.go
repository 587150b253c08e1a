// Package patterns finds the templates of a stream's lines while they come in, and counts how often each occurs.
//
// A Miner belongs to one stream. It cuts a line into tokens, takes tokens with digits for variables at once, and joins the
// line to the most similar template of the same length whose first words agree; where they differ the template gets a
// wildcard, printed <_>. That is Drain (He, Zhu, Zheng, Lyu: "Drain: An Online Log Parsing Approach with Fixed Depth Tree",
// ICWS 2017), with a bounded number of templates: the one unused for longest makes room.
//
// Counts are kept per step of ten seconds and forgotten after Config.Keep. A Miner is not safe for concurrent use; a Store
// has one for each stream and is. Lock order: the store's, then a stream's.
package patterns
