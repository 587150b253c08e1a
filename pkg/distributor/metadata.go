package distributor

import (
	"fmt"

	"logstore/pkg/model"
	"logstore/pkg/wire"
)

const seeLimit = "Please see `limits_config.%s` or contact your Loki administrator to increase it"

// metadata checks the structured metadata of an entry, cleans its names and sorts it by them. It reports whether the
// entry is good.
func (c *checker) metadata(info *streamInfo, e *wire.PushEntry) bool {
	lim := c.limits
	if !lim.AllowStructuredMetadata {
		c.refuse(e, reasonMetadataForbidden, func() string {
			return fmt.Sprintf("stream '%s' includes structured metadata, but this feature is disallowed. Please see `limits_config.allow_structured_metadata` or contact your Loki administrator to enable it", info.text)
		})
		return false
	}
	if size := e.Size() - len(e.Line); lim.MaxStructuredMetadataSize > 0 && size > lim.MaxStructuredMetadataSize {
		c.refuse(e, reasonMetadataTooLarge, func() string {
			return fmt.Sprintf("stream '%s' has structured metadata too large: '%d' bytes, limit: '%d' bytes. "+seeLimit, info.text, size, lim.MaxStructuredMetadataSize, "max_structured_metadata_size")
		})
		return false
	}
	if n := len(e.Metadata); lim.MaxStructuredMetadataEntriesCount > 0 && n > lim.MaxStructuredMetadataEntriesCount {
		c.refuse(e, reasonMetadataTooMany, func() string {
			return fmt.Sprintf("stream '%s' has too many structured metadata labels: '%d', limit: '%d'. "+seeLimit, info.text, n, lim.MaxStructuredMetadataEntriesCount, "max_structured_metadata_entries_count")
		})
		return false
	}
	if !isTidy(e.Metadata) {
		e.Metadata = c.tidy(e.Metadata)
	}
	return true
}

// isTidy reports whether the names are clean and ascending and no value is empty.
func isTidy(meta []model.Pair) bool {
	for i := range meta {
		if meta[i].Value == "" || !wire.IsCleanName(meta[i].Name) || i > 0 && meta[i-1].Name >= meta[i].Name {
			return false
		}
	}
	return true
}

// tidy cleans and sorts metadata in place. Pairs without a name or value vanish; of equal names the last one counts.
func (c *checker) tidy(meta []model.Pair) []model.Pair {
	kept := meta[:0]
	for _, p := range meta {
		if p.Name == "" || p.Value == "" {
			continue
		}
		if !wire.IsCleanName(p.Name) {
			from := len(c.names)
			c.names = wire.AppendCleanName(c.names, p.Name)
			p.Name = wire.AliasString(c.names[from:])
		}
		// Insertion keeps the order of equal names, and is quick for the few pairs of an entry.
		i := len(kept)
		for i > 0 && kept[i-1].Name > p.Name {
			i--
		}
		if i > 0 && kept[i-1].Name == p.Name {
			kept[i-1] = p
			continue
		}
		kept = append(kept, model.Pair{})
		copy(kept[i+1:], kept[i:])
		kept[i] = p
	}
	if len(kept) == 0 {
		return nil
	}
	return kept
}
