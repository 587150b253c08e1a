package objstore

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// maxObject is above the size of any object. Ranges beyond are not sent, since some servers add without looking.
const maxObject = 1 << 46

// s3Bucket is one S3 bucket without any decoration.
type s3Bucket struct {
	client       *s3.Client
	transport    *http.Transport
	bucket       string
	name         string
	sse          S3SSEConfig
	class        string
	stallTimeout time.Duration
}

// Name implements Bucket.
func (b *s3Bucket) Name() string { return b.name }

// Close closes the idle connections.
func (b *s3Bucket) Close() error {
	b.transport.CloseIdleConnections()
	return nil
}

// Put implements Bucket.
func (b *s3Bucket) Put(ctx context.Context, key string, body []byte) error {
	return b.put(ctx, key, body, nil)
}

// Create implements creator. A server that knows no conditional requests may put the object all the same.
func (b *s3Bucket) Create(ctx context.Context, key string, body []byte) error {
	err := b.put(ctx, key, body, aws.String("*"))
	if e, ok := errors.AsType[*RequestError](err); ok {
		switch e.Status {
		case http.StatusPreconditionFailed, http.StatusConflict:
			return fmt.Errorf("cannot create object %s: %w", key, ErrExists)
		case http.StatusNotImplemented:
			return fmt.Errorf("cannot create object %s: %w", key, ErrNoCreate)
		}
	}
	return err
}

func (b *s3Bucket) put(ctx context.Context, key string, body []byte, ifNoneMatch *string) error {
	if err := checkKey(key); err != nil {
		return fmt.Errorf("cannot put object %s: %w", key, err)
	}
	attempt, dog := watch(ctx, b.stallTimeout)
	defer dog.stop()
	in := &s3.PutObjectInput{
		Bucket:        &b.bucket,
		Key:           &key,
		IfNoneMatch:   ifNoneMatch,
		Body:          watchedSeeker{bytes.NewReader(body), dog},
		ContentLength: aws.Int64(int64(len(body))),
		Metadata:      map[string]string{stampName: stampOf(body).String()},
	}
	if b.class != "" && b.class != string(types.StorageClassStandard) {
		in.StorageClass = types.StorageClass(b.class)
	}
	switch b.sse.Type {
	case SSES3:
		in.ServerSideEncryption = types.ServerSideEncryptionAes256
	case SSEKMS:
		in.ServerSideEncryption = types.ServerSideEncryptionAwsKms
		if b.sse.KMSKeyID != "" {
			in.SSEKMSKeyId = &b.sse.KMSKeyID
		}
		if b.sse.KMSEncryptionContext != "" {
			in.SSEKMSEncryptionContext = aws.String(base64.StdEncoding.EncodeToString([]byte(b.sse.KMSEncryptionContext)))
		}
	}
	if _, err := b.client.PutObject(attempt, in); err != nil {
		return fmt.Errorf("cannot put object %s: %w", key, requestError(ctx, attempt, err))
	}
	return nil
}

// Get implements Bucket.
func (b *s3Bucket) Get(ctx context.Context, key string) ([]byte, error) {
	body, err := b.get(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("cannot get object %s: %w", key, err)
	}
	return body, nil
}

func (b *s3Bucket) get(ctx context.Context, key string) ([]byte, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	attempt, dog := watch(ctx, b.stallTimeout)
	defer dog.stop()
	out, err := b.client.GetObject(attempt, &s3.GetObjectInput{Bucket: &b.bucket, Key: &key})
	if err != nil {
		return nil, requestError(ctx, attempt, err)
	}
	defer func() { _ = out.Body.Close() }()
	body, err := readBody(watchedReader{out.Body, dog}, lengthOf(out.ContentLength))
	if err != nil {
		return nil, requestError(ctx, attempt, err)
	}
	if s, ok := parseStamp(out.Metadata); ok && s != stampOf(body) {
		return nil, fmt.Errorf("%w: got %s, want %s", ErrCorrupt, stampOf(body), s)
	}
	return body, nil
}

// GetRange implements Bucket.
func (b *s3Bucket) GetRange(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	err := firstError(checkKey(key), checkRange(offset, length))
	var body []byte
	if err == nil {
		body, err = b.getRange(ctx, key, offset, length)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot get a part of object %s: %w", key, err)
	}
	return body, nil
}

func (b *s3Bucket) getRange(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	if length == 0 || offset > maxObject {
		// HTTP has no range of no bytes. What is left to find out is whether the object exists.
		if _, err := b.stat(ctx, key); err != nil {
			return nil, err
		}
		return []byte{}, nil
	}
	part := fmt.Sprintf("bytes=%d-", offset)
	if length <= maxObject {
		part += fmt.Sprint(offset + length - 1)
	}
	attempt, dog := watch(ctx, b.stallTimeout)
	defer dog.stop()
	out, err := b.client.GetObject(attempt, &s3.GetObjectInput{
		Bucket: &b.bucket, Key: &key, Range: &part,
	})
	if err != nil {
		err = requestError(ctx, attempt, err)
		if e, ok := errors.AsType[*RequestError](err); ok && e.Status == http.StatusRequestedRangeNotSatisfiable {
			return []byte{}, nil // The object ends before offset.
		}
		return nil, err
	}
	defer func() { _ = out.Body.Close() }()
	body, err := readBody(watchedReader{out.Body, dog}, lengthOf(out.ContentLength))
	if err != nil {
		return nil, requestError(ctx, attempt, err)
	}
	return cutRange(body, aws.ToString(out.ContentRange), out.Metadata, offset, length)
}

// cutRange checks that body is the part that was asked for. A store that knows no ranges gives the whole object.
func cutRange(body []byte, contentRange string, metadata map[string]string, offset, length int64) ([]byte, error) {
	stamped, isStamped := parseStamp(metadata)
	if contentRange == "" {
		if isStamped && stamped != stampOf(body) {
			return nil, fmt.Errorf("%w: got %s, want %s", ErrCorrupt, stampOf(body), stamped)
		}
		n := clip(offset, length, int64(len(body)))
		if n == 0 {
			return []byte{}, nil
		}
		return bytes.Clone(body[offset : offset+n]), nil
	}
	var first, last, size int64
	if _, err := fmt.Sscanf(contentRange, "bytes %d-%d/%d", &first, &last, &size); err != nil {
		return nil, fmt.Errorf("%w: unknown Content-Range %q", ErrCorrupt, contentRange)
	}
	if isStamped && size != stamped.size {
		return nil, fmt.Errorf("%w: it has %d bytes, want %d", ErrCorrupt, size, stamped.size)
	}
	if want := clip(offset, length, size); first != offset || int64(len(body)) != want {
		return nil, fmt.Errorf("%w: got %d bytes from %d of %d, want %d from %d", ErrTruncated, len(body), first, size, want, offset)
	}
	return body, nil
}

// GetReader implements Bucket.
func (b *s3Bucket) GetReader(ctx context.Context, key string) (io.ReadCloser, error) {
	r, err := b.getReader(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("cannot get object %s: %w", key, err)
	}
	return r, nil
}

func (b *s3Bucket) getReader(ctx context.Context, key string) (io.ReadCloser, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	attempt, dog := watch(ctx, b.stallTimeout)
	out, err := b.client.GetObject(attempt, &s3.GetObjectInput{Bucket: &b.bucket, Key: &key})
	if err != nil {
		err = requestError(ctx, attempt, err)
		dog.stop()
		return nil, err
	}
	dog.pause()
	var body io.ReadCloser = watchedReader{out.Body, dog}
	if n := lengthOf(out.ContentLength); n >= 0 {
		body = newExactReader(body, n)
	}
	if s, ok := parseStamp(out.Metadata); ok {
		body = &stampReader{ReadCloser: body, want: s}
	}
	return &s3Reader{ReadCloser: body, key: key, ctx: ctx, attempt: attempt}, nil
}

// s3Reader names the object in the errors of a stream.
type s3Reader struct {
	io.ReadCloser
	key          string
	ctx, attempt context.Context
}

// Read implements io.Reader.
func (r *s3Reader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("cannot read object %s: %w", r.key, requestError(r.ctx, r.attempt, err))
	}
	return n, err
}

// Stat implements Bucket.
func (b *s3Bucket) Stat(ctx context.Context, key string) (ObjectInfo, error) {
	err := checkKey(key)
	var info ObjectInfo
	if err == nil {
		info, err = b.stat(ctx, key)
	}
	if err != nil {
		return ObjectInfo{}, fmt.Errorf("cannot stat object %s: %w", key, err)
	}
	return info, nil
}

func (b *s3Bucket) stat(ctx context.Context, key string) (ObjectInfo, error) {
	attempt, dog := watch(ctx, b.stallTimeout)
	defer dog.stop()
	out, err := b.client.HeadObject(attempt, &s3.HeadObjectInput{Bucket: &b.bucket, Key: &key})
	if err != nil {
		return ObjectInfo{}, requestError(ctx, attempt, err)
	}
	size := aws.ToInt64(out.ContentLength)
	if s, ok := parseStamp(out.Metadata); ok && s.size != size {
		return ObjectInfo{}, fmt.Errorf("%w: it has %d bytes, want %d", ErrCorrupt, size, s.size)
	}
	return ObjectInfo{Key: key, Size: size, ModTime: aws.ToTime(out.LastModified)}, nil
}

// Delete implements Bucket.
func (b *s3Bucket) Delete(ctx context.Context, key string) error {
	if err := checkKey(key); err != nil {
		return fmt.Errorf("cannot delete object %s: %w", key, err)
	}
	attempt, dog := watch(ctx, b.stallTimeout)
	defer dog.stop()
	_, err := b.client.DeleteObject(attempt, &s3.DeleteObjectInput{Bucket: &b.bucket, Key: &key})
	if err != nil {
		if err = requestError(ctx, attempt, err); !errors.Is(err, ErrNotFound) {
			return fmt.Errorf("cannot delete object %s: %w", key, err)
		}
	}
	return nil
}

// List implements Bucket.
func (b *s3Bucket) List(ctx context.Context, prefix string, fn func(ObjectInfo) error) error {
	return listByPages(ctx, b, prefix, fn)
}

// ListDirs implements Bucket.
func (b *s3Bucket) ListDirs(ctx context.Context, prefix string, fn func(dir string) error) error {
	return listDirsByPages(ctx, b, prefix, fn)
}

func (b *s3Bucket) listPage(ctx context.Context, l listing) (page, error) {
	if !possiblePrefix(l.prefix) {
		return page{}, ctx.Err() // Some servers clean such a prefix up and then find something.
	}
	attempt, dog := watch(ctx, b.stallTimeout)
	defer dog.stop()
	in := &s3.ListObjectsV2Input{Bucket: &b.bucket, Prefix: &l.prefix}
	if l.dirs {
		in.Delimiter = aws.String("/")
	}
	if l.token != "" {
		in.ContinuationToken = &l.token
	}
	out, err := b.client.ListObjectsV2(attempt, in)
	if err != nil {
		return page{}, fmt.Errorf("cannot list objects under %q: %w", l.prefix, requestError(ctx, attempt, err))
	}
	return pageOf(out, l)
}

func pageOf(out *s3.ListObjectsV2Output, l listing) (page, error) {
	var p page
	if aws.ToBool(out.IsTruncated) {
		p.next = aws.ToString(out.NextContinuationToken)
		if p.next == "" {
			return page{}, fmt.Errorf("cannot list objects under %q: a cut listing has no token for its next page", l.prefix)
		}
	}
	if l.dirs {
		for _, d := range out.CommonPrefixes {
			p.dirs = append(p.dirs, aws.ToString(d.Prefix))
		}
		return p, nil
	}
	p.objects = make([]ObjectInfo, 0, len(out.Contents))
	for _, o := range out.Contents {
		// Consoles make objects whose key ends with a slash to have folders to show.
		if key := aws.ToString(o.Key); !strings.HasSuffix(key, "/") {
			p.objects = append(p.objects, ObjectInfo{Key: key, Size: aws.ToInt64(o.Size), ModTime: aws.ToTime(o.LastModified)})
		}
	}
	return p, nil
}
