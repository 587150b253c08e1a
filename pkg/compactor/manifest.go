package compactor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"logstore/pkg/objstore"
	"logstore/pkg/schema"
)

const manifestPrefix = "__logstore__/compactor/manifests/"

// manifest says which files of a table may go, and when: others stand for them.
type manifest struct {
	// PathPrefix and Table name the table.
	PathPrefix string `json:"path_prefix"`
	Table      string `json:"table"`
	// Published are the keys of the new files, Superseded those of the files that they stand for.
	Published  []string `json:"published"`
	Superseded []string `json:"superseded"`
	// Created and Due are in milliseconds.
	Created int64 `json:"created"`
	Due     int64 `json:"due"`
	// Removed is when the superseded files were removed, in milliseconds; 0 before that. The manifest stays for Config.Staleness
	// more, for lookups still use the listing of before, and so the chunks that only those files name must stay too.
	Removed int64 `json:"removed,omitempty"`

	// key is that of the manifest's object.
	key string
}

// manifests are those of one bucket.
type manifests []*manifest

// of returns the keys of a table's files that others stand for.
func (ms manifests) of(p *schema.PeriodConfig, table string) map[string]bool {
	gone := map[string]bool{}
	for _, m := range ms {
		if m.Table == table && m.PathPrefix == p.PathPrefix {
			for _, key := range m.Superseded {
				gone[key] = true
			}
		}
	}
	return gone
}

// pending reports whether readers may still use files of a table that others stand for.
func (ms manifests) pending(p *schema.PeriodConfig, table string) bool {
	return slices.ContainsFunc(ms, func(m *manifest) bool { return m.Table == table && m.PathPrefix == p.PathPrefix })
}

// next is when something is to be done with the manifest.
func (m *manifest) next(staleness time.Duration) time.Time {
	if m.Removed > 0 {
		return time.UnixMilli(m.Removed).Add(staleness)
	}
	return time.UnixMilli(m.Due)
}

// readManifests returns the manifests of a bucket, oldest first.
func readManifests(ctx context.Context, b objstore.Bucket) (manifests, error) {
	var keys []string
	err := b.List(ctx, manifestPrefix, func(o objstore.ObjectInfo) error {
		keys = append(keys, o.Key)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("cannot list the compactor's manifests: %w", err)
	}
	var out manifests
	for _, key := range keys {
		body, err := b.Get(ctx, key)
		if errors.Is(err, objstore.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read a manifest: %w", err)
		}
		m := &manifest{key: key}
		if err := json.Unmarshal(body, m); err != nil {
			return nil, fmt.Errorf("cannot read manifest %s: %w", key, err)
		}
		out = append(out, m)
	}
	return out, nil
}

// write stores the manifest under a name that sorts by time.
func (m *manifest) write(ctx context.Context, b objstore.Bucket) error {
	if m.key == "" {
		m.key = fmt.Sprintf("%s%016x-%s.json", manifestPrefix, m.Created, m.Table)
	}
	body, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("cannot write a manifest: %w", err)
	}
	if err := b.Put(ctx, m.key, body); err != nil {
		return fmt.Errorf("cannot write manifest %s: %w", m.key, err)
	}
	return objstore.Sync(ctx, b)
}

// removeSuperseded removes the files whose time has come, and later, when no reader can know of them any more, their manifests. It
// returns the manifests that are left. The files go only if those that stand for them are there: a bucket that was put back from a copy may lack them.
func (c *Compactor) removeSuperseded(ctx context.Context, b objstore.Bucket, all manifests) (manifests, error) {
	var left manifests
	for i, m := range all {
		if m.next(c.cfg.Staleness).After(c.now()) {
			left = append(left, m)
			continue
		}
		if m.Removed > 0 {
			if err := b.Delete(ctx, m.key); err != nil {
				return append(left, all[i:]...), fmt.Errorf("cannot remove a manifest: %w", err)
			}
			continue
		}
		missing, err := c.missing(ctx, b, m, all)
		if err != nil {
			return append(left, all[i:]...), err
		}
		if missing != "" {
			c.logger.Error("a compacted index file is gone; the files that it stands for are kept and merged anew", "key", missing, "table", m.Table)
			if err := b.Delete(ctx, m.key); err != nil {
				return append(left, all[i:]...), fmt.Errorf("cannot remove a manifest: %w", err)
			}
			continue
		}
		if err := c.removeFiles(ctx, b, m); err != nil {
			return append(left, all[i:]...), err
		}
		m.Removed = c.now().UnixMilli()
		if err := m.write(ctx, b); err != nil {
			return append(left, all[i:]...), err
		}
		left = append(left, m)
	}
	return left, nil
}

func (c *Compactor) removeFiles(ctx context.Context, b objstore.Bucket, m *manifest) error {
	for _, key := range m.Superseded {
		if err := c.lock.mine(); err != nil {
			return err
		}
		if err := b.Delete(ctx, key); err != nil {
			return fmt.Errorf("cannot remove a superseded index file: %w", err)
		}
		c.metrics.filesRemoved.Inc()
		if err := pointFileRemoved.Hit(); err != nil {
			return err
		}
	}
	c.logger.Info("removed index files that others stand for", "table", m.Table, "files", len(m.Superseded),
		"after", time.Duration(c.now().UnixMilli()-m.Created)*time.Millisecond)
	return nil
}

// missing returns a published file of the manifest that is not in the bucket and that no later manifest supersedes.
func (c *Compactor) missing(ctx context.Context, b objstore.Bucket, m *manifest, all manifests) (string, error) {
	later := map[string]bool{}
	for _, other := range all {
		if other != m {
			for _, key := range other.Superseded {
				later[key] = true
			}
		}
	}
	for _, key := range m.Published {
		if later[key] {
			continue
		}
		_, err := b.Stat(ctx, key)
		if errors.Is(err, objstore.ErrNotFound) {
			return key, nil
		}
		if err != nil {
			return "", fmt.Errorf("cannot check a compacted index file: %w", err)
		}
	}
	return "", nil
}
