package objstore

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestS3Target(t *testing.T) {
	yes, no := true, false
	f := func(name string, change func(*S3Config), want s3Target) {
		t.Helper()
		cfg := DefaultS3Config()
		change(&cfg)
		if want.buckets == nil {
			want.buckets = []string{"b"}
		}
		got, err := cfg.target()
		require.NoError(t, err, name)
		require.Equal(t, want, got, name)
		require.NoError(t, cfg.Validate(), name)
	}
	fromURL := func(t s3Target) s3Target {
		t.accessKeyID, t.secretAccessKey, t.credentialsFrom = "k", "s", "URL"
		return t
	}
	f("URL with an end point", func(c *S3Config) { c.URL = "s3://k:s@minio:9000/b"; c.Insecure = true },
		fromURL(s3Target{endpoint: "http://minio:9000", insecure: true, pathStyle: true}))
	f("dot at the end", func(c *S3Config) { c.URL = "s3://k:s@minio.:9000/b"; c.Insecure = true },
		fromURL(s3Target{endpoint: "http://minio:9000", insecure: true, pathStyle: true}))
	f("dot at the end without port", func(c *S3Config) { c.URL = "s3://k:s@minio./b" },
		fromURL(s3Target{endpoint: "https://minio", pathStyle: true}))
	f("secure by default", func(c *S3Config) { c.URL = "s3://k:s@minio:9000/b" },
		fromURL(s3Target{endpoint: "https://minio:9000", pathStyle: true}))
	f("URL with a region", func(c *S3Config) { c.URL = "s3://k:s@eu-west-1/b" }, fromURL(s3Target{region: "eu-west-1"}))
	f("region over http", func(c *S3Config) { c.URL = "s3://k:s@eu-west-1/b"; c.Insecure = true },
		fromURL(s3Target{region: "eu-west-1", insecure: true}))
	f("scheme wins over insecure", func(c *S3Config) { c.URL = "s3://k:s@https://minio/b"; c.Insecure = true },
		fromURL(s3Target{endpoint: "https://minio", pathStyle: true}))
	f("discrete keys win", func(c *S3Config) {
		c.URL = "s3://k:s@minio/b"
		c.Endpoint, c.Region, c.AccessKeyID, c.SecretAccessKey, c.SessionToken = "http://other:1/", "r", "K", "S", "T"
		c.BucketNames = []string{"x", "y"}
	}, s3Target{
		accessKeyID: "K", secretAccessKey: "S", sessionToken: "T", credentialsFrom: "access_key_id", region: "r",
		endpoint: "http://other:1", insecure: true, pathStyle: true, buckets: []string{"x", "y"},
	})
	f("default chain on AWS", func(c *S3Config) { c.BucketNames = []string{"b"} }, s3Target{})

	host := func(endpoint string, want s3Target) {
		t.Helper()
		f(endpoint, func(c *S3Config) { c.BucketNames = []string{"b"}; c.Endpoint = endpoint }, want)
	}
	host("s3.eu-west-1.amazonaws.com", s3Target{endpoint: "https://s3.eu-west-1.amazonaws.com", region: "eu-west-1"})
	host("s3-eu-west-1.amazonaws.com", s3Target{endpoint: "https://s3-eu-west-1.amazonaws.com", region: "eu-west-1"})
	host("s3.dualstack.us-east-2.amazonaws.com", s3Target{endpoint: "https://s3.dualstack.us-east-2.amazonaws.com", region: "us-east-2"})
	host("s3.cn-north-1.amazonaws.com.cn", s3Target{endpoint: "https://s3.cn-north-1.amazonaws.com.cn", region: "cn-north-1"})
	host("s3.amazonaws.com", s3Target{endpoint: "https://s3.amazonaws.com"})
	host("oss-cn-beijing.aliyuncs.com", s3Target{endpoint: "https://oss-cn-beijing.aliyuncs.com"})
	host("https://x.supabase.co/storage/v1/s3/", s3Target{endpoint: "https://x.supabase.co/storage/v1/s3", pathStyle: true})
	host("amazonaws.com.example.org", s3Target{endpoint: "https://amazonaws.com.example.org", pathStyle: true})

	f("path style on AWS", func(c *S3Config) { c.BucketNames = []string{"b"}; c.ForcePathStyle = &yes }, s3Target{pathStyle: true})
	f("no path style elsewhere", func(c *S3Config) { c.BucketNames = []string{"b"}; c.Endpoint = "minio"; c.ForcePathStyle = &no },
		s3Target{endpoint: "https://minio"})
}

func TestStamp(t *testing.T) {
	s := stampOf([]byte("123456789"))
	require.Equal(t, "e3069283-9", s.String())
	got, ok := parseStamp(map[string]string{stampName: "e3069283-9"})
	require.True(t, ok)
	require.Equal(t, s, got)
	for _, bad := range []string{"", "x", "e3069283", "e3069283-", "E3069283-9", "e3069283-09", "e3069283--9 ", "e3069283-9x"} {
		_, ok := parseStamp(map[string]string{stampName: bad})
		require.False(t, ok, bad)
	}
}

func TestCutRange(t *testing.T) {
	whole := []byte("0123456789")
	stamped := map[string]string{stampName: stampOf(whole).String()}
	f := func(body, contentRange string, offset, length int64, want string) {
		t.Helper()
		got, err := cutRange([]byte(body), contentRange, stamped, offset, length)
		require.NoError(t, err)
		require.Equal(t, want, string(got))
	}
	f("234", "bytes 2-4/10", 2, 3, "234")
	f("89", "bytes 8-9/10", 8, 5, "89")
	// The store ignored the range.
	f("0123456789", "", 2, 3, "234")
	f("0123456789", "", 20, 3, "")

	bad := func(body, contentRange string, offset, length int64, want error) {
		t.Helper()
		_, err := cutRange([]byte(body), contentRange, stamped, offset, length)
		require.ErrorIs(t, err, want)
		require.True(t, retryable(err))
	}
	bad("23", "bytes 2-4/10", 2, 3, ErrTruncated)
	bad("2345", "bytes 2-4/10", 2, 3, ErrTruncated)
	bad("345", "bytes 3-5/10", 2, 3, ErrTruncated)
	bad("234", "bytes 2-4/9", 2, 3, ErrCorrupt)
	bad("234", "nonsense", 2, 3, ErrCorrupt)
	bad("012345678", "", 2, 3, ErrCorrupt)
}
