package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// probeTimeout bounds a command of a probe: a first connection takes longer than the commands after it.
const probeTimeout = 5 * time.Second

// Probe sets, gets and deletes a key of Redis and calls step after each command, until one fails.
func Probe(ctx context.Context, cfg RedisConfig, key string, step func(command string, took time.Duration, err error)) error {
	quiet()
	cfg.Timeout = max(cfg.Timeout, probeTimeout)
	o, err := cfg.options()
	if err != nil {
		return err
	}
	client := redis.NewUniversalClient(o)
	defer client.Close() //nolint:errcheck // nothing waits in it
	value := []byte("written by a check of the configuration")
	for _, c := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"SET", func(ctx context.Context) error { return client.Set(ctx, key, value, time.Minute).Err() }},
		{"GET", func(ctx context.Context) error {
			got, err := client.Get(ctx, key).Bytes()
			if err == nil && !bytes.Equal(got, value) {
				err = errors.New("it is not what was written")
			}
			return err
		}},
		{"DEL", func(ctx context.Context) error { return client.Del(ctx, key).Err() }},
	} {
		start := time.Now()
		limited, cancel := context.WithTimeout(ctx, probeTimeout)
		err := c.do(limited)
		cancel()
		step(c.name, time.Since(start), err)
		if err != nil {
			return fmt.Errorf("cannot %s: %w", c.name, err)
		}
	}
	return nil
}
