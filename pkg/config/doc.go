// Package config turns Loki's command line and YAML into one typed Config. It is the door for YAML and flags.
//
// Nouns: a key is a dotted path of the file (server.http_listen_port); a block is a key with keys beneath it; a flag stands
// for a key on the command line; a Setup is a Config with what else the command line asked for.
//
// Every key of Loki 2.2 to 3.7 is known (keys.txt) and is one of three things. It has a field in Config: it has an
// effect, unless nobody reads the field yet (unread.txt). It has none: it is accepted and named in Setup.NoEffect, which is
// logged in one line. Or its value is refused (refuse.go,
// schema.go), since going on would lose, hide or mix data: foreign index and object stores, rings in Consul or etcd, delete
// requests in SQLite, pushes through Kafka, targets other than all. A key that nobody knows is an error.
//
// The order of things: defaults (default... beside each struct), then the file over them, then the flags, then derive.go
// spreads `common` and keys of old releases over keys that were not set themselves, then everything is validated. All mistakes
// are reported at once, each with file, line, column and key.
//
// Defaults are Loki 3.7's, except (a test holds the list):
//   - Without a file and flags the store runs by itself: schema v13 with boltdb-shipper in a folder, no authentication, files under ./data.
//     With a file, auth_enabled is true unless it says otherwise, as in Loki.
//   - common.path_prefix is ./data, and what Loki leaves empty lies below it.
//   - replication_factor is 1 with a ring in memory; with gossip it is Loki's 3.
//   - ingester.chunk_encoding is zstd instead of gzip: smaller and faster to read. Loki reads it.
//   - ruler.storage.type is filesystem, a folder that the API may write to; Loki's local may only be read.
//   - embedded caches are on where there is no Redis.
//
// Caveats: with -config.expand-env variables are replaced in the text, before YAML is read, as in Loki: a value with a line break or
// a leading quotation mark can change the meaning of what follows. A key without a value keeps its default. Secrets are
// never part of an error, a warning or of WriteYAML's output: a field that holds one has the tag option `secret` or `url`.
package config
