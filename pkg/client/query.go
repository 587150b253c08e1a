package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

// Direction of a log query.
const (
	Forward  = "forward"
	Backward = "backward"
)

// Range is a query over a time range, from Start on and before End.
type Range struct {
	Query      string
	Start, End time.Time
	// Limit bounds the entries of a log query.
	Limit     int
	Direction string
	// Step is between the points of a metric query; 0: the store chooses. Interval keeps one entry of a log query per interval.
	Step, Interval time.Duration
	// Categorize keeps metadata apart from labels, and leaves out what the query made.
	Categorize bool
}

// Kinds of results.
const (
	Streams = "streams"
	Matrix  = "matrix"
	Vector  = "vector"
	Scalar  = "scalar"
)

// Stream holds entries of one set of labels, which are the stream's own, those of metadata and those that the query made.
type Stream struct {
	Labels map[string]string `json:"stream"`
	// Values are pairs of a time in nanoseconds and a line.
	Values [][2]string `json:"values"`
}

// Entry is one line with its labels, which several entries may share.
type Entry struct {
	Timestamp int64 // nanoseconds since 1970
	Labels    map[string]string
	Line      string
	// Metadata is apart from Labels only if the query asked for that.
	Metadata map[string]string
}

// Result is the answer of a query. One of the fields of results is set, by Type.
type Result struct {
	Type    string
	Streams []Stream
	// apart are the entries of a query with Categorize.
	apart    []Entry
	Matrix   model.Matrix
	Vector   model.Vector
	Scalar   *model.Scalar
	Stats    json.RawMessage
	Warnings []string
}

// Entries returns all entries of the streams, in no order.
func (r *Result) Entries() ([]Entry, error) {
	if r.apart != nil {
		return r.apart, nil
	}
	return entriesOf(r.Streams)
}

// categorized is a stream of a query with Categorize: values have a third item.
type categorized struct {
	Labels map[string]string   `json:"stream"`
	Values [][]json.RawMessage `json:"values"`
}

func (s *categorized) entries(out []Entry) ([]Entry, error) {
	for _, v := range s.Values {
		e := Entry{Labels: s.Labels}
		var at string
		var third struct {
			Metadata map[string]string `json:"structuredMetadata"`
		}
		into := []any{&at, &e.Line, &third}
		if len(v) < 2 || len(v) > len(into) {
			return nil, fmt.Errorf("the answer has an entry of %d items", len(v))
		}
		for i := range v {
			if err := json.Unmarshal(v[i], into[i]); err != nil {
				return nil, err
			}
		}
		var err error
		if e.Timestamp, err = strconv.ParseInt(at, 10, 64); err != nil {
			return nil, fmt.Errorf("the answer has an entry whose time is %q", at)
		}
		e.Metadata = third.Metadata
		out = append(out, e)
	}
	return out, nil
}

func entriesOf(streams []Stream) ([]Entry, error) {
	n := 0
	for _, s := range streams {
		n += len(s.Values)
	}
	out := make([]Entry, 0, n)
	for _, s := range streams {
		for _, v := range s.Values {
			at, err := strconv.ParseInt(v[0], 10, 64)
			if err != nil {
				return nil, fmt.Errorf("the answer has an entry whose time is %q", v[0])
			}
			out = append(out, Entry{Timestamp: at, Labels: s.Labels, Line: v[1]})
		}
	}
	return out, nil
}

type queryAnswer struct {
	Data struct {
		ResultType string          `json:"resultType"`
		Result     json.RawMessage `json:"result"`
		Stats      json.RawMessage `json:"stats"`
	} `json:"data"`
	Warnings []string `json:"warnings"`
}

// QueryRange runs a query over a time range.
func (c *Client) QueryRange(ctx context.Context, r Range) (*Result, error) {
	v := url.Values{"query": {r.Query}, "start": {nanos(r.Start)}, "end": {nanos(r.End)}}
	if r.Limit > 0 {
		v.Set("limit", strconv.Itoa(r.Limit))
	}
	if r.Direction != "" {
		v.Set("direction", r.Direction)
	}
	if r.Step > 0 {
		v.Set("step", seconds(r.Step))
	}
	if r.Interval > 0 {
		v.Set("interval", seconds(r.Interval))
	}
	if r.Categorize {
		return c.queryApart(ctx, v)
	}
	return c.query(ctx, "/loki/api/v1/query_range", v)
}

// queryApart runs a log query whose answer has metadata apart from labels.
func (c *Client) queryApart(ctx context.Context, v url.Values) (*Result, error) {
	body, _, err := c.Do(ctx, Request{
		Method: http.MethodGet, Path: "/loki/api/v1/query_range", Query: v,
		Header: http.Header{"X-Loki-Response-Encoding-Flags": {"categorize-labels"}},
	})
	if err != nil {
		return nil, err
	}
	var a queryAnswer
	var streams []categorized
	if err = json.Unmarshal(body, &a); err == nil && a.Data.ResultType == Streams {
		err = json.Unmarshal(a.Data.Result, &streams)
	}
	r := &Result{Type: a.Data.ResultType, Stats: a.Data.Stats, Warnings: a.Warnings, apart: []Entry{}}
	for i := range streams {
		if err == nil {
			r.apart, err = streams[i].entries(r.apart)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the answer of %s: %w", c.Address(), err)
	}
	return r, nil
}

// Query runs a metric query at one instant.
func (c *Client) Query(ctx context.Context, query string, at time.Time, limit int) (*Result, error) {
	v := url.Values{"query": {query}, "time": {nanos(at)}}
	if limit > 0 {
		v.Set("limit", strconv.Itoa(limit))
	}
	return c.query(ctx, "/loki/api/v1/query", v)
}

func (c *Client) query(ctx context.Context, path string, v url.Values) (*Result, error) {
	var a queryAnswer
	if err := c.get(ctx, path, v, &a); err != nil {
		return nil, err
	}
	r := &Result{Type: a.Data.ResultType, Stats: a.Data.Stats, Warnings: a.Warnings}
	var err error
	switch r.Type {
	case Streams:
		err = json.Unmarshal(a.Data.Result, &r.Streams)
	case Matrix:
		err = json.Unmarshal(a.Data.Result, &r.Matrix)
	case Vector:
		err = json.Unmarshal(a.Data.Result, &r.Vector)
	case Scalar:
		r.Scalar = &model.Scalar{}
		err = json.Unmarshal(a.Data.Result, r.Scalar)
	default:
		err = fmt.Errorf("the type %q is unknown", r.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the answer of %s%s: %w", c.Address(), path, err)
	}
	return r, nil
}

func nanos(t time.Time) string { return strconv.FormatInt(t.UnixNano(), 10) }

func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) }

var (
	entriesLimit = regexp.MustCompile(`max_entries_limit_per_query \(\d+ > (\d+)\)`)
	lengthLimit  = regexp.MustCompile(`query time range exceeds the limit \(query length: [^,]+, limit: ([^)]+)\)`)
	pointsLimit  = regexp.MustCompile(`maximum resolution of ([0-9,]+) points`)
)

// EntriesLimit returns how many entries a query may ask for, if err says that one asked for more.
func EntriesLimit(err error) (int, bool) {
	text, ok := limitIn(entriesLimit, err)
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(text)
	return n, err == nil && n > 0
}

// LengthLimit returns how long the time range of a query may be, if err says that one was longer.
func LengthLimit(err error) (time.Duration, bool) {
	text, ok := limitIn(lengthLimit, err)
	if !ok {
		return 0, false
	}
	d, err := ParseDuration(text)
	return d, err == nil && d > 0
}

// PointsLimit returns how many steps a metric query may have, if err says that one had more.
func PointsLimit(err error) (int, bool) {
	text, ok := limitIn(pointsLimit, err)
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(strings.ReplaceAll(text, ",", ""))
	return n, err == nil && n > 0
}

func limitIn(re *regexp.Regexp, err error) (string, bool) {
	var refused *StatusError
	var ended *TailEnded
	text := ""
	switch {
	case errors.As(err, &refused) && refused.Status == http.StatusBadRequest:
		text = refused.Message
	case errors.As(err, &ended):
		text = ended.Reason
	}
	m := re.FindStringSubmatch(text)
	if m == nil {
		return "", false
	}
	return m[1], true
}

// ParseDuration reads what Go or Prometheus calls a duration: 1h30m, 1.5h, 7d, 1d12h.
func ParseDuration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err == nil {
		return d, nil
	}
	p, perr := model.ParseDuration(text)
	if perr != nil {
		return 0, fmt.Errorf("%q is no duration such as 30s, 1h30m or 7d", text)
	}
	return time.Duration(p), nil
}
