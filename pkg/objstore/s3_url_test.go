package objstore_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"logstore/pkg/objstore"
)

func TestParseS3URL(t *testing.T) {
	f := func(raw string, want objstore.S3URL) {
		t.Helper()
		got, err := objstore.ParseS3URL(raw)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	endpoint := func(key, secret, host string, buckets ...string) objstore.S3URL {
		return objstore.S3URL{AccessKeyID: key, SecretAccessKey: secret, Host: host, Buckets: buckets}
	}
	f("s3://key:secret@minio:9000/bucket", endpoint("key", "secret", "minio:9000", "bucket"))
	f("s3://key:secret@minio.:9000/bucket", endpoint("key", "secret", "minio.:9000", "bucket"))
	f("s3://key:secret@minio./bucket", endpoint("key", "secret", "minio.", "bucket"))
	f("s3://key:secret@minio/bucket", endpoint("key", "secret", "minio", "bucket"))
	f("s3://key:secret@localhost:9000/bucket/", endpoint("key", "secret", "localhost:9000", "bucket"))
	f("s3://key:secret@127.0.0.1:9000/bucket", endpoint("key", "secret", "127.0.0.1:9000", "bucket"))
	f("s3://key:secret@s3.example.com/a,b", endpoint("key", "secret", "s3.example.com", "a", "b"))
	f("s3://key:secret@s3.example.com", endpoint("key", "secret", "s3.example.com"))
	f("s3://s3.example.com/bucket", endpoint("", "", "s3.example.com", "bucket"))
	f("s3://:@s3.example.com/bucket", endpoint("", "", "s3.example.com", "bucket"))
	f("s3://@s3.example.com/bucket", endpoint("", "", "s3.example.com", "bucket"))
	f(" S3://key:secret@minio:9000/bucket\n", endpoint("key", "secret", "minio:9000", "bucket"))

	region := objstore.S3URL{AccessKeyID: "key", SecretAccessKey: "secret", Region: "eu-west-1", Buckets: []string{"bucket"}}
	f("s3://key:secret@eu-west-1/bucket", region)
	f("s3://eu-west-1/bucket", objstore.S3URL{Region: "eu-west-1", Buckets: []string{"bucket"}})
	f("s3://us-gov-west-1", objstore.S3URL{Region: "us-gov-west-1"})

	withScheme := endpoint("key", "secret", "minio:9000", "bucket")
	withScheme.Scheme = "http"
	f("http://key:secret@minio:9000/bucket", withScheme)
	f("s3://key:secret@http://minio:9000/bucket", withScheme)
	withScheme.Scheme = "https"
	f("https://key:secret@minio:9000/bucket", withScheme)
	f("s3://key:secret@https://minio:9000/bucket", withScheme)
}

func TestParseS3URLSecrets(t *testing.T) {
	f := func(pasted, want string) {
		t.Helper()
		got, err := objstore.ParseS3URL("s3://AKIA:" + pasted + "@minio.:9000/bucket")
		require.NoError(t, err)
		require.Equal(t, want, got.SecretAccessKey)
		require.Equal(t, "AKIA", got.AccessKeyID)
		require.Equal(t, "minio.:9000", got.Host)
		require.Equal(t, []string{"bucket"}, got.Buckets)
	}
	for _, secret := range []string{
		"plain", "with/slash", "with+plus", "ends=", "/", "a//b", "co:lon", "a@t", "@", "ques?tion", "ha#sh", "am&per;sand", "100%",
		"%zz", "%4", "sp ace", "ünïcödé", `quo"te'back\slash`, "{}[]|^`<>", "http://x", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY==",
	} {
		f(secret, secret)
		f(url.QueryEscape(strings.ReplaceAll(secret, " ", "_")), strings.ReplaceAll(secret, " ", "_"))
		f(url.PathEscape(secret), secret)
		f(url.UserPassword("", secret).String()[1:], secret)
	}
	f("mixed%2Fencoded+and%20raw/", "mixed/encoded+and raw/")
	got, err := objstore.ParseS3URL("s3://k%2Fe+y%3A:s@minio:9000/bucket")
	require.NoError(t, err)
	require.Equal(t, "k/e+y:", got.AccessKeyID)
}

func TestParseS3URLErrors(t *testing.T) {
	f := func(raw, want string) {
		t.Helper()
		_, err := objstore.ParseS3URL(raw)
		require.ErrorIs(t, err, objstore.ErrBadS3URL)
		require.ErrorContains(t, err, want)
		for _, secret := range []string{"S3CR3T", "T0K3N"} {
			require.NotContains(t, err.Error(), secret)
			require.NotContains(t, objstore.RedactS3URL(raw), secret)
		}
	}
	f("", "must begin with s3://")
	f("minio:9000/bucket", "must begin with s3://")
	f("key:S3CR3T@minio:9000/bucket", "must begin with s3://")
	f("inmemory:///", "scheme must be s3")
	f("S3CR3T://minio", "scheme must be s3")
	f("s3://", "no host and no region")
	f("s3:///bucket", "no host and no region")
	f("s3://key:S3CR3T@/bucket", "no host and no region")
	f("s3://key@minio:9000/bucket", "no secret behind a colon")
	f("s3://key:@minio:9000/bucket", "no secret behind a colon")
	f("s3://:S3CR3T@minio:9000/bucket", "no access key")
	f("s3://key:S3CR3T/T0K3N", "port behind the host must be a number")
	f("s3://key:S3CR3T", "port behind the host must be a number")
	f("s3://key:sec:S3CR3T/x", "at most one colon")
	f("s3://S3CR3T_x/bucket", "letters, digits, hyphens and dots")
	f("s3://key:S3CR3T@minio:0/bucket", "from 1 to 65535")
	f("s3://key:S3CR3T@minio:65536/bucket", "from 1 to 65535")
	f("s3://key:S3CR3T@[::1]:9000/bucket", "letters, digits, hyphens and dots")
	f("s3://key:S3CR3T@mi nio/bucket", "letters, digits, hyphens and dots")
	f("s3://key:S3CR3T@minio?x=y", "letters, digits, hyphens and dots")
	f("s3://key:S3CR3T@minio/bucket/T0K3N", "bucket's name must consist of")
	f("s3://key:S3CR3T@minio/bucket?T0K3N", "bucket's name must consist of")
	f("s3://key:S3CR3T@minio/${S3_BUCKET}", "bucket's name must consist of")
}

func TestRedactS3URL(t *testing.T) {
	f := func(raw, want string) {
		t.Helper()
		require.Equal(t, want, objstore.RedactS3URL(raw))
	}
	f("", "")
	f("s3://key:secret@minio.:9000/bucket", "s3://key:********@minio.:9000/bucket")
	f("s3://key:a/b@c@minio:9000/a,b", "s3://key:********@minio:9000/a,b")
	f("s3://key:secret@eu-west-1/bucket", "s3://key:********@eu-west-1/bucket")
	f("s3://key:secret@http://minio/bucket", "s3://key:********@http://minio/bucket")
	f("s3://eu-west-1/bucket", "s3://eu-west-1/bucket")
	f("http://minio:9000/bucket", "http://minio:9000/bucket")
	f("nonsense with a secret", "********")
}

func FuzzParseS3URL(f *testing.F) {
	for _, seed := range []string{
		"s3://key:secret@minio.:9000/bucket", "s3://eu-west-1/bucket", "s3://k:s%2F@[::1]:9/b", "http://a:b@c", "s3://:@x/a,b,,c/",
	} {
		f.Add(seed, "se/cr+et")
	}
	f.Fuzz(func(t *testing.T, raw, secret string) {
		u, err := objstore.ParseS3URL(raw)
		redacted := objstore.RedactS3URL(raw)
		if err == nil {
			if (u.Host == "") == (u.Region == "") || (u.AccessKeyID == "") != (u.SecretAccessKey == "") {
				t.Fatalf("%q gives %#v", raw, u)
			}
			again, err := objstore.ParseS3URL(redacted)
			if err != nil {
				t.Fatalf("%q is redacted to %q, which is bad: %v", raw, redacted, err)
			}
			again.SecretAccessKey = u.SecretAccessKey
			require.Equal(t, u, again)
		}
		if secret == "" {
			return
		}
		// A secret survives in its escaped form, and raw unless it looks escaped.
		for _, form := range []string{url.PathEscape(secret), secret} {
			if decoded, err := url.PathUnescape(form); err == nil && decoded != secret {
				continue
			}
			u, err := objstore.ParseS3URL("s3://key:" + form + "@minio.:9000/bucket")
			require.NoError(t, err)
			require.Equal(t, secret, u.SecretAccessKey)
			require.Equal(t, "minio.:9000", u.Host)
		}
	})
}
