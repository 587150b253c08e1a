package buckets

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"logstore/pkg/config"
	"logstore/pkg/objstore"
	"logstore/pkg/schema"
	"logstore/pkg/store"
)

// Buckets are the object stores of a configuration. Each is opened once, however many periods name it. They are not safe
// for concurrent use; the buckets that they return are.
type Buckets struct {
	// Periods are the schema periods, oldest first.
	Periods schema.Periods

	cfg    *config.Config
	logger *slog.Logger
	reg    prometheus.Registerer
	open   map[string]objstore.Bucket
	hedged prometheus.Counter
}

// New reads the periods. Buckets are opened when they are asked for.
func New(cfg *config.Config, logger *slog.Logger, reg prometheus.Registerer) (*Buckets, error) {
	b := &Buckets{cfg: cfg, logger: logger, reg: reg, open: map[string]objstore.Bucket{}}
	b.hedged = promauto.With(reg).NewCounter(prometheus.CounterOpts{
		Name: "logstore_objstore_hedged_requests_total", Help: "Reads of chunks that were sent once more because they took long.",
	})
	for _, p := range cfg.Schema.Configs {
		version, err := schema.ParseVersion(p.Schema)
		if err != nil {
			return nil, err
		}
		b.Periods = append(b.Periods, schema.PeriodConfig{
			From: p.From, Store: p.Store, ObjectStore: p.ObjectStore, Schema: version, RowShards: uint32(p.RowShards),
			IndexPrefix: p.Index.Prefix, PathPrefix: p.Index.PathPrefix, IndexPeriod: p.Index.Period,
		})
	}
	return b, b.Periods.Validate()
}

// Get returns the bucket that the name of an object store stands for, with its prefix, and where it is.
func (b *Buckets) Get(name string) (objstore.Bucket, config.ObjectStore, error) {
	where, err := b.cfg.ObjectStore(name)
	if err != nil {
		return nil, where, err
	}
	if bucket := b.open[name]; bucket != nil {
		return bucket, where, nil
	}
	bucket, err := b.build(name, where)
	if err != nil {
		return nil, where, fmt.Errorf("cannot open object store %s: %w", name, err)
	}
	if where.Prefix != "" {
		bucket = objstore.Prefixed(bucket, where.Prefix)
	}
	b.open[name] = bucket
	return bucket, where, nil
}

// Rules returns the bucket of the rules.
func (b *Buckets) Rules(where config.ObjectStore) (objstore.Bucket, error) {
	const name = "rules"
	if bucket := b.open[name]; bucket != nil {
		return bucket, nil
	}
	bucket, err := b.build(name, where)
	if err != nil {
		return nil, err
	}
	b.open[name] = objstore.Prefixed(bucket, where.Prefix)
	return b.open[name], nil
}

func (b *Buckets) build(name string, where config.ObjectStore) (objstore.Bucket, error) {
	reg := prometheus.WrapRegistererWith(prometheus.Labels{"object_store": name}, b.reg)
	if where.Kind == config.KindS3 {
		return objstore.NewS3(s3Config(where.S3), b.logger, reg)
	}
	fs, err := objstore.NewFilesystem(objstore.FilesystemConfig{Directory: where.Directory})
	if err != nil {
		return nil, err
	}
	return objstore.Metered(fs, "filesystem", reg), nil
}

// Chunks returns where the chunks of each object_store that a period names are.
func (b *Buckets) Chunks() (map[string]store.ObjectStore, error) {
	out := map[string]store.ObjectStore{}
	h := b.cfg.Storage.Hedging
	hedge := objstore.HedgeConfig{At: h.At, UpTo: h.UpTo, MaxPerSecond: h.MaxPerSecond}
	if err := hedge.Validate(); err != nil {
		return nil, fmt.Errorf("storage_config.hedging: %w", err)
	}
	for _, p := range b.Periods {
		bucket, where, err := b.Get(p.ObjectStore)
		if err != nil {
			return nil, err
		}
		out[p.ObjectStore] = store.ObjectStore{
			Bucket: objstore.Hedged(bucket, hedge, b.hedged), Filesystem: where.Kind == config.KindFilesystem, ChunkDelimiter: where.S3.ChunkDelimiter,
		}
	}
	return out, nil
}

// Index returns where the index tables of each period are: its object_store, or the shared_store of old files.
func (b *Buckets) Index() ([]objstore.Bucket, error) {
	shared := map[string]string{
		schema.StoreBoltDB: b.cfg.Storage.BoltDBShipper.SharedStore, schema.StoreTSDB: b.cfg.Storage.TSDBShipper.SharedStore,
	}
	out := make([]objstore.Bucket, len(b.Periods))
	for i, p := range b.Periods {
		name := p.ObjectStore
		if s := shared[p.Store]; s != "" {
			name = s
		}
		var err error
		if out[i], _, err = b.Get(name); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Verify reports what is wrong with the object stores that the periods name, without a request to any of them.
func Verify(cfg *config.Config) error {
	b, err := New(cfg, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		return err
	}
	names := []string{cfg.Storage.BoltDBShipper.SharedStore, cfg.Storage.TSDBShipper.SharedStore, cfg.Compactor.DeleteRequestStore}
	for _, p := range b.Periods {
		names = append(names, p.ObjectStore)
	}
	for _, name := range names {
		if name == "" {
			continue
		}
		where, err := cfg.ObjectStore(name)
		if err == nil && where.Kind == config.KindS3 {
			_, _, err = b.Get(name) // opening it makes no request
		}
		if err != nil {
			return err
		}
	}
	return b.Close()
}

// Close lets go of what the buckets hold.
func (b *Buckets) Close() error {
	var errs []error
	for name, bucket := range b.open {
		if err := objstore.Close(bucket); err != nil {
			errs = append(errs, fmt.Errorf("cannot close object store %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// s3Config says the same in objstore's words.
func s3Config(c config.S3) objstore.S3Config {
	s := objstore.DefaultS3Config()
	s.URL = c.S3
	s.Endpoint = c.Endpoint
	s.Region = c.Region
	s.AccessKeyID, s.SecretAccessKey, s.SessionToken = c.AccessKeyID, c.SecretAccessKey, c.SessionToken
	if c.BucketNames != "" {
		s.BucketNames = objstore.SplitBucketNames(c.BucketNames)
	}
	if c.S3ForcePathStyle {
		pathStyle := true
		s.ForcePathStyle = &pathStyle
	}
	s.Insecure = c.Insecure
	s.SignatureVersion = strings.TrimSpace(c.SignatureVersion)
	s.StorageClass = c.StorageClass
	s.HTTP = objstore.S3HTTPConfig{
		IdleConnTimeout: c.HTTPConfig.IdleConnTimeout, ResponseHeaderTimeout: c.HTTPConfig.ResponseHeaderTimeout,
		Timeout: c.HTTPConfig.Timeout, InsecureSkipVerify: c.HTTPConfig.InsecureSkipVerify, CAFile: c.HTTPConfig.CAFile,
	}
	s.SSE = objstore.S3SSEConfig{Type: c.SSE.Type, KMSKeyID: c.SSE.KMSKeyID, KMSEncryptionContext: c.SSE.KMSEncryptionContext}
	if c.SSEEncryption && s.SSE.Type == "" {
		s.SSE.Type = objstore.SSES3
	}
	s.Backoff = objstore.BackoffConfig{
		MinPeriod: c.BackoffConfig.MinPeriod, MaxPeriod: c.BackoffConfig.MaxPeriod, MaxRetries: c.BackoffConfig.MaxRetries,
	}
	return s
}
