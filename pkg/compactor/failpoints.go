package compactor

import "logstore/pkg/failpoint"

// The places at which a crash would hurt most.
var (
	pointChunkWritten  = failpoint.New("compactor/chunk-written", "a rewritten or merged chunk is in the bucket, no index names it")
	pointUploaded      = failpoint.New("compactor/uploaded", "one of a table's new files is in the bucket")
	pointPublished     = failpoint.New("compactor/published", "all of a table's new files are in the bucket, there are no marks and no manifest")
	pointMarked        = failpoint.New("compactor/marked", "the marks of a table's removed chunks are in the bucket, there is no manifest")
	pointManifest      = failpoint.New("compactor/manifest", "a table's manifest is in the bucket, its old files are still there")
	pointFileRemoved   = failpoint.New("compactor/file-removed", "some of a table's old files are removed")
	pointChunkRemoved  = failpoint.New("compactor/chunk-removed", "some of the marked chunks are removed")
	pointChunksRemoved = failpoint.New("compactor/chunks-removed", "all marked chunks are removed, the marks are still there")
	pointRequests      = failpoint.New("compactor/requests", "delete requests are carried out, and not marked as processed")
)
