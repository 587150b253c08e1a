// Package remotewrite sends samples to receivers by Prometheus' remote write (version 1: protobuf in snappy), and keeps what
// they have not taken yet in a write-ahead log.
//
// Nouns: a Writers has a writer for each tenant with samples; a writer has a log and any number of targets, which are
// receivers; a record is some samples that were appended together, in the form in which they are sent, with a number that
// grows by one from record to record and goes on after a restart. A target's position is the last record that it has
// taken; it is saved every second.
//
// # What is not lost
//
// A record is in the log before Append returns, so that it survives the death of the process (not the loss of power). It
// stays there until every target has taken it, at most Config.MaxAge (4 hours by default) and at most
// Config.MaxSize of a tenant. An outage of a receiver that is shorter loses nothing, even if this process dies during it.
// What a target had taken in the last second before a crash is sent again; receivers take that for what it is.
//
// Network errors, 429 and 5xx are tried again until the record is too old. Other refusals are final, but they may be about
// one sample among many: the batch is halved and sent again, until what is refused stands alone and is dropped and counted.
//
// A target that begins, because it was configured now, gets what is recorded from then on. Each target is sent to in order,
// by one request at a time: the newest records come from memory, older ones are read from the log.
//
// Locks: Writers.mu guards the table of writers, writer.mu a log and its records in memory. Appends hold writer.mu over the
// write to the log, so that records stand in it in the order of their numbers; sending holds no lock.
package remotewrite
