package objstore

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/prometheus/client_golang/prometheus"
)

// NewS3 returns the bucket that cfg describes: one S3 client per bucket name, metered, limited and retried, the objects
// spread over them. It asks the network for nothing yet. The registerer may be nil.
func NewS3(cfg S3Config, logger *slog.Logger, reg prometheus.Registerer) (Bucket, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("cannot set up S3: %w", err)
	}
	target, err := cfg.target()
	if err != nil {
		return nil, fmt.Errorf("cannot set up S3: %w", err)
	}
	client, transport, err := newS3Client(cfg, target, logger)
	if err != nil {
		return nil, fmt.Errorf("cannot set up S3: %w", err)
	}
	buckets := make([]Bucket, len(target.buckets))
	for i, name := range target.buckets {
		b := Bucket(&s3Bucket{
			client: client, transport: transport, bucket: name, name: s3Name(target, name),
			sse: cfg.SSE, class: cfg.StorageClass, stallTimeout: cfg.StallTimeout,
		})
		b = Limited(Metered(b, storeS3, reg), cfg.MaxConcurrency)
		buckets[i] = Retried(b, cfg.Backoff, logger, reg)
	}
	return Spread(buckets)
}

// s3Name names a bucket for logs and errors.
func s3Name(t s3Target, bucket string) string {
	if t.endpoint != "" {
		return "s3 " + t.endpoint + "/" + bucket
	}
	return "s3 " + bucket
}

func newS3Client(cfg S3Config, t s3Target, logger *slog.Logger) (*s3.Client, *http.Transport, error) {
	base, err := awsConfig(t)
	if err != nil {
		return nil, nil, err
	}
	client, transport, err := httpClient(cfg)
	if err != nil {
		return nil, nil, err
	}
	if base.Region == "" {
		base.Region = defaultRegion
	}
	from := t.credentialsFrom
	base.Credentials = &loggedCredentials{CredentialsProvider: base.Credentials, log: func(source string) {
		if from != "" {
			source = "configuration (" + from + ")"
		}
		logger.Info("S3 credentials found", "source", source, "region", base.Region, "endpoint", t.endpoint)
	}}
	return s3.NewFromConfig(base, func(o *s3.Options) {
		// End point, certificates and time-outs are the bucket's: STS and the instance's metadata, which the credentials
		// may come from, must not be asked there or thus.
		o.HTTPClient = client
		if t.endpoint != "" {
			o.BaseEndpoint = aws.String(t.endpoint)
		}
		o.UsePathStyle = t.pathStyle
		o.EndpointOptions.DisableHTTPS = t.insecure
		if cfg.DualStack {
			o.EndpointOptions.UseDualStackEndpoint = aws.DualStackEndpointStateEnabled
		}
		// Retried does this, with knowledge of the body. And the SDK's newer checksums are unknown to many stores.
		o.Retryer = aws.NopRetryer{}
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		o.DisableLogOutputChecksumValidationSkipped = true
	}), transport, nil
}

// awsConfig finds region and credentials. With keys of our own, AWS's environment and files have no say.
func awsConfig(t s3Target) (aws.Config, error) {
	if t.accessKeyID != "" {
		provider := credentials.NewStaticCredentialsProvider(t.accessKeyID, t.secretAccessKey, t.sessionToken)
		return aws.Config{Region: t.region, Credentials: aws.NewCredentialsCache(provider)}, nil
	}
	var options []func(*config.LoadOptions) error
	if t.region != "" {
		options = append(options, config.WithRegion(t.region))
	}
	// Nothing is asked over the network before the first request; the context only matters for that.
	base, err := config.LoadDefaultConfig(context.Background(), options...)
	if err != nil {
		return aws.Config{}, fmt.Errorf("cannot load AWS's default configuration: %w", err)
	}
	return base, nil
}

// loggedCredentials tells once where the credentials come from.
type loggedCredentials struct {
	aws.CredentialsProvider
	once sync.Once
	log  func(source string)
}

// Retrieve implements aws.CredentialsProvider.
func (c *loggedCredentials) Retrieve(ctx context.Context) (aws.Credentials, error) {
	found, err := c.CredentialsProvider.Retrieve(ctx)
	if err == nil {
		c.once.Do(func() { c.log(found.Source) })
	}
	return found, err
}

func httpClient(cfg S3Config) (*http.Client, *http.Transport, error) {
	tlsConfig := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: cfg.HTTP.InsecureSkipVerify} //nolint:gosec // The owner's wish.
	if cfg.HTTP.CAFile != "" {
		pool, err := authorities(cfg.HTTP.CAFile)
		if err != nil {
			return nil, nil, err
		}
		tlsConfig.RootCAs = pool
	}
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	transport := awshttp.NewBuildableClient().WithTransportOptions(func(tr *http.Transport) {
		tr.TLSClientConfig = tlsConfig
		tr.DialContext = dialer.DialContext
		tr.IdleConnTimeout = cfg.HTTP.IdleConnTimeout
		tr.ResponseHeaderTimeout = cfg.HTTP.ResponseHeaderTimeout
		tr.MaxIdleConns = 0
		tr.MaxIdleConnsPerHost = cfg.MaxConcurrency
		tr.DisableCompression = true
		tr.ReadBufferSize, tr.WriteBufferSize = 32<<10, 32<<10
	}).GetTransport()
	return &http.Client{
		Transport: transport,
		Timeout:   cfg.HTTP.Timeout,
		// The signature covers the host, so that a redirected request would be refused anyway.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, transport, nil
}

// authorities returns the system's certificate authorities and those of the file.
func authorities(path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read ca_file: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("cannot use ca_file %s: it holds no certificate in PEM form", path)
	}
	return pool, nil
}
