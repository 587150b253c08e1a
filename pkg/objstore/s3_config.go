package objstore

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// S3Config configures an S3 bucket. Its fields are Loki's keys of `storage_config.aws` and `common.storage.s3`, except
// where told; chunk_delimiter is not among them, since the keys are made above.
type S3Config struct {
	// URL is `s3`: s3://key:secret@host:port/bucket or s3://key:secret@region/bucket, see ParseS3URL.
	URL string
	// Endpoint is `endpoint`: host, host:port or an http(s) URL. It wins over URL's host.
	Endpoint string
	// Region is `region`. By default it is the URL's, the AWS end point's, that of AWS's environment, or us-east-1.
	Region string
	// AccessKeyID and SecretAccessKey win over those in URL. Without any the SDK's default chain is asked: environment,
	// web identity (IRSA), shared files, container, instance.
	AccessKeyID, SecretAccessKey, SessionToken string
	// BucketNames is `bucketnames`, cut at its commas. It wins over URL's.
	BucketNames []string
	// ForcePathStyle is `s3forcepathstyle` if the key is given. By default it is on for all hosts but AWS's and those
	// known to refuse it.
	ForcePathStyle *bool
	// Insecure is `insecure`: http instead of https where neither Endpoint nor URL says which.
	Insecure bool
	// DualStack is the opposite of `disable_dualstack` if that key is given as false. Unlike Loki 3 we do not use AWS's
	// dual-stack names unasked, which private networks often cannot reach.
	DualStack bool
	// SignatureVersion is `signature_version`: v4 or empty.
	SignatureVersion string
	// StorageClass is `storage_class`. STANDARD, the store's own default, is not sent.
	StorageClass string
	HTTP         S3HTTPConfig
	SSE          S3SSEConfig
	Backoff      BackoffConfig

	// MaxConcurrency bounds the requests under way per bucket. Loki has no such key.
	MaxConcurrency int
	// StallTimeout ends an attempt in which no byte moves for so long, 0 never. Loki has no such key.
	StallTimeout time.Duration
}

// S3HTTPConfig is the block `http_config`. A zero time-out is none.
type S3HTTPConfig struct {
	// Timeout bounds one attempt with its body.
	Timeout               time.Duration
	IdleConnTimeout       time.Duration
	ResponseHeaderTimeout time.Duration
	InsecureSkipVerify    bool
	// CAFile holds the authorities to trust, in PEM, besides the system's.
	CAFile string
}

// S3SSEConfig is the block `sse`: encryption by the server. `sse_encryption: true` is Type SSE-S3.
type S3SSEConfig struct {
	// Type is SSE-S3, SSE-KMS or empty.
	Type                 string
	KMSKeyID             string
	KMSEncryptionContext string // a JSON object of strings
}

// The types of S3SSEConfig.
const (
	SSES3  = "SSE-S3"
	SSEKMS = "SSE-KMS"
)

// DefaultS3Config returns Loki's defaults, and ours where Loki has none.
func DefaultS3Config() S3Config {
	return S3Config{
		SignatureVersion: "v4",
		StorageClass:     string(types.StorageClassStandard),
		HTTP:             S3HTTPConfig{IdleConnTimeout: 90 * time.Second},
		Backoff:          DefaultBackoffConfig(),
		MaxConcurrency:   200,
		StallTimeout:     30 * time.Second,
	}
}

// Validate checks the configuration without asking the network.
func (c S3Config) Validate() error {
	if _, err := c.target(); err != nil {
		return err
	}
	classes := types.StorageClass("").Values()
	switch {
	case c.SignatureVersion != "" && c.SignatureVersion != "v4":
		return fmt.Errorf("signature_version %q: only v4 is supported", c.SignatureVersion)
	case c.StorageClass != "" && !slices.Contains(classes, types.StorageClass(c.StorageClass)):
		return fmt.Errorf("storage_class %q: must be one of %v", c.StorageClass, classes)
	case c.MaxConcurrency <= 0:
		return fmt.Errorf("max_concurrency must be above zero, but is %d", c.MaxConcurrency)
	case c.StallTimeout < 0 || c.HTTP.Timeout < 0 || c.HTTP.ResponseHeaderTimeout < 0 || c.HTTP.IdleConnTimeout < 0:
		return errors.New("time-outs of S3 must not be negative")
	}
	return firstError(c.SSE.validate(), c.Backoff.Validate())
}

func (c S3SSEConfig) validate() error {
	switch c.Type {
	case "", SSES3:
		if c.KMSKeyID != "" || c.KMSEncryptionContext != "" {
			return fmt.Errorf("sse: kms_key_id and kms_encryption_context need the type %s, but it is %q", SSEKMS, c.Type)
		}
		return nil
	case SSEKMS:
		if c.KMSEncryptionContext == "" {
			return nil
		}
		var pairs map[string]string
		if err := json.Unmarshal([]byte(c.KMSEncryptionContext), &pairs); err != nil {
			return fmt.Errorf("sse: kms_encryption_context must be a JSON object of strings: %w", err)
		}
		return nil
	}
	return fmt.Errorf("sse: type %q must be %s, %s or empty", c.Type, SSES3, SSEKMS)
}

// redacted stands where a secret would.
const redacted = "********"

// Redacted returns the configuration without its secrets, fit to be shown.
func (c S3Config) Redacted() S3Config {
	c.URL = RedactS3URL(c.URL)
	if c.SecretAccessKey != "" {
		c.SecretAccessKey = redacted
	}
	if c.SessionToken != "" {
		c.SessionToken = redacted
	}
	if c.SSE.KMSEncryptionContext != "" {
		c.SSE.KMSEncryptionContext = redacted
	}
	return c
}

// plainS3Config is an S3Config that fmt prints field by field.
type plainS3Config S3Config

// String implements fmt.Stringer without the secrets.
func (c S3Config) String() string { return fmt.Sprintf("%+v", plainS3Config(c.Redacted())) }

// GoString implements fmt.GoStringer without the secrets.
func (c S3Config) GoString() string { return fmt.Sprintf("%#v", plainS3Config(c.Redacted())) }

// LogValue implements slog.LogValuer without the secrets.
func (c S3Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalJSON implements json.Marshaler without the secrets.
func (c S3Config) MarshalJSON() ([]byte, error) { return json.Marshal(plainS3Config(c.Redacted())) }

// SplitBucketNames cuts the value of `bucketnames` at its commas.
func SplitBucketNames(names string) []string {
	var buckets []string
	for name := range strings.SplitSeq(names, ",") {
		if name = strings.TrimSpace(name); name != "" {
			buckets = append(buckets, name)
		}
	}
	return buckets
}
