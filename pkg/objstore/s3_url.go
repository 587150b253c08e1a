package objstore

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// S3URL is what a URL of the form s3://key:secret@host:port/bucket says.
type S3URL struct {
	AccessKeyID, SecretAccessKey string
	// Scheme is http or https if the URL says so, else empty.
	Scheme string
	// Host is the end point with its port, if any. A dot at the end of the name is kept.
	Host string
	// Region is set instead of Host if the URL names an AWS region in its place.
	Region  string
	Buckets []string
}

// ErrBadS3URL is returned for a URL that cannot be understood. The error's text holds no part of the credentials.
var ErrBadS3URL = errors.New("bad S3 URL")

var (
	awsRegion  = regexp.MustCompile(`^[a-z]{2,4}(-[a-z]+)+-[0-9]+$`)
	hostName   = regexp.MustCompile(`^[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*\.?$`)
	bucketName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,254}$`)
)

// ParseS3URL parses
//
//	s3://[key:secret@]host[:port][/bucket]      an end point
//	s3://[key:secret@]region[/bucket]           AWS in that region
//
// Real configurations paste the secret as it is, so this is no parser of RFC 3986: what stands before the last @ are the
// credentials, and all but the first colon and everything after it, slashes too, is the secret. Percent signs are
// decoded if each begins an escape; a plus stays a plus. The host may be an http or https URL, and several buckets may be
// joined by commas.
func ParseS3URL(raw string) (S3URL, error) {
	var u S3URL
	rest, scheme, err := cutScheme(raw)
	if err != nil {
		return u, err
	}
	u.Scheme = scheme
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		if u.AccessKeyID, u.SecretAccessKey, err = parseCredentials(rest[:at]); err != nil {
			return u, err
		}
		rest = rest[at+1:]
		if after, ok := strings.CutPrefix(rest, "http://"); ok {
			rest, u.Scheme = after, "http"
		} else if after, ok := strings.CutPrefix(rest, "https://"); ok {
			rest, u.Scheme = after, "https"
		}
	}
	host, path, _ := strings.Cut(rest, "/")
	if err := checkHost(host); err != nil {
		return u, fmt.Errorf("%w: %w", ErrBadS3URL, err)
	}
	if awsRegion.MatchString(host) {
		u.Region = host
	} else {
		u.Host = host
	}
	u.Buckets = SplitBucketNames(strings.TrimSuffix(path, "/"))
	if err := checkBuckets(u.Buckets); err != nil {
		return u, fmt.Errorf("%w: %w", ErrBadS3URL, err)
	}
	return u, nil
}

func cutScheme(raw string) (rest, scheme string, err error) {
	name, rest, ok := strings.Cut(strings.TrimSpace(raw), "://")
	switch {
	case !ok:
		return "", "", fmt.Errorf("%w: it must begin with s3://", ErrBadS3URL)
	case strings.EqualFold(name, "s3"):
		return rest, "", nil
	case strings.EqualFold(name, "http"), strings.EqualFold(name, "https"):
		return rest, strings.ToLower(name), nil
	}
	// The text before :// may be a secret, so it is not repeated.
	return "", "", fmt.Errorf("%w: its scheme must be s3", ErrBadS3URL)
}

func parseCredentials(userinfo string) (key, secret string, err error) {
	key, secret, ok := strings.Cut(userinfo, ":")
	key, secret = decodePercent(key), decodePercent(secret)
	switch {
	case key == "" && secret == "":
		return "", "", nil // Both came from unset variables: the default chain is meant.
	case !ok || secret == "":
		return "", "", fmt.Errorf("%w: it has an access key, but no secret behind a colon", ErrBadS3URL)
	case key == "":
		return "", "", fmt.Errorf("%w: it has a secret, but no access key", ErrBadS3URL)
	}
	return key, secret, nil
}

// decodePercent decodes the escapes of s, or returns it as it is if some percent sign begins none: then it was not encoded.
func decodePercent(s string) string {
	decoded, err := url.PathUnescape(s)
	if err != nil {
		return s
	}
	return decoded
}

// checkHost checks a host with or without a port. Its errors do not repeat the text: in a URL where something was
// forgotten, part of the secret may stand in the host's place.
func checkHost(hostport string) error {
	if hostport == "" {
		return errors.New("it names no host and no region")
	}
	host := hostport
	if strings.Contains(hostport, ":") {
		name, port, err := net.SplitHostPort(hostport)
		if err != nil {
			return errors.New("the host must be a name with at most one colon, before the port")
		}
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return errors.New("the port behind the host must be a number from 1 to 65535")
		}
		host = name
	}
	if len(host) > 255 || !hostName.MatchString(host) {
		return errors.New("the host must consist of letters, digits, hyphens and dots")
	}
	return nil
}

// checkBuckets does not repeat the names either.
func checkBuckets(names []string) error {
	for _, name := range names {
		if !bucketName.MatchString(name) {
			return errors.New("the bucket's name must consist of letters, digits, dots and hyphens")
		}
	}
	return nil
}

// RedactS3URL replaces the secret of a URL. What it cannot understand it replaces whole.
func RedactS3URL(raw string) string {
	if raw == "" {
		return ""
	}
	u, err := ParseS3URL(raw)
	if err != nil {
		return redacted
	}
	text := ""
	switch {
	case u.AccessKeyID != "":
		text = "s3://" + url.PathEscape(u.AccessKeyID) + ":" + redacted + "@"
	case u.Scheme == "":
		text = "s3://"
	}
	if u.Scheme != "" {
		text += u.Scheme + "://"
	}
	return text + u.Host + u.Region + "/" + strings.Join(u.Buckets, ",")
}
