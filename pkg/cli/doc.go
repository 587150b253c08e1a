// Package cli holds the commands that ask a running store: query, instant-query, tail, labels, series, stats, volume,
// volume-range, detected-fields, patterns, fmt, push and delete. They are those of logcli, with its flags and variables, and work with
// every store that speaks Loki's API.
//
// Results go to the standard output and nothing else does, so that they can be piped: `query -output=export` writes what
// `push -input=jsonl` reads. Notes, common labels, statistics and progress go to the standard error.
//
// The nouns:
//
//   - pager: fetches the entries of a log query page by page, past the store's limits for one query: too many entries, too long a
//     time range. Pages overlap by one instant; what came twice is dropped.
//   - follower: keeps a tail open. After a break it asks for what was missed, and shows each line once.
//   - partFlags: a long download, each piece of its time range in a file of its own, which goes on where it was broken off.
//   - printer: writes entries as text, raw lines or JSON.
//   - pusher: collects lines into requests and sends them.
//
// Exit codes: 0 done (something found or not), 1 it failed, 2 bad command line, 3 with -fail-if-empty and nothing found, or where
// the store refused some of the lines of a push.
package cli
