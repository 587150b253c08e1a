package api

import (
	"encoding/json"

	"logstore/pkg/logql/engine"
)

// The statistics of a query in the shape that Grafana's inspector reads.
type (
	queryStats struct {
		Summary  summaryStats  `json:"summary"`
		Querier  querierStats  `json:"querier"`
		Ingester ingesterStats `json:"ingester"`
		Cache    cacheStats    `json:"cache"`
		Index    struct{}      `json:"index"`
	}
	summaryStats struct {
		BytesProcessedPerSecond               int64   `json:"bytesProcessedPerSecond"`
		LinesProcessedPerSecond               int64   `json:"linesProcessedPerSecond"`
		TotalBytesProcessed                   int64   `json:"totalBytesProcessed"`
		TotalLinesProcessed                   int64   `json:"totalLinesProcessed"`
		ExecTime                              float64 `json:"execTime"`
		QueueTime                             float64 `json:"queueTime"`
		Subqueries                            int64   `json:"subqueries"`
		TotalEntriesReturned                  int64   `json:"totalEntriesReturned"`
		Splits                                int64   `json:"splits"`
		Shards                                int64   `json:"shards"`
		TotalPostFilterLines                  int64   `json:"totalPostFilterLines"`
		TotalStructuredMetadataBytesProcessed int64   `json:"totalStructuredMetadataBytesProcessed"`
	}
	cacheStats struct {
		Chunk  oneCacheStats `json:"chunk"`
		Result oneCacheStats `json:"result"`
	}
	oneCacheStats struct {
		EntriesFound     int64 `json:"entriesFound"`
		EntriesRequested int64 `json:"entriesRequested"`
		EntriesStored    int64 `json:"entriesStored"`
		BytesReceived    int64 `json:"bytesReceived"`
		BytesSent        int64 `json:"bytesSent"`
		Requests         int64 `json:"requests"`
	}
	querierStats struct {
		Store           storeStats `json:"store"`
		QuerierExecTime float64    `json:"querierExecTime"`
	}
	ingesterStats struct {
		TotalReached       int64      `json:"totalReached"`
		TotalChunksMatched int64      `json:"totalChunksMatched"`
		TotalBatches       int64      `json:"totalBatches"`
		TotalLinesSent     int64      `json:"totalLinesSent"`
		Store              storeStats `json:"store"`
	}
	storeStats struct {
		TotalChunksRef                    int64      `json:"totalChunksRef"`
		TotalChunksDownloaded             int64      `json:"totalChunksDownloaded"`
		ChunksDownloadTime                int64      `json:"chunksDownloadTime"`
		QueryReferencedStructuredMetadata bool       `json:"queryReferencedStructuredMetadata"`
		QueryUsedV2Engine                 bool       `json:"queryUsedV2Engine"`
		Chunk                             chunkStats `json:"chunk"`
		ChunkRefsFetchTime                int64      `json:"chunkRefsFetchTime"`
		CongestionControlLatency          int64      `json:"congestionControlLatency"`
		PipelineWrapperFilteredLines      int64      `json:"pipelineWrapperFilteredLines"`
	}
	chunkStats struct {
		HeadChunkBytes                      int64 `json:"headChunkBytes"`
		HeadChunkLines                      int64 `json:"headChunkLines"`
		DecompressedBytes                   int64 `json:"decompressedBytes"`
		DecompressedLines                   int64 `json:"decompressedLines"`
		CompressedBytes                     int64 `json:"compressedBytes"`
		TotalDuplicates                     int64 `json:"totalDuplicates"`
		PostFilterLines                     int64 `json:"postFilterLines"`
		HeadChunkStructuredMetadataBytes    int64 `json:"headChunkStructuredMetadataBytes"`
		DecompressedStructuredMetadataBytes int64 `json:"decompressedStructuredMetadataBytes"`
	}
)

// stats writes the statistics. What is read is counted in one place, the querier's.
func (e *encoder) stats(s engine.Stats) {
	seconds := s.ExecTime.Seconds()
	perSecond := func(n int64) int64 {
		if seconds <= 0 {
			return 0
		}
		return int64(float64(n) / seconds)
	}
	out, err := json.Marshal(queryStats{
		Summary: summaryStats{
			BytesProcessedPerSecond: perSecond(s.BytesProcessed), LinesProcessedPerSecond: perSecond(s.LinesProcessed),
			TotalBytesProcessed: s.BytesProcessed, TotalLinesProcessed: s.LinesProcessed, ExecTime: seconds,
			TotalEntriesReturned: s.EntriesReturned, QueueTime: s.QueueTime.Seconds(), Subqueries: s.Subqueries,
			Splits: max(1, s.Splits), Shards: max(1, s.Shards), TotalPostFilterLines: s.PostFilterLines,
			TotalStructuredMetadataBytesProcessed: s.MetadataBytesProcessed,
		},
		Querier: querierStats{QuerierExecTime: seconds, Store: storeStats{
			TotalChunksRef: s.ChunksOpened, TotalChunksDownloaded: s.Chunks.FromBucket + s.Chunks.FromCache,
			ChunksDownloadTime: int64(s.Chunks.Time),
			Chunk: chunkStats{
				DecompressedBytes: s.BytesProcessed, DecompressedLines: s.LinesProcessed, PostFilterLines: s.PostFilterLines,
				DecompressedStructuredMetadataBytes: s.MetadataBytesProcessed,
				CompressedBytes:                     s.Chunks.BytesFromBucket + s.Chunks.BytesFromCache,
			},
		}},
		Cache: cacheStats{
			Chunk: oneCacheStats{
				EntriesFound: s.Chunks.FromCache, EntriesRequested: s.Chunks.FromCache + s.Chunks.FromBucket,
				EntriesStored: s.Chunks.FromBucket, BytesReceived: s.Chunks.BytesFromCache, BytesSent: s.Chunks.BytesFromBucket,
				Requests: s.Chunks.FromCache + s.Chunks.FromBucket,
			},
			Result: oneCacheStats{
				EntriesFound: s.Results.Found, EntriesRequested: s.Results.Requested, EntriesStored: s.Results.Stored,
				BytesReceived: s.Results.BytesReceived, BytesSent: s.Results.BytesSent, Requests: s.Results.Requests,
			},
		},
	})
	if err != nil {
		panic("BUG: cannot encode statistics: " + err.Error())
	}
	e.buf = append(e.buf, out...)
}
