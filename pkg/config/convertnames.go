package config

import (
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"logstore/pkg/limits"
)

// renames are keys of old releases and where they are now, outside of caches.
var renames = [][2]string{
	{"http_prefix", "server.http_path_prefix"},
	{"querier.query_timeout", "limits_config.query_timeout"},
	{"querier.engine.timeout", "limits_config.query_timeout"},
	{"query_range.split_queries_by_interval", "limits_config.split_queries_by_interval"},
	{"compactor.deletion_mode", "limits_config.deletion_mode"},
	{"limits_config.per_tenant_override_config", "runtime_config.file"},
	{"limits_config.per_tenant_override_period", "runtime_config.period"},
	{"ingester.lifecycler.ring.kvstore.memberlist", "memberlist"},
	{"distributor.ring.kvstore.memberlist", "memberlist"},
	{"common.ring.kvstore.memberlist", "memberlist"},
}

// cacheRenames are those below each cache.
var cacheRenames = [][2]string{
	{"enable_fifocache", "embedded_cache.enabled"},
	{"fifocache.ttl", "embedded_cache.ttl"},
	{"fifocache.validity", "embedded_cache.ttl"},
	{"fifocache.max_size_items", "embedded_cache.max_size_items"},
	{"fifocache.max_size_bytes", "embedded_cache.max_size_mb"},
	{"redis.enable_tls", "redis.tls_enabled"},
}

// rename moves old names to new ones.
func (c *converter) rename() {
	for _, r := range renames {
		c.move(r[0], r[1])
	}
	d := Default()
	for _, cache := range d.Caches() {
		for _, r := range cacheRenames {
			c.move(cache.Path+"."+r[0], cache.Path+"."+r[1])
		}
	}
	for _, s3 := range []string{"common.storage.s3", "storage_config.aws", "ruler.storage.s3"} {
		c.move(s3+".sse_encryption", s3+".sse.type")
	}
}

// move moves a value to a new key, or drops it where the new key is there.
func (c *converter) move(from, to string) {
	k, value := c.take(from)
	if value == nil {
		return
	}
	if c.find(to) != nil {
		c.change(k.Line, from, "removed", "It is an old name of "+to+", which is there, too.")
		return
	}
	if !newValue(value, from) {
		c.change(k.Line, from, "removed", "It is an old name of "+to+", and says what holds without it.")
		return
	}
	c.change(k.Line, from, "moved to "+to, "Later releases of Loki have it there.")
	c.put(to, k, value)
}

// newValue writes a value as its new key has it; false if the key is not needed.
func newValue(v *yaml.Node, from string) bool {
	switch {
	case strings.HasSuffix(from, ".sse_encryption"):
		if on, _ := parseBool(v.Value); !on {
			return false
		}
		v.Value, v.Tag = "SSE-S3", "!!str"
	case strings.HasSuffix(from, ".fifocache.max_size_bytes"):
		n, err := parseSize(v.Value)
		if err != nil || n < 1<<20 {
			return false
		}
		v.Value, v.Tag, v.Style = strconv.FormatInt(n>>20, 10), "!!int", 0
	case from == "compactor.deletion_mode":
		if v.Value == "" || v.Value == "whole-stream-deletion" {
			v.Value, v.Tag = limits.DeletionFilterAndDelete, "!!str"
		}
	}
	return true
}

// find returns the value of a path, or nil.
func (c *converter) find(path string) *yaml.Node {
	n := c.root
	for name := range strings.SplitSeq(path, ".") {
		if n = child(n, name); n == nil {
			return nil
		}
	}
	return n
}

// take removes a path and returns its key and value, or nil.
func (c *converter) take(path string) (key, value *yaml.Node) {
	parent, name := c.root, path
	if i := strings.LastIndexByte(path, '.'); i >= 0 {
		parent, name = c.find(path[:i]), path[i+1:]
	}
	if child(parent, name) == nil {
		return nil, nil
	}
	for i := 0; i+1 < len(parent.Content); i += 2 {
		if k := parent.Content[i]; k.Value == name {
			v := parent.Content[i+1]
			parent.Content = slices.Delete(parent.Content, i, i+2)
			return k, v
		}
	}
	return nil, nil
}

// put sets a path, and makes the blocks around it. The comments of the old key go with it.
func (c *converter) put(path string, old, value *yaml.Node) {
	n := c.root
	names := strings.Split(path, ".")
	for _, name := range names[:len(names)-1] {
		next := child(n, name)
		if next == nil || next.Kind != yaml.MappingNode {
			next = &yaml.Node{Kind: yaml.MappingNode}
			n.Content = append(n.Content, text(name, "!!str"), next)
		}
		n = next
	}
	k := text(names[len(names)-1], "!!str")
	k.HeadComment, k.LineComment, k.FootComment = old.HeadComment, old.LineComment, old.FootComment
	n.Content = append(n.Content, k, value)
}
