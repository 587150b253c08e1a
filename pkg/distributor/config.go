package distributor

import (
	"errors"
	"time"

	"logstore/pkg/wire"
)

// Config is the configuration of a distributor.
type Config struct {
	// MaxRecvMsgSize is the greatest size of a push as it comes, MaxDecompressedSize that of what it decompresses to.
	MaxRecvMsgSize, MaxDecompressedSize int
	// CachedStreams is how many label sets of a tenant are remembered; up to twice as many are kept.
	CachedStreams int
	// CachedStreamAge is after how long a label set that is not used any more may be forgotten; it is after twice that time.
	CachedStreamAge time.Duration
	// Lenient takes pushes that Loki refuses but some clients send; see wire.Options.
	Lenient bool
}

// DefaultConfig returns Loki's defaults, and a cache for as many streams as a big tenant has on one member.
func DefaultConfig() Config {
	return Config{
		MaxRecvMsgSize:      100 << 20,
		MaxDecompressedSize: 50 * 100 << 20,
		CachedStreams:       150_000,
		CachedStreamAge:     30 * time.Minute,
	}
}

// Validate checks the configuration.
func (c Config) Validate() error {
	switch {
	case c.MaxRecvMsgSize < 0:
		return errors.New("max_recv_msg_size must not be negative")
	case c.MaxDecompressedSize < 0:
		return errors.New("max_decompressed_size must not be negative")
	case c.CachedStreams < 1:
		return errors.New("the number of cached streams must be positive")
	case c.CachedStreamAge <= 0:
		return errors.New("the age of cached streams must be positive")
	}
	return nil
}

// ReadOptions returns how bodies of pushes are to be read.
func (c Config) ReadOptions() wire.Options {
	return wire.Options{MaxBody: c.MaxRecvMsgSize, MaxDecompressed: c.MaxDecompressedSize, Lenient: c.Lenient}
}
