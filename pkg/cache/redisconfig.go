package cache

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// RedisConfig describes a Redis server, a sentinel group or a cluster.
type RedisConfig struct {
	// Endpoint is host:port or a redis:// or rediss:// URL; several of them, separated by commas, are a cluster, or with
	// MasterName the sentinels. Empty means no Redis.
	Endpoint   string
	MasterName string
	Username   string
	Password   string
	DB         int
	TLS        bool
	// TLSInsecureSkipVerify takes any certificate.
	TLSInsecureSkipVerify bool
	// PoolSize is the most connections to one server; zero leaves it to the client.
	PoolSize int
	// Timeout bounds a write; a read is bounded by it and by ReadBudget.
	Timeout time.Duration
	// IdleTimeout and MaxConnectionAge close connections; zero means the client's default and never.
	IdleTimeout, MaxConnectionAge time.Duration
	// Expiration is how long Redis keeps a value; zero means until there is no room.
	Expiration time.Duration
	// RouteRandomly reads from any member of a shard of a cluster.
	RouteRandomly bool
}

// defaultTimeout bounds what has no bound of its own.
const defaultTimeout = 500 * time.Millisecond

const defaultRedisPort = "6379"

// errRedisURL hides what the URL is: it may hold a password.
var errRedisURL = errors.New("it must be redis://[user:password@]host:port[/db], rediss://... or host:port")

// Validate reports the first impossible setting.
func (c RedisConfig) Validate() error {
	if c.Endpoint == "" {
		return nil
	}
	o, err := c.options()
	if err != nil {
		return err
	}
	if len(o.Addrs) > 1 && o.MasterName == "" && o.DB != 0 {
		return errors.New("redis: a cluster, which several endpoints are, has no database but 0")
	}
	return nil
}

// options says the same in the client's words.
func (c RedisConfig) options() (*redis.UniversalOptions, error) {
	timeout := c.Timeout
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	o := &redis.UniversalOptions{
		MasterName: c.MasterName, Username: c.Username, Password: c.Password, DB: c.DB,
		DialTimeout: timeout, ReadTimeout: timeout, WriteTimeout: timeout, PoolTimeout: timeout, ContextTimeoutEnabled: true,
		PoolSize: c.PoolSize, ConnMaxIdleTime: c.IdleTimeout, ConnMaxLifetime: c.MaxConnectionAge,
		RouteRandomly: c.RouteRandomly,
		// What fails is a miss and not tried again; a cluster's redirections are followed.
		MaxRetries: -1, DialerRetries: 1, MaxRedirects: 3, Protocol: 2, DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	if c.TLS {
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	for endpoint := range strings.SplitSeq(c.Endpoint, ",") {
		if endpoint = strings.TrimSpace(endpoint); endpoint == "" {
			continue
		}
		if !strings.Contains(endpoint, "://") {
			o.Addrs = append(o.Addrs, withPort(endpoint))
			continue
		}
		u, err := redis.ParseURL(endpoint)
		if err != nil {
			return nil, fmt.Errorf("redis: cannot read the URL of the endpoint: %w", errRedisURL)
		}
		o.Addrs = append(o.Addrs, u.Addr)
		fromURL(o, u)
	}
	if len(o.Addrs) == 0 {
		return nil, fmt.Errorf("redis: no address in the endpoint: %w", errRedisURL)
	}
	if o.TLSConfig != nil {
		o.TLSConfig.InsecureSkipVerify = c.TLSInsecureSkipVerify // what the user asks for
	}
	return o, nil
}

// fromURL takes what a URL says beyond the address; keys of their own win.
func fromURL(o *redis.UniversalOptions, u *redis.Options) {
	if o.Username == "" {
		o.Username = u.Username
	}
	if o.Password == "" {
		o.Password = u.Password
	}
	if o.DB == 0 {
		o.DB = u.DB
	}
	if o.TLSConfig == nil && u.TLSConfig != nil {
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
}

// withPort adds Redis' port where there is none.
func withPort(address string) string {
	if _, _, err := net.SplitHostPort(address); err == nil {
		return address
	}
	return net.JoinHostPort(strings.Trim(address, "[]"), defaultRedisPort)
}
