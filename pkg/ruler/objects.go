package ruler

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"logstore/pkg/objstore"
	"logstore/pkg/rules"
	"logstore/pkg/tenant"
)

// groupsPrefix stands before the keys of all groups.
const groupsPrefix = "rules/"

// objects are the groups in a bucket.
type objects struct {
	bucket objstore.Bucket
	// single makes everything the default tenant's. onlyGroups leaves files of rules out.
	single, onlyGroups bool
	cache              map[string]cachedObject
	now                func() time.Time
}

// cachedObject is what an object held when it had that size and time.
type cachedObject struct {
	size    int64
	mod     time.Time
	entries []entry
	errs    []error
}

// settled is how old an object must be for its time to tell versions apart: buckets count seconds, and clocks differ.
const settled = 10 * time.Second

func newObjects(b objstore.Bucket, single bool) *objects {
	return &objects{bucket: b, single: single, cache: map[string]cachedObject{}, now: time.Now}
}

func (o *objects) where() string { return o.bucket.Name() + " under " + groupsPrefix }

// groupKey is the key of a group.
func groupKey(id, namespace, group string) string {
	enc := base64.URLEncoding.EncodeToString
	return groupsPrefix + id + "/" + enc([]byte(namespace)) + "/" + enc([]byte(group))
}

// parseKey tells whether a key is that of a group, and of which.
func parseKey(key string) (id, namespace, group string, ok bool) {
	parts := strings.Split(key, "/")
	if len(parts) != 4 || parts[0]+"/" != groupsPrefix {
		return "", "", "", false
	}
	ns, err1 := base64.URLEncoding.DecodeString(parts[2])
	name, err2 := base64.URLEncoding.DecodeString(parts[3])
	if err1 != nil || err2 != nil || len(ns) == 0 || len(name) == 0 {
		return "", "", "", false
	}
	return parts[1], string(ns), string(name), true
}

func isRuleFile(name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".yaml", ".yml", ".json":
		return true
	}
	return false
}

// prefixOf is the prefix of a tenant's groups, or of all if it is "".
func (o *objects) prefixOf(id string) string {
	if id == "" || o.single {
		return groupsPrefix
	}
	return groupsPrefix + id + "/"
}

// list returns the objects under a prefix, in ascending order.
func (o *objects) list(ctx context.Context, prefix string) ([]objstore.ObjectInfo, error) {
	var infos []objstore.ObjectInfo
	err := o.bucket.List(ctx, prefix, func(info objstore.ObjectInfo) error {
		infos = append(infos, info)
		return nil
	})
	if err != nil {
		return nil, unreadError{fmt.Errorf("cannot list rule groups in %s: %w", o.bucket.Name(), err)}
	}
	return infos, nil
}

// load implements source.
func (o *objects) load(ctx context.Context, id string) ([]entry, []error) {
	prefix := o.prefixOf(id)
	infos, err := o.list(ctx, prefix)
	if err != nil {
		return o.cached(id), []error{err}
	}
	bodies := o.fetch(ctx, infos)
	var entries []entry
	var errs []error
	there := map[string]bool{}
	for i, info := range infos {
		there[info.Key] = true
		c := o.read(info, bodies[i])
		errs = append(errs, c.errs...)
		for _, e := range c.entries {
			if id == "" || e.tenant == id {
				entries = append(entries, e)
			}
		}
	}
	for key := range o.cache {
		if strings.HasPrefix(key, prefix) && !there[key] {
			delete(o.cache, key)
		}
	}
	return entries, errs
}

// cached returns what was read last, for when the bucket does not answer.
func (o *objects) cached(id string) (entries []entry) {
	for _, c := range o.cache {
		for _, e := range c.entries {
			if id == "" || e.tenant == id {
				entries = append(entries, e)
			}
		}
	}
	return entries
}

// names implements source: what an object's key says need not be read.
func (o *objects) names(ctx context.Context, id string) ([]entry, []error) {
	infos, err := o.list(ctx, o.prefixOf(id))
	if err != nil {
		return o.cached(id), []error{err}
	}
	var entries []entry
	var files []objstore.ObjectInfo
	for _, info := range infos {
		if owner, namespace, group, ok := parseKey(info.Key); !ok {
			files = append(files, info)
		} else if id == "" || owner == id {
			entries = append(entries, entry{tenant: owner, namespace: namespace, group: rules.Group{Name: group}})
		}
	}
	var errs []error
	for i, b := range o.fetch(ctx, files) {
		c := o.read(files[i], b)
		errs = append(errs, c.errs...)
		for _, e := range c.entries {
			if id == "" || e.tenant == id {
				entries = append(entries, e)
			}
		}
	}
	return entries, errs
}

// fetchConcurrency is how many objects are read at a time.
const fetchConcurrency = 16

// body is what a Get gave; one that was not needed has neither bytes nor an error.
type body struct {
	bytes []byte
	err   error
}

// fetch reads those of the objects that the cache does not hold. The result has one body for each.
func (o *objects) fetch(ctx context.Context, infos []objstore.ObjectInfo) []body {
	bodies := make([]body, len(infos))
	var group errgroup.Group
	group.SetLimit(fetchConcurrency)
	for i, info := range infos {
		if _, fresh := o.fresh(info); fresh || !o.holdsRules(info.Key) {
			continue
		}
		group.Go(func() error {
			bodies[i].bytes, bodies[i].err = o.bucket.Get(ctx, info.Key)
			return nil // each error is that of one object
		})
	}
	_ = group.Wait()
	return bodies
}

// holdsRules tells by its key whether an object is to be read.
func (o *objects) holdsRules(key string) bool {
	_, _, _, isGroup := parseKey(key)
	return isGroup || !o.onlyGroups && isRuleFile(key)
}

// fresh returns what the cache has of an object, and whether that is what the object holds now.
func (o *objects) fresh(info objstore.ObjectInfo) (cachedObject, bool) {
	c, ok := o.cache[info.Key]
	return c, ok && c.size == info.Size && c.mod.Equal(info.ModTime) && o.now().Sub(info.ModTime) > settled
}

// read returns the groups of an object, whose body fetch has returned. One that could not be read leaves what it held before.
func (o *objects) read(info objstore.ObjectInfo, b body) cachedObject {
	old, fresh := o.fresh(info)
	switch {
	case fresh:
		return old
	case !o.holdsRules(info.Key) || errors.Is(b.err, objstore.ErrNotFound):
		return cachedObject{}
	case b.err != nil:
		return cachedObject{entries: old.entries, errs: []error{fmt.Errorf("cannot read rules: %w", b.err)}}
	}
	c := cachedObject{size: info.Size, mod: info.ModTime}
	if id, namespace, group, isGroup := parseKey(info.Key); isGroup {
		c.entries, c.errs = o.decode(info.Key, id, namespace, group, b.bytes)
	} else {
		id, rest, _ := strings.Cut(strings.TrimPrefix(info.Key, groupsPrefix), "/")
		if rest == "" || o.single && id != tenant.Default {
			id, rest = tenant.Default, strings.TrimPrefix(info.Key, groupsPrefix)
		}
		c.entries, c.errs = parseRules(info.Key, id, rest, b.bytes, old.entries)
	}
	if o.now().Sub(info.ModTime) > settled {
		o.cache[info.Key] = c
	} else {
		o.cache[info.Key] = cachedObject{entries: c.entries}
	}
	return c
}

// decode reads the object of one group. What it says itself about its name must be what the key says.
func (o *objects) decode(key, id, namespace, group string, body []byte) ([]entry, []error) {
	g, err := decodeGroup(body)
	if err != nil {
		if yamlGroup, yamlErr := rules.DecodeGroup(body); yamlErr == nil {
			g, err = yamlGroup, nil
		}
	}
	if err != nil {
		return nil, []error{fmt.Errorf("cannot read rule group %s: %w", key, err)}
	}
	if g.Name != group {
		return nil, []error{fmt.Errorf("rule group %s calls itself %q, its key says %q", key, g.Name, group)}
	}
	if errs := g.Validate(); len(errs) > 0 {
		return nil, []error{fmt.Errorf("rule group %s: %w", key, errors.Join(errs...))}
	}
	return []entry{{tenant: id, namespace: namespace, group: g}}, nil
}

func (o *objects) set(ctx context.Context, id, namespace string, g *rules.Group) error {
	return o.bucket.Put(ctx, groupKey(id, namespace, g.Name), encodeGroup(id, namespace, g))
}

func (o *objects) delete(ctx context.Context, id, namespace, group string) error {
	delete(o.cache, groupKey(id, namespace, group))
	return o.bucket.Delete(ctx, groupKey(id, namespace, group))
}

// parseRules reads a file. Groups that are bad now and were good before go on as they were.
func parseRules(file, id, namespace string, body []byte, before []entry) ([]entry, []error) {
	f, errs := rules.ParseFile(body)
	for i, err := range errs {
		errs[i] = fmt.Errorf("%s: %w", file, err)
	}
	if f.Namespace != "" {
		namespace = f.Namespace
	}
	var entries []entry
	good := map[string]bool{}
	for _, g := range f.Groups {
		good[g.Name] = true
		entries = append(entries, entry{tenant: id, namespace: namespace, group: g, file: file})
	}
	for _, e := range before {
		if len(errs) > 0 && !good[e.group.Name] && mentions(errs, e.group.Name) {
			entries = append(entries, e)
		}
	}
	return entries, errs
}

// mentions tells whether one of the errors is about a group, or about the file as a whole.
func mentions(errs []error, group string) bool {
	for _, err := range errs {
		var e *rules.Error
		if !errors.As(err, &e) || e.Group == "" || e.Group == group {
			return true
		}
	}
	return false
}
