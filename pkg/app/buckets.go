package app

import (
	"fmt"
	"log/slog"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"logstore/pkg/config"
	"logstore/pkg/objstore"
)

// buckets opens each object store once, however many periods name it.
type buckets struct {
	cfg    *config.Config
	logger *slog.Logger
	reg    prometheus.Registerer
	open   map[string]objstore.Bucket
}

func newBuckets(cfg *config.Config, logger *slog.Logger, reg prometheus.Registerer) *buckets {
	return &buckets{cfg: cfg, logger: logger, reg: reg, open: map[string]objstore.Bucket{}}
}

// get returns the bucket that the name of an object store stands for, with its prefix.
func (b *buckets) get(name string) (objstore.Bucket, config.ObjectStore, error) {
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

// getRules returns the bucket of the rules.
func (b *buckets) getRules(where config.ObjectStore) (objstore.Bucket, error) {
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

func (b *buckets) build(name string, where config.ObjectStore) (objstore.Bucket, error) {
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

// close releases what the buckets hold.
func (b *buckets) close() {
	for name, bucket := range b.open {
		if err := objstore.Close(bucket); err != nil {
			b.logger.Warn("cannot close object store", "object_store", name, "err", err)
		}
	}
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
