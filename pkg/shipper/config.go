package shipper

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"logstore/pkg/objstore"
	"logstore/pkg/schema"
)

// Config holds the settings of storage_config.boltdb_shipper and what belongs to them.
type Config struct {
	// ActiveIndexDirectory holds the files that are written here until they are uploaded.
	ActiveIndexDirectory string
	// CacheLocation holds copies of files from the bucket.
	CacheLocation string
	// CacheTTL is how long the copies of a table are kept without being used.
	CacheTTL time.Duration
	// ResyncInterval is the greatest age of a table's listing that a lookup uses.
	ResyncInterval time.Duration
	// IndexCacheValidity is how long readers elsewhere may rely on what they looked up. Together with ResyncInterval it
	// says how long a local file stays after its upload.
	IndexCacheValidity time.Duration
	// BuildPerTenantIndex writes a bucket per tenant into each file.
	BuildPerTenantIndex bool
	// IngesterID names this process in the names of its files, together with the time of its first start.
	IngesterID string
	// UploadInterval is how often finished files are looked for.
	UploadInterval time.Duration
	// ShutdownTimeout bounds the last upload.
	ShutdownTimeout time.Duration
	// SeriesCacheBytes bounds the decoded series of fetched files.
	SeriesCacheBytes int64
	// MaxOpenFiles bounds the fetched files that are open at a time.
	MaxOpenFiles int
	// Parallelism bounds the downloads of one lookup and the tables that it reads at a time.
	Parallelism int
}

// DefaultConfig holds Loki's defaults where Loki has the setting.
var DefaultConfig = Config{
	ActiveIndexDirectory: "boltdb-shipper-active",
	CacheLocation:        "boltdb-shipper-cache",
	CacheTTL:             24 * time.Hour,
	ResyncInterval:       5 * time.Minute,
	IndexCacheValidity:   5 * time.Minute,
	IngesterID:           "ingester",
	UploadInterval:       time.Minute,
	ShutdownTimeout:      5 * time.Minute,
	SeriesCacheBytes:     256 << 20,
	MaxOpenFiles:         1024,
	Parallelism:          8,
}

// Validate reports the first setting that cannot work.
func (c *Config) Validate() error {
	switch {
	case c.ActiveIndexDirectory == "":
		return errors.New("boltdb_shipper.active_index_directory is empty")
	case c.CacheLocation == "":
		return errors.New("boltdb_shipper.cache_location is empty")
	case c.ActiveIndexDirectory == c.CacheLocation:
		return fmt.Errorf("boltdb_shipper.active_index_directory and cache_location are both %s", c.CacheLocation)
	case c.IngesterID == "":
		return errors.New("the id of the ingester is empty")
	case c.CacheTTL <= 0 || c.ResyncInterval <= 0 || c.UploadInterval <= 0 || c.ShutdownTimeout <= 0:
		return errors.New("boltdb_shipper.cache_ttl, resync_interval and the intervals of uploads must be above zero")
	case c.IndexCacheValidity < 0:
		return fmt.Errorf("index_cache_validity %s is below zero", c.IndexCacheValidity)
	case c.SeriesCacheBytes < 0 || c.MaxOpenFiles < 1 || c.Parallelism < 1:
		return errors.New("the bounds of open files, decoded series and parallel downloads must be above zero")
	}
	return nil
}

// retention is how long a local file stays after its upload.
func (c *Config) retention() time.Duration { return c.IndexCacheValidity + 3*c.ResyncInterval }

// Deps are what a Shipper works with.
type Deps struct {
	Periods schema.Periods
	// Bucket returns where the index objects of a period are.
	Bucket func(period int) objstore.Bucket
	// Uploaded, if there is one, is told when files were uploaded, so that other members look for them.
	Uploaded   func()
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}
