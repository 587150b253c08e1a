package shipper

import (
	"context"

	"logstore/pkg/logql"
	"logstore/pkg/schema"
)

// scope is what a lookup sees: all files, or those of this process alone.
type scope struct {
	*Shipper
	own bool
}

// Own looks up the files of this process alone: what others may not have seen in the bucket yet. It answers as the Shipper does.
type Own struct{ s *Shipper }

// Own returns the lookups over the own files.
func (s *Shipper) Own() Own { return Own{s} }

// Select returns the matching streams with their chunks, of the own files.
func (o Own) Select(ctx context.Context, tenant string, sel logql.Selection, spans []schema.Span) ([]schema.Series, error) {
	return scope{o.s, true}.Select(ctx, tenant, sel, spans)
}

// Series is Select.
func (o Own) Series(ctx context.Context, tenant string, sel logql.Selection, spans []schema.Span) ([]schema.Series, error) {
	return o.Select(ctx, tenant, sel, spans)
}

// LabelNames returns the label names of the own files' streams.
func (o Own) LabelNames(ctx context.Context, tenant string, sel logql.Selection, spans []schema.Span) ([]string, error) {
	return scope{o.s, true}.LabelNames(ctx, tenant, sel, spans)
}

// LabelValues returns the label values of the own files' streams.
func (o Own) LabelValues(ctx context.Context, tenant, name string, sel logql.Selection, spans []schema.Span) ([]string, error) {
	return scope{o.s, true}.LabelValues(ctx, tenant, name, sel, spans)
}

// Select returns the streams of a tenant that match, with the chunks that may hold entries of the interval, from the tables
// of spans. Streams ascend by id, each once; chunks ascend by time, each once. Streams without such a chunk are left out.
func (s *Shipper) Select(ctx context.Context, tenant string, sel logql.Selection, spans []schema.Span) ([]schema.Series, error) {
	return scope{s, false}.Select(ctx, tenant, sel, spans)
}

// Series is Select: a stream whose chunk begins in the last nanosecond of the interval is found.
func (s *Shipper) Series(ctx context.Context, tenant string, sel logql.Selection, spans []schema.Span) ([]schema.Series, error) {
	return s.Select(ctx, tenant, sel, spans)
}

// LabelNames returns the label names of the matching streams, sorted, each once. From schema v11 on all streams of a day
// count, but as in Loki only those that have each matcher's label, even if the matcher accepts the empty string; before, those
// that have a chunk within the interval.
func (s *Shipper) LabelNames(ctx context.Context, tenant string, sel logql.Selection, spans []schema.Span) ([]string, error) {
	return scope{s, false}.LabelNames(ctx, tenant, sel, spans)
}

// LabelValues returns the values that the matching streams have under a name, sorted, each once. All streams of a day count.
// A stream that lacks a matcher's label is left out even if the matcher accepts the empty string, as in Loki.
func (s *Shipper) LabelValues(ctx context.Context, tenant, name string, sel logql.Selection, spans []schema.Span) ([]string, error) {
	return scope{s, false}.LabelValues(ctx, tenant, name, sel, spans)
}

// ownSpans returns the spans that there are own files of.
func (s scope) ownSpans(spans []schema.Span) []schema.Span {
	local := s.local.tables()
	var out []schema.Span
	for _, span := range spans {
		if local[tableKey{span.Period, span.Day}] {
			out = append(out, span)
		}
	}
	return out
}

// Refresh lets the next lookup of each table list it anew: another member has uploaded files.
func (s *Shipper) Refresh() {
	for _, t := range s.copies.all() {
		t.mu.Lock()
		t.stale = true
		t.mu.Unlock()
	}
	for i := range s.copies.names {
		t := &s.copies.names[i]
		t.mu.Lock()
		t.stale = true
		t.mu.Unlock()
	}
}
