package config

import (
	"time"

	"logstore/pkg/limits"
)

// Ruler is the block `ruler`.
type Ruler struct {
	ExternalURL                 string                    `loki:"external_url,url"`
	DatasourceUID               string                    `loki:"datasource_uid"`
	EvaluationInterval          time.Duration             `loki:"evaluation_interval"`
	PollInterval                time.Duration             `loki:"poll_interval"`
	Storage                     RulerStorage              `loki:"storage"`
	RulePath                    string                    `loki:"rule_path"`
	AlertmanagerURL             string                    `loki:"alertmanager_url,url"`
	EnableAlertmanagerDiscovery bool                      `loki:"enable_alertmanager_discovery"`
	AlertmanagerRefreshInterval time.Duration             `loki:"alertmanager_refresh_interval"`
	EnableAlertmanagerV2        bool                      `loki:"enable_alertmanager_v2"`
	AlertmanagerClient          limits.AlertManagerClient `loki:"alertmanager_client"`
	NotificationQueueCapacity   int                       `loki:"notification_queue_capacity"`
	NotificationTimeout         time.Duration             `loki:"notification_timeout"`
	ForOutageTolerance          time.Duration             `loki:"for_outage_tolerance"`
	ForGracePeriod              time.Duration             `loki:"for_grace_period"`
	ResendDelay                 time.Duration             `loki:"resend_delay"`
	EnableSharding              bool                      `loki:"enable_sharding"`
	Ring                        ServiceRing               `loki:"ring"`
	FlushPeriod                 time.Duration             `loki:"flush_period"`
	EnableAPI                   bool                      `loki:"enable_api"`
	EnabledTenants              []string                  `loki:"enabled_tenants,list"`
	DisabledTenants             []string                  `loki:"disabled_tenants,list"`
	DisableRuleGroupLabel       bool                      `loki:"disable_rule_group_label"`
	QueryStatsEnabled           bool                      `loki:"query_stats_enabled"`
	Evaluation                  RulerEvaluation           `loki:"evaluation"`
	WAL                         RulerWAL                  `loki:"wal"`
	WALCleaner                  RulerWALCleaner           `loki:"wal_cleaner"`
	RemoteWrite                 RulerRemoteWrite          `loki:"remote_write"`
}

// RulerEvaluation is `ruler.evaluation`.
type RulerEvaluation struct {
	MaxJitter time.Duration `loki:"max_jitter"`
}

// RulerStorage is `ruler.storage`: where rules live. The folder of Local is read only with the type local, as in Loki, and
// read and written with the type filesystem, which is our own.
type RulerStorage struct {
	Type  string     `loki:"type"` // filesystem, local, s3
	S3    S3         `loki:"s3"`
	Local RulerLocal `loki:"local"`
}

// RulerLocal is a folder with a folder of rule files for each tenant.
type RulerLocal struct {
	Directory string `loki:"directory"`
}

// RulerBucket is the block `ruler_storage`, in effect with storage_config.use_thanos_objstore.
type RulerBucket struct {
	Backend       string           `loki:"backend"` // filesystem, s3, local
	StoragePrefix string           `loki:"storage_prefix"`
	S3            ThanosS3         `loki:"s3"`
	Filesystem    ThanosFilesystem `loki:"filesystem"`
	Local         RulerLocal       `loki:"local"`
}

// RulerWAL is `ruler.wal`: what recording rules made and nobody has taken yet.
type RulerWAL struct {
	Dir               string        `loki:"dir"`
	TruncateFrequency time.Duration `loki:"truncate_frequency"`
	MinAge            time.Duration `loki:"min_age"`
	MaxAge            time.Duration `loki:"max_age"`
}

// RulerWALCleaner is `ruler.wal_cleaner`.
type RulerWALCleaner struct {
	MinAge time.Duration `loki:"min_age"`
	Period time.Duration `loki:"period"`
}

// RulerRemoteWrite is `ruler.remote_write`: where the samples of recording rules go.
type RulerRemoteWrite struct {
	Enabled             bool                         `loki:"enabled"`
	AddOrgIDHeader      bool                         `loki:"add_org_id_header"`
	ConfigRefreshPeriod time.Duration                `loki:"config_refresh_period"`
	Client              *RemoteWriteClient           `loki:"client"` // the old form, one client
	Clients             map[string]RemoteWriteClient `loki:"clients"`
}

// RemoteWriteClient is one receiver of samples, in the words of Prometheus.
type RemoteWriteClient struct {
	Name                string                 `loki:"name"`
	URL                 string                 `loki:"url,url"`
	RemoteTimeout       time.Duration          `loki:"remote_timeout"`
	Headers             map[string]string      `loki:"headers,secret"`
	WriteRelabelConfigs []limits.RelabelConfig `loki:"write_relabel_configs"`
	BasicAuth           limits.BasicAuth       `loki:"basic_auth"`
	Authorization       limits.Authorization   `loki:"authorization"`
	BearerToken         string                 `loki:"bearer_token,secret"`
	BearerTokenFile     string                 `loki:"bearer_token_file"`
	TLSConfig           ClientTLS              `loki:"tls_config"`
	ProxyURL            string                 `loki:"proxy_url,url"`
	FollowRedirects     *bool                  `loki:"follow_redirects"`
	QueueConfig         RemoteWriteQueue       `loki:"queue_config"`
}

// RemoteWriteQueue is the queue before a receiver. Zero fields have Prometheus' defaults.
type RemoteWriteQueue struct {
	Capacity          int           `loki:"capacity"`
	MinShards         int           `loki:"min_shards"`
	MaxShards         int           `loki:"max_shards"`
	MaxSamplesPerSend int           `loki:"max_samples_per_send"`
	BatchSendDeadline time.Duration `loki:"batch_send_deadline"`
	MinBackoff        time.Duration `loki:"min_backoff"`
	MaxBackoff        time.Duration `loki:"max_backoff"`
	RetryOnHTTP429    bool          `loki:"retry_on_http_429"`
}

// ClientTLS is Prometheus' tls_config.
type ClientTLS struct {
	CAFile             string `loki:"ca_file"`
	CertFile           string `loki:"cert_file"`
	KeyFile            string `loki:"key_file"`
	ServerName         string `loki:"server_name"`
	InsecureSkipVerify bool   `loki:"insecure_skip_verify"`
}

func defaultRulerBucket() RulerBucket {
	return RulerBucket{Backend: "filesystem", S3: defaultThanosStore().S3}
}

func defaultRuler() Ruler {
	return Ruler{
		EvaluationInterval:          time.Minute,
		PollInterval:                time.Minute,
		Storage:                     RulerStorage{Type: "filesystem", S3: defaultS3()},
		AlertmanagerRefreshInterval: time.Minute,
		EnableAlertmanagerV2:        true,
		AlertmanagerClient:          limits.AlertManagerClient{Type: "Bearer"},
		NotificationQueueCapacity:   10000,
		NotificationTimeout:         10 * time.Second,
		ForOutageTolerance:          time.Hour,
		ForGracePeriod:              10 * time.Minute,
		ResendDelay:                 time.Minute,
		Ring:                        ServiceRing{KVStore: KVStore{Store: RingInMemory}},
		FlushPeriod:                 time.Minute,
		EnableAPI:                   true,
		WAL:                         RulerWAL{TruncateFrequency: time.Hour, MinAge: 5 * time.Minute, MaxAge: 4 * time.Hour},
		WALCleaner:                  RulerWALCleaner{MinAge: 12 * time.Hour},
		RemoteWrite:                 RulerRemoteWrite{AddOrgIDHeader: true, ConfigRefreshPeriod: 10 * time.Second},
	}
}
