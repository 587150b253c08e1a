// Package objstore stores immutable objects under slash-separated keys: in S3, in a folder, in memory.
//
// A Bucket is the store. Filesystem, Memory and the client that NewS3 builds are its implementations; all of them
// pass objstoretest.AcceptanceTest, and Memory is the test double. What a bucket can do besides is a decorator around
// it: Prefixed puts a prefix before each key, Spread deals objects out to several buckets, Retried repeats what failed
// for a passing reason, Limited bounds the requests under way, Metered counts and times them. NewS3 applies those that
// an S3 store needs, in the order metered, limited, retried, spread.
//
// Caveats:
//   - On a folder, and on S3 servers that keep plain files, a key cannot be both an object and a parent of others
//     ("a/b" and "a/b/c"), and a name between two slashes has at most 255 bytes.
//   - Filesystem does not wait for the disk unless told to; Sync(ctx, bucket) does that for all earlier writes at once.
//   - A reader from GetReader holds one of Limited's places until it is closed. Close it before asking for more.
//   - The S3 client stores a checksum and the length of each object as user metadata and checks them when reading, since a
//     proxy or a server that announces too short a length cannot be caught otherwise. Objects without it are read as well.
//
// Locks: Memory's mutex and those of the pacer and the metrics are leaves; none is held over I/O or over a callback.
package objstore
