package objstore

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"
)

const defaultRegion = "us-east-1"

// s3Target is where an S3Config points to, once its URL and its discrete keys are put together.
type s3Target struct {
	accessKeyID, secretAccessKey, sessionToken string
	credentialsFrom                            string // which setting gave them, empty for the default chain

	region string // empty if only the environment may know
	// endpoint is a URL, empty for AWS's own of the region. A dot at the end of its host is cut off: it is there since Loki
	// takes a name without any dot for a region, but resolvers do not find such a name in the hosts file, and it belongs
	// neither into a Host header nor into a certificate.
	endpoint  string
	insecure  bool
	pathStyle bool
	buckets   []string
}

var awsHost = regexp.MustCompile(`(^|\.)amazonaws\.com(\.cn)?$`)

// awsHostRegion finds the region in s3.eu-west-1.amazonaws.com, s3-eu-west-1.…, s3.dualstack.eu-west-1.… and behind a bucket.
var awsHostRegion = regexp.MustCompile(`(?:^|\.)s3(?:-fips)?[.-](?:dualstack\.)?([a-z]{2,4}(?:-[a-z]+)+-[0-9]+)\.amazonaws\.`)

// virtualOnly are the domains of stores that refuse a bucket in the path.
var virtualOnly = []string{".aliyuncs.com", ".myqcloud.com"}

// target puts the URL and the discrete keys together; the latter win.
func (c S3Config) target() (s3Target, error) {
	var u S3URL
	if c.URL != "" {
		var err error
		if u, err = ParseS3URL(c.URL); err != nil {
			return s3Target{}, err
		}
	}
	t := s3Target{region: c.Region, buckets: c.BucketNames}
	if err := t.setCredentials(c, u); err != nil {
		return s3Target{}, err
	}
	if len(t.buckets) == 0 {
		t.buckets = u.Buckets
	}
	if len(t.buckets) == 0 {
		return s3Target{}, errors.New("no S3 bucket: bucketnames must be set, or the URL must end with /bucket")
	}
	if err := checkBuckets(t.buckets); err != nil {
		return s3Target{}, fmt.Errorf("bucketnames %q: %w", c.BucketNames, err)
	}
	if t.region == "" {
		t.region = u.Region
	}
	if err := t.setEndpoint(c, u); err != nil {
		return s3Target{}, err
	}
	return t, nil
}

func (t *s3Target) setCredentials(c S3Config, u S3URL) error {
	switch {
	case (c.AccessKeyID == "") != (c.SecretAccessKey == ""):
		return errors.New("access_key_id and secret_access_key must be given both or not at all")
	case c.AccessKeyID != "":
		t.accessKeyID, t.secretAccessKey, t.credentialsFrom = c.AccessKeyID, c.SecretAccessKey, "access_key_id"
	case u.AccessKeyID != "":
		t.accessKeyID, t.secretAccessKey, t.credentialsFrom = u.AccessKeyID, u.SecretAccessKey, "URL"
	case c.SessionToken != "":
		return errors.New("session_token needs access_key_id and secret_access_key")
	}
	t.sessionToken = c.SessionToken
	return nil
}

// setEndpoint fills endpoint, insecure and pathStyle, and a region that AWS's host name tells.
func (t *s3Target) setEndpoint(c S3Config, u S3URL) error {
	scheme, hostport, path, err := splitEndpoint(c.Endpoint)
	if err != nil {
		return err
	}
	if hostport == "" {
		scheme, hostport = u.Scheme, u.Host
	}
	if scheme == "" {
		scheme = "https"
		if c.Insecure {
			scheme = "http"
		}
	}
	host, port := hostport, ""
	if h, p, err := net.SplitHostPort(hostport); err == nil {
		host, port = h, p
	}
	name := strings.TrimSuffix(host, ".")
	t.pathStyle = wantsPath(c.ForcePathStyle, name)
	t.insecure = scheme == "http"
	if hostport == "" {
		return nil
	}
	if t.region == "" {
		if m := awsHostRegion.FindStringSubmatch(name + "."); m != nil {
			t.region = m[1]
		}
	}
	address := name
	if port != "" {
		address = net.JoinHostPort(name, port)
	}
	t.endpoint = (&url.URL{Scheme: scheme, Host: address, Path: path}).String()
	return nil
}

// wantsPath reports whether the bucket goes into the path. AWS's own end point has an empty name.
func wantsPath(forced *bool, name string) bool {
	if forced != nil {
		return *forced
	}
	if name == "" || awsHost.MatchString(name) {
		return false
	}
	for _, domain := range virtualOnly {
		if strings.HasSuffix(name, domain) {
			return false
		}
	}
	return true
}

// splitEndpoint takes `endpoint` apart, which may or may not be a URL.
func splitEndpoint(endpoint string) (scheme, hostport, path string, err error) {
	endpoint = strings.TrimSpace(endpoint)
	if endpoint == "" {
		return "", "", "", nil
	}
	rest := endpoint
	if before, after, ok := strings.Cut(endpoint, "://"); ok {
		scheme, rest = strings.ToLower(before), after
		if scheme != "http" && scheme != "https" {
			return "", "", "", errors.New("endpoint must be a host or an http or https URL; an s3:// URL belongs into the key s3")
		}
	}
	hostport, path, _ = strings.Cut(rest, "/")
	if strings.ContainsAny(rest, "@?#") {
		return "", "", "", errors.New("endpoint must be a host, maybe with a port and a path, without credentials or parameters")
	}
	if err := checkHost(hostport); err != nil {
		return "", "", "", fmt.Errorf("endpoint %q: %w", endpoint, err)
	}
	if path = strings.Trim(path, "/"); path != "" {
		path = "/" + path
	}
	return scheme, hostport, path, nil
}
