// Package tools holds the commands that look into a bucket, a local folder or the store's files: inspect, check,
// rebuild-index, migrate. Each is a *command.Command that cmd/logstore hangs into its tree; the work is done by package
// audit and by the packages of the formats, so that a tool and the store agree on every byte.
//
// The commands find the bucket by a configuration file, as the store does. They change nothing unless -write is given. They
// work beside a running store; its local folders are left alone.
package tools
