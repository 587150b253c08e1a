package api

import (
	"net/http"
	"strings"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/logql/engine"
	"logstore/pkg/logql/syntax"
	"logstore/pkg/model"
	"logstore/pkg/querier"
)

const defaultVolumeLimit = 100

// indexStats answers how much a selector matches, as a bare object.
func (a *API) indexStats(w http.ResponseWriter, r *http.Request) error {
	interval, err := a.interval(r)
	if err != nil {
		return err
	}
	matchers, err := syntax.ParseSelector(r.Form.Get("query"))
	if err != nil {
		return err
	}
	stats, err := a.deps.Querier.IndexStats(r.Context(), matchers, interval)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, stats)
}

// volumeRequest reads the parameters that both volume endpoints have.
func (a *API) volumeRequest(r *http.Request) (v querier.VolumeRequest, end int64, err error) {
	start, end, err := a.bounds(r)
	if err != nil {
		return v, 0, err
	}
	v.Interval = model.Interval{Start: start, End: max(end, start+1)}
	if text := r.Form.Get("query"); text != "{}" {
		if v.Matchers, err = syntax.ParseSelector(text); err != nil {
			return v, 0, err
		}
	}
	if v.Limit, err = intParam(r, "limit", defaultVolumeLimit); err != nil {
		return v, 0, err
	}
	switch {
	case v.Limit < 0:
		return v, 0, badRequest("limit must be a positive value")
	case v.Limit == 0:
		v.Limit = defaultVolumeLimit
	}
	for name := range strings.SplitSeq(r.Form.Get("targetLabels"), ",") {
		if name = strings.TrimSpace(name); name != "" {
			v.TargetLabels = append(v.TargetLabels, name)
		}
	}
	switch r.Form.Get("aggregateBy") {
	case "", "series":
	case "labels":
		v.ByLabel = true
	default:
		return v, 0, badRequest("invalid aggregation option")
	}
	return v, end, nil
}

// volume answers with a vector at the end, the largest first.
func (a *API) volume(w http.ResponseWriter, r *http.Request) error {
	v, end, err := a.volumeRequest(r)
	if err != nil {
		return err
	}
	volumes, err := a.deps.Querier.Volume(r.Context(), v)
	if err != nil {
		return err
	}
	return writeVolumes(w, volumes, []int64{end / 1e6})
}

// volumeRange answers with a matrix. A point stands at its step's end, a millisecond before it but for the last.
func (a *API) volumeRange(w http.ResponseWriter, r *http.Request) error {
	v, end, err := a.volumeRequest(r)
	if err != nil {
		return err
	}
	step, err := stepParam(r, v.Interval.Start, end)
	if err != nil {
		return err
	}
	v.Step = int64(step)
	volumes, err := a.deps.Querier.Volume(r.Context(), v)
	if err != nil {
		return err
	}
	var stamps []int64
	for at := v.Interval.Start + v.Step; at < end; at += v.Step {
		stamps = append(stamps, at/1e6-1)
	}
	return writeVolumes(w, volumes, append(stamps, end/1e6))
}

func writeVolumes(w http.ResponseWriter, volumes []querier.Volume, stamps []int64) error {
	if len(stamps) == 1 {
		vector := engine.Vector{}
		for _, v := range volumes {
			vector = append(vector, engine.Series{Labels: v.Labels, Points: []engine.Point{{T: stamps[0], V: float64(v.Total())}}})
		}
		return writeResult(w, engine.Result{Value: vector}, nil, false)
	}
	matrix := engine.Matrix{}
	for _, v := range volumes {
		s := engine.Series{Labels: v.Labels}
		for i, n := range v.Bytes {
			if n > 0 {
				s.Points = append(s.Points, engine.Point{T: stamps[min(i, len(stamps)-1)], V: float64(n)})
			}
		}
		matrix = append(matrix, s)
	}
	return writeResult(w, engine.Result{Value: matrix}, nil, false)
}

// shardBounds are the fingerprints of a shard.
type shardBounds struct {
	Min uint64 `json:"min"`
	Max uint64 `json:"max"`
}

// maxShards bounds the parts of a query, however small the client wants them.
const maxShards = 1024

// indexShards proposes how to divide a query: fingerprints in equal parts, as many as the bytes want.
func (a *API) indexShards(w http.ResponseWriter, r *http.Request) error {
	interval, err := a.interval(r)
	if err != nil {
		return err
	}
	query, err := syntax.ParseLog(r.Form.Get("query"))
	if err != nil {
		return err
	}
	target, err := syntax.ParseBytes(r.Form.Get("targetBytesPerShard"))
	if err != nil || target == 0 {
		return badRequest("targetBytesPerShard must be a positive value")
	}
	stats, err := a.deps.Querier.IndexStats(r.Context(), query.Matchers, interval)
	if err != nil {
		return err
	}
	n := min(maxShards, max(1, (uint64(stats.Bytes)+target-1)/target))
	type shard struct {
		Bounds shardBounds        `json:"bounds"`
		Stats  querier.IndexStats `json:"stats"`
	}
	shards := make([]shard, n)
	width := ^uint64(0)/n + 1
	for i := range shards {
		shards[i].Bounds.Min = uint64(i) * width
		shards[i].Bounds.Max = uint64(i+1)*width - 1
		if uint64(i) == n-1 {
			shards[i].Bounds.Max = ^uint64(0)
		}
		shards[i].Stats = querier.IndexStats{
			Streams: stats.Streams / int64(n), Chunks: stats.Chunks / int64(n), Bytes: stats.Bytes / int64(n), Entries: stats.Entries / int64(n),
		}
	}
	return writeJSON(w, http.StatusOK, map[string]any{"shards": shards, "statistics": map[string]any{}})
}

// patterns answers with the templates of lines, in seconds.
func (a *API) patterns(w http.ResponseWriter, r *http.Request) error {
	start, end, err := a.bounds(r)
	if err != nil {
		return err
	}
	step, err := stepParam(r, start, end)
	if err != nil {
		return err
	}
	var matchers []*labels.Matcher
	if matchers, err = syntax.ParseSelector(r.Form.Get("query")); err != nil {
		return err
	}
	type item struct {
		Pattern string     `json:"pattern"`
		Level   string     `json:"level,omitempty"`
		Samples [][2]int64 `json:"samples"`
	}
	data := []item{}
	if a.deps.Patterns != nil {
		found, err := a.deps.Patterns(r.Context(), matchers, start, end, int64(step))
		if err != nil {
			return err
		}
		for _, p := range found {
			it := item{Pattern: p.Text, Level: p.Level}
			for _, s := range p.Samples {
				it.Samples = append(it.Samples, [2]int64{s.T / 1e9, s.Count})
			}
			data = append(data, it)
		}
	}
	return writeJSON(w, http.StatusOK, map[string]any{"status": "success", "data": data})
}
