// Package lokibuckets opens the buckets in integration/testdata/loki-buckets: buckets that Grafana Loki wrote, with the
// configuration that it ran on and the answers that it gave from them. README.md beside the archives describes the cases.
//
// A Case belongs to its test: it is unpacked into the test's own folder, since a store that runs on a bucket changes it.
package lokibuckets
