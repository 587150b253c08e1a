package shipper

import (
	"context"
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
	CacheConfig
	// ActiveIndexDirectory holds the files that are written here until they are uploaded.
	ActiveIndexDirectory string
	// IndexCacheValidity is how long readers elsewhere may rely on what they looked up. Together with ResyncInterval it
	// says how long a local file stays after its upload.
	IndexCacheValidity time.Duration
	// RetainUploaded is how long a local file stays after its upload at least.
	RetainUploaded time.Duration
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
	// RowCacheBytes bounds the chunk rows that are kept of files that do not change; with zero none are.
	RowCacheBytes int64
}

// DefaultConfig holds Loki's defaults where Loki has the setting.
var DefaultConfig = Config{
	CacheConfig:          DefaultCacheConfig,
	ActiveIndexDirectory: "boltdb-shipper-active",
	IndexCacheValidity:   5 * time.Minute,
	IngesterID:           "ingester",
	UploadInterval:       time.Minute,
	ShutdownTimeout:      5 * time.Minute,
	SeriesCacheBytes:     256 << 20,
	RowCacheBytes:        64 << 20,
}

// Validate reports the first setting that cannot work.
func (c *Config) Validate() error {
	if err := c.validate("boltdb_shipper"); err != nil {
		return err
	}
	switch {
	case c.ActiveIndexDirectory == "":
		return errors.New("boltdb_shipper.active_index_directory is empty")
	case c.ActiveIndexDirectory == c.CacheLocation:
		return fmt.Errorf("boltdb_shipper.active_index_directory and cache_location are both %s", c.CacheLocation)
	case c.IngesterID == "":
		return errors.New("the id of the ingester is empty")
	case c.UploadInterval <= 0 || c.ShutdownTimeout <= 0:
		return errors.New("the interval of uploads and the time for the last one must be above zero")
	case c.IndexCacheValidity < 0 || c.RetainUploaded < 0:
		return errors.New("index_cache_validity and boltdb_shipper.ingesterdbretainperiod must not be below zero")
	case c.SeriesCacheBytes < 0 || c.RowCacheBytes < 0:
		return errors.New("the bounds of decoded series and of chunk rows must not be below zero")
	}
	return nil
}

// retention is how long a local file stays after its upload.
func (c *Config) retention() time.Duration {
	return max(c.RetainUploaded, c.IndexCacheValidity+3*c.ResyncInterval)
}

// Deps are what a Shipper works with.
type Deps struct {
	Periods schema.Periods
	// Bucket returns where the index objects of a period are.
	Bucket func(period int) objstore.Bucket
	// Uploaded, if there is one, is told when files were uploaded, so that other members look for them.
	Uploaded func()
	// HandOver, if there is one, gives a file that the bucket does not take to another process when this one ends. It is safe there
	// when nil is returned.
	HandOver   func(ctx context.Context, file Handed) error
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}
