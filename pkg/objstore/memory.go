package objstore

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sort"
	"strings"
	"sync"
	"time"
)

// Memory is a bucket in memory: the simplest thing that keeps Bucket's promises, and the test double of the package's users.
type Memory struct {
	mu      sync.RWMutex
	objects map[string]memoryObject
}

type memoryObject struct {
	body    []byte // never written to once stored
	modTime time.Time
}

// NewMemory returns an empty bucket.
func NewMemory() *Memory {
	return &Memory{objects: map[string]memoryObject{}}
}

// Name implements Bucket.
func (m *Memory) Name() string { return "memory" }

// Put implements Bucket.
func (m *Memory) Put(ctx context.Context, key string, body []byte) error {
	if err := firstError(ctx.Err(), checkKey(key)); err != nil {
		return fmt.Errorf("cannot put object %s: %w", key, err)
	}
	object := memoryObject{body: bytes.Clone(body), modTime: time.Now()}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.objects[key] = object
	return nil
}

// Create implements creator.
func (m *Memory) Create(ctx context.Context, key string, body []byte) error {
	err := firstError(ctx.Err(), checkKey(key))
	if err == nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		if _, ok := m.objects[key]; !ok {
			m.objects[key] = memoryObject{body: bytes.Clone(body), modTime: time.Now()}
			return nil
		}
		err = ErrExists
	}
	return fmt.Errorf("cannot create object %s: %w", key, err)
}

// Get implements Bucket.
func (m *Memory) Get(ctx context.Context, key string) ([]byte, error) {
	object, err := m.object(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("cannot get object %s: %w", key, err)
	}
	return append([]byte{}, object.body...), nil
}

// GetRange implements Bucket.
func (m *Memory) GetRange(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	object, err := m.object(ctx, key)
	if err = firstError(checkRange(offset, length), err); err != nil {
		return nil, fmt.Errorf("cannot get a part of object %s: %w", key, err)
	}
	n := clip(offset, length, int64(len(object.body)))
	if n == 0 {
		return []byte{}, nil
	}
	return append([]byte{}, object.body[offset:offset+n]...), nil
}

// GetReader implements Bucket.
func (m *Memory) GetReader(ctx context.Context, key string) (io.ReadCloser, error) {
	object, err := m.object(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("cannot get object %s: %w", key, err)
	}
	return io.NopCloser(bytes.NewReader(object.body)), nil
}

// Stat implements Bucket.
func (m *Memory) Stat(ctx context.Context, key string) (ObjectInfo, error) {
	object, err := m.object(ctx, key)
	if err != nil {
		return ObjectInfo{}, fmt.Errorf("cannot stat object %s: %w", key, err)
	}
	return ObjectInfo{Key: key, Size: int64(len(object.body)), ModTime: object.modTime}, nil
}

// Delete implements Bucket.
func (m *Memory) Delete(ctx context.Context, key string) error {
	if err := firstError(ctx.Err(), checkKey(key)); err != nil {
		return fmt.Errorf("cannot delete object %s: %w", key, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.objects, key)
	return nil
}

// List implements Bucket. It shows the bucket as it was when the call began.
func (m *Memory) List(ctx context.Context, prefix string, fn func(ObjectInfo) error) error {
	for _, info := range m.snapshot(prefix) {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("cannot list objects under %q: %w", prefix, err)
		}
		if err := fn(info); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// ListDirs implements Bucket.
func (m *Memory) ListDirs(ctx context.Context, prefix string, fn func(dir string) error) error {
	last := ""
	return m.List(ctx, prefix, func(info ObjectInfo) error {
		dir, ok := nextDir(info.Key, prefix)
		if !ok || dir == last {
			return nil
		}
		last = dir
		return fn(dir)
	})
}

func (m *Memory) object(ctx context.Context, key string) (memoryObject, error) {
	if err := firstError(ctx.Err(), checkKey(key)); err != nil {
		return memoryObject{}, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	object, ok := m.objects[key]
	if !ok {
		return memoryObject{}, ErrNotFound
	}
	return object, nil
}

func (m *Memory) snapshot(prefix string) []ObjectInfo {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var infos []ObjectInfo
	for key, object := range m.objects {
		if strings.HasPrefix(key, prefix) {
			infos = append(infos, ObjectInfo{Key: key, Size: int64(len(object.body)), ModTime: object.modTime})
		}
	}
	sort.Slice(infos, func(i, j int) bool { return infos[i].Key < infos[j].Key })
	return infos
}

// firstError returns the first of errs that is not nil.
func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
