package distributor

import (
	"errors"
	"time"

	"logstore/pkg/model"
)

// Config is the configuration of a distributor.
type Config struct {
	// CachedStreams is how many label sets of a tenant are remembered; up to twice as many are kept.
	CachedStreams int
	// CachedStreamAge is after how long a label set that is not used any more may be forgotten; it is after twice that time.
	CachedStreamAge time.Duration
	// Oldest is the beginning of the first schema period: there is no place for entries before it. The zero time: all have one.
	Oldest time.Time
	// ReplicationFactor is the number of copies of a stream, on different members.
	ReplicationFactor int
	// RemoteTimeout (ingester_client.remote_timeout) bounds a push to another member.
	RemoteTimeout time.Duration
	// ReadOnly are the spans of days that can be read and not written.
	ReadOnly []ReadOnly
}

// ReadOnly is a span of time whose entries are refused.
type ReadOnly struct {
	Interval model.Interval
	// Why says so, and what to do about it.
	Why string
}

// DefaultConfig returns Loki's defaults, and a cache for as many streams as a big tenant has on one member.
func DefaultConfig() Config {
	return Config{
		CachedStreams:   150_000,
		CachedStreamAge: 30 * time.Minute,

		ReplicationFactor: 1,
		RemoteTimeout:     5 * time.Second,
	}
}

// Validate checks the configuration.
func (c Config) Validate() error {
	switch {
	case c.CachedStreams < 1:
		return errors.New("the number of cached streams must be positive")
	case c.ReplicationFactor < 1:
		return errors.New("the replication factor must be positive")
	case c.RemoteTimeout <= 0:
		return errors.New("the time-out of pushes to other members must be positive")
	case c.CachedStreamAge <= 0:
		return errors.New("the age of cached streams must be positive")
	}
	return nil
}

// schema returns Oldest in nanoseconds, or what is before every entry.
func (c Config) schema() int64 {
	if c.Oldest.IsZero() {
		return noOldest
	}
	return c.Oldest.UnixNano()
}
