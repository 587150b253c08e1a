// Package conformance replays recorded requests against a running store and compares the answers with those of
// Grafana Loki 3.7.6. The cases and the lines they ask for stand in integration/testdata/conformance.
//
// A case is one JSON object a line. Answers are compared by their meaning: streams and series as sets, the entries of a
// stream in their order, numbers with a relative tolerance. Only the presence of __error_details__ counts.
package conformance
