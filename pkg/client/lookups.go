package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Span is the time range of a look-up, from Start on and before End.
type Span struct{ Start, End time.Time }

func (s Span) values() url.Values {
	return url.Values{"start": {nanos(s.Start)}, "end": {nanos(s.End)}}
}

// Labels returns the names of labels, sorted; query may be a selector whose streams are looked at, or empty.
func (c *Client) Labels(ctx context.Context, query string, span Span) ([]string, error) {
	return c.list(ctx, "/loki/api/v1/labels", query, span)
}

// LabelValues returns the values of a label, sorted.
func (c *Client) LabelValues(ctx context.Context, name, query string, span Span) ([]string, error) {
	return c.list(ctx, "/loki/api/v1/label/"+url.PathEscape(name)+"/values", query, span)
}

func (c *Client) list(ctx context.Context, path, query string, span Span) ([]string, error) {
	v := span.values()
	if query != "" {
		v.Set("query", query)
	}
	var a struct{ Data []string }
	err := c.get(ctx, path, v, &a)
	return a.Data, err
}

// Series returns the label sets of the streams that any of the selectors matches.
func (c *Client) Series(ctx context.Context, selectors []string, span Span) ([]map[string]string, error) {
	v := span.values()
	v["match[]"] = selectors
	var a struct{ Data []map[string]string }
	err := c.get(ctx, "/loki/api/v1/series", v, &a)
	return a.Data, err
}

// IndexStats is what the index knows of a selector's streams.
type IndexStats struct {
	Streams int64 `json:"streams"`
	Chunks  int64 `json:"chunks"`
	Bytes   int64 `json:"bytes"`
	Entries int64 `json:"entries"`
}

// Stats returns what the index knows of a selector's streams.
func (c *Client) Stats(ctx context.Context, query string, span Span) (IndexStats, error) {
	v := span.values()
	v.Set("query", query)
	var a IndexStats
	err := c.get(ctx, "/loki/api/v1/index/stats", v, &a)
	return a, err
}

// VolumeRequest asks how many bytes there are by series or by label.
type VolumeRequest struct {
	Query string
	Span
	Limit        int
	TargetLabels []string
	// ByLabels counts by the names of labels instead of by series.
	ByLabels bool
	// Step makes a series of points; 0: one for the whole range.
	Step time.Duration
}

// Volume returns bytes, as a vector or a matrix.
func (c *Client) Volume(ctx context.Context, r VolumeRequest) (*Result, error) {
	v := r.values()
	v.Set("query", r.Query)
	if r.Limit > 0 {
		v.Set("limit", strconv.Itoa(r.Limit))
	}
	if len(r.TargetLabels) > 0 {
		v.Set("targetLabels", strings.Join(r.TargetLabels, ","))
	}
	if r.ByLabels {
		v.Set("aggregateBy", "labels")
	}
	path := "/loki/api/v1/index/volume"
	if r.Step > 0 {
		path += "_range"
		v.Set("step", seconds(r.Step))
	}
	return c.query(ctx, path, v)
}

// Field is a field that was found in lines.
type Field struct {
	Label       string   `json:"label"`
	Type        string   `json:"type"`
	Cardinality int      `json:"cardinality"`
	Parsers     []string `json:"parsers"`
}

// DetectedFields returns the fields in the newest lineLimit lines of a query, at most limit of them.
func (c *Client) DetectedFields(ctx context.Context, query string, span Span, limit, lineLimit int) ([]Field, error) {
	var a struct{ Fields []Field }
	err := c.get(ctx, "/loki/api/v1/detected_fields", fieldValues(query, span, limit, lineLimit), &a)
	return a.Fields, err
}

// DetectedFieldValues returns the values of a field in the newest lineLimit lines of a query, at most limit of them.
func (c *Client) DetectedFieldValues(ctx context.Context, name, query string, span Span, limit, lineLimit int) ([]string, error) {
	var a struct{ Values []string }
	err := c.get(ctx, "/loki/api/v1/detected_field/"+url.PathEscape(name)+"/values", fieldValues(query, span, limit, lineLimit), &a)
	return a.Values, err
}

func fieldValues(query string, span Span, limit, lineLimit int) url.Values {
	v := span.values()
	v.Set("query", query)
	v.Set("limit", strconv.Itoa(limit))
	v.Set("line_limit", strconv.Itoa(lineLimit))
	return v
}

// Pattern is a template that lines have in common.
type Pattern struct {
	Pattern string `json:"pattern"`
	Level   string `json:"level,omitempty"`
	// Samples are pairs of a time in seconds and how many lines there were in the step that begins then.
	Samples [][2]int64 `json:"samples"`
}

// Patterns returns the templates of a selector's lines.
func (c *Client) Patterns(ctx context.Context, query string, span Span, step time.Duration) ([]Pattern, error) {
	v := span.values()
	v.Set("query", query)
	if step > 0 {
		v.Set("step", seconds(step))
	}
	var a struct{ Data []Pattern }
	err := c.get(ctx, "/loki/api/v1/patterns", v, &a)
	return a.Data, err
}

// FormatQuery returns a query as the store writes it.
func (c *Client) FormatQuery(ctx context.Context, query string) (string, error) {
	var a struct{ Data string }
	err := c.get(ctx, "/loki/api/v1/format_query", url.Values{"query": {query}}, &a)
	return a.Data, err
}

// Delete is a request to remove lines.
type Delete struct {
	ID        string  `json:"request_id"`
	StartTime float64 `json:"start_time"` // seconds, as all times here
	EndTime   float64 `json:"end_time"`
	Query     string  `json:"query"`
	Status    string  `json:"status"`
	CreatedAt float64 `json:"created_at"`
}

const deletePath = "/loki/api/v1/delete"

// Deletes lists the delete requests, oldest first.
func (c *Client) Deletes(ctx context.Context) ([]Delete, error) {
	var list []Delete
	err := c.get(ctx, deletePath, nil, &list)
	return list, err
}

// CreateDelete asks to remove the lines of a query and returns the request's id, or "" where the store tells none. maxInterval
// splits a request with line filters; 0: as the store likes.
func (c *Client) CreateDelete(ctx context.Context, query string, span Span, maxInterval time.Duration) (string, error) {
	v := url.Values{"query": {query}, "start": {unix(span.Start)}, "end": {unix(span.End)}}
	if maxInterval > 0 {
		v.Set("max_interval", maxInterval.String())
	}
	_, h, err := c.Do(ctx, Request{Method: http.MethodPost, Path: deletePath, Query: v})
	return h.Get("X-Delete-Request-ID"), err
}

// CancelDelete takes a request back; force does so though a part of it may be done.
func (c *Client) CancelDelete(ctx context.Context, id string, force bool) error {
	v := url.Values{"request_id": {id}}
	if force {
		v.Set("force", "true")
	}
	_, _, err := c.Do(ctx, Request{Method: http.MethodDelete, Path: deletePath, Query: v})
	return err
}

func unix(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }
