package app

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"logstore/pkg/api"
	"logstore/pkg/limits"
	"logstore/pkg/objstore"
	"logstore/pkg/shipper"
)

// reportedTables is how many index tables the storage page lists: a quarter of a year.
const reportedTables = 92

// tenantReports sets what each tenant uses against its limits.
func (a *App) tenantReports() []api.TenantReport {
	streams, pushed := a.ingester.Streams(), a.distributor.Tenants()
	out := []api.TenantReport{}
	for id, use := range pushed {
		lim := a.limits.For(id)
		out = append(out, api.TenantReport{
			Tenant: id, Streams: streams[id], Received: use.Received, Limits: lim.Values(),
			Use: []api.LimitUse{
				{Name: "active streams", Limit: "max_global_streams_per_user", Used: float64(streams[id]), Of: streamLimit(lim), Unit: "streams"},
				{Name: "ingestion rate", Limit: "ingestion_rate_mb", Used: use.Rate, Of: use.RateLimit, Unit: "bytes/s"},
			},
		})
		delete(streams, id)
	}
	for id, n := range streams { // of replicas, and of before the start
		lim := a.limits.For(id)
		out = append(out, api.TenantReport{
			Tenant: id, Streams: n, Limits: lim.Values(),
			Use: []api.LimitUse{{Name: "active streams", Limit: "max_global_streams_per_user", Used: float64(n), Of: streamLimit(lim), Unit: "streams"}},
		})
	}
	slices.SortFunc(out, func(x, y api.TenantReport) int { return cmp.Compare(x.Tenant, y.Tenant) })
	return out
}

func streamLimit(lim *limits.Limits) float64 {
	if lim.MaxLocalStreamsPerUser > 0 {
		return float64(lim.MaxLocalStreamsPerUser)
	}
	return float64(lim.MaxGlobalStreamsPerUser)
}

// storageReport describes the newest index tables.
func (a *App) storageReport(ctx context.Context) (*api.StorageReport, error) {
	index, err := a.buckets.Index()
	if err != nil {
		return nil, err
	}
	tables, err := shipper.Tables(ctx, a.periods, func(i int) objstore.Bucket { return index[i] }, reportedTables)
	if err != nil {
		return nil, err
	}
	out := &api.StorageReport{ObjectStore: a.periods[len(a.periods)-1].ObjectStore, Tables: []api.TableReport{}, Facts: [][2]string{}}
	for _, t := range tables {
		out.Tables = append(out.Tables, api.TableReport{
			Name: t.Name, Day: t.Day.Format(time.DateOnly), Store: t.Store, Files: t.Files, Bytes: t.Bytes, Compacted: t.Compacted(), Tenants: t.Tenants,
		})
	}
	if out.Facts, err = a.flushFacts(); err != nil {
		return nil, err
	}
	return out, nil
}

// flushFacts says what is not in the bucket yet, out of this member's metrics.
func (a *App) flushFacts() ([][2]string, error) {
	families, err := a.registry.Gather()
	if err != nil {
		return nil, fmt.Errorf("cannot read the metrics: %w", err)
	}
	value := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			value[f.GetName()] += m.GetGauge().GetValue()
		}
	}
	number := func(name string) string { return strconv.FormatFloat(value[name], 'f', 0, 64) }
	return [][2]string{
		{"Streams in memory", number("loki_ingester_memory_streams")},
		{"Chunks in memory", number("loki_ingester_memory_chunks")},
		{"of them closed, to be stored", number("loki_ingester_flush_queue_length")},
		{"Index files to be uploaded", number("logstore_index_files_not_uploaded")},
	}, nil
}
