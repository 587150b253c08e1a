package config

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Change is something that Convert did to a file.
type Change struct {
	// Line is where the key stood; 0 for one that is new.
	Line int    `json:"line,omitempty"`
	Path string `json:"key"`
	What string `json:"what"`
	Why  string `json:"why,omitempty"`
}

// Conversion is a converted file.
type Conversion struct {
	Text    []byte   `json:"-"`
	Changes []Change `json:"changes"`
	// Problems are what a person must decide; with one, the store refuses the text.
	Problems []string `json:"problems,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
}

// Convert rewrites a file of any release of Loki: keys without effect and refused ones go, old names become new ones, and where
// the index that is written is tsdb a period with boltdb-shipper follows from tomorrow on. Comments say what was done and why; those
// of the file stay. Variables stay as they are; with expand they count as what the environment makes of them.
func Convert(file string, text []byte, expand bool, env LookupEnv, now time.Time) (*Conversion, error) {
	expanded := func(text []byte) ([]byte, error) {
		if !expand {
			return text, nil
		}
		out, err := expandEnv(string(text), env)
		return []byte(out), err
	}
	seen, err := expanded(text)
	if err != nil {
		return nil, fmt.Errorf("cannot expand %s: %w", file, err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, newDecoder(file).syntaxError(err)
	}
	c := &converter{reports: map[string]KeyReport{}, notes: map[string][]string{}}
	if doc.Kind == 0 || len(doc.Content) == 0 || doc.Content[0].Kind != yaml.MappingNode {
		return nil, fmt.Errorf("%s holds no mapping of keys", file)
	}
	c.root = resolve(doc.Content[0], 0)
	for _, k := range explain(file, seen).Keys {
		c.reports[k.Path] = k
	}
	c.block(c.root, "")
	c.rename()
	c.write(&doc, now)
	if err := c.finish(file, &doc, expanded, now); err != nil {
		return nil, err
	}
	slices.SortStableFunc(c.out.Changes, func(a, b Change) int { return a.Line - b.Line })
	return &c.out, nil
}

// converter works on the tree of a file.
type converter struct {
	root    *yaml.Node
	reports map[string]KeyReport // by path
	notes   map[string][]string  // what to say above a block
	out     Conversion
}

// resolve copies a tree with aliases and merged mappings worked in: what is changed in one place must not change in another.
func resolve(n *yaml.Node, depth int) *yaml.Node {
	if depth > maxDepth {
		return &yaml.Node{Kind: yaml.MappingNode}
	}
	if n.Kind == yaml.AliasNode {
		return resolve(n.Alias, depth+1)
	}
	out := *n
	out.Anchor, out.Content = "", nil
	for i := 0; i < len(n.Content); i++ {
		if n.Kind == yaml.MappingNode && i%2 == 0 && n.Content[i].Value == "<<" && n.Content[i].Style == 0 {
			merged := resolve(n.Content[i+1], depth+1)
			parts := []*yaml.Node{merged}
			if merged.Kind == yaml.SequenceNode {
				parts = merged.Content
			}
			for _, part := range parts {
				for j := 0; j+1 < len(part.Content); j += 2 {
					if child(n, part.Content[j].Value) == nil && child(&out, part.Content[j].Value) == nil {
						out.Content = append(out.Content, part.Content[j], part.Content[j+1])
					}
				}
			}
			i++
			continue
		}
		out.Content = append(out.Content, resolve(n.Content[i], depth+1))
	}
	return &out
}

// child returns the value of a mapping's key, or nil.
func child(n *yaml.Node, name string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return n.Content[i+1]
		}
	}
	return nil
}

// block removes what has no effect and mends what is refused, in a block and below it.
func (c *converter) block(n *yaml.Node, path string) {
	switch n.Kind {
	case yaml.SequenceNode:
		for i, item := range n.Content {
			c.block(item, fmt.Sprintf("%s[%d]", path, i))
		}
	case yaml.MappingNode:
		kept := n.Content[:0:0]
		for i := 0; i+1 < len(n.Content); i += 2 {
			k, v := n.Content[i], n.Content[i+1]
			p := joinPath(path, k.Value)
			if !c.keep(v, p, k.Line) {
				continue
			}
			before := len(v.Content)
			c.block(v, p)
			if before > 0 && len(v.Content) == 0 {
				continue // nothing is left of it
			}
			kept = append(kept, k, v)
		}
		n.Content = kept
	}
}

// keep judges a key, and changes its value where that is what is refused.
func (c *converter) keep(v *yaml.Node, path string, line int) bool {
	report, ok := c.reports[path]
	if !ok {
		return true
	}
	switch report.State {
	case KeyNoEffect:
		c.change(line, path, "removed", report.Text)
		return false
	case KeyRefused:
		return c.mend(v, path, line, report.Text)
	}
	return true
}

// mend does something about a key that is refused, and reports whether it stays.
func (c *converter) mend(v *yaml.Node, path string, line int, why string) bool {
	switch {
	case strings.HasPrefix(why, "unknown key"):
		c.change(line, path, "removed", "No release of Loki has it there ("+why+").")
		return false
	case strings.HasSuffix(path, "kvstore.store") && !strings.HasPrefix(path, "query_scheduler."):
		if child(child(c.root, "memberlist"), "join_members") != nil {
			c.change(line, path, "changed from "+v.Value+" to "+RingMemberlist, "Members find each other by gossip.")
			v.Value, v.Tag, v.Style = RingMemberlist, "!!str", 0
			return true
		}
		c.change(line, path, "removed", "Members find each other by gossip: for several, name them in memberlist.join_members.")
		return false
	case path == "target", strings.HasSuffix(path, "_shipper.mode"), strings.HasSuffix(path, "delete_request_store_db_type"),
		strings.HasPrefix(path, "ingester.kafka_ingestion."), strings.HasPrefix(path, "query_scheduler."):
		c.change(line, path, "removed", strings.ToUpper(why[:1])+why[1:]+".")
		return false
	}
	return true // told as a problem by finish
}

// change notes what was done.
func (c *converter) change(line int, path, what, why string) {
	c.out.Changes = append(c.out.Changes, Change{Line: line, Path: path, What: what, Why: why})
	top, _, _ := strings.Cut(path, ".")
	c.notes[top] = append(c.notes[top], strings.TrimSpace(path+": "+what+". "+why))
}

// write puts the notes above the blocks that they are about, and those of blocks that are gone at the top.
func (c *converter) write(doc *yaml.Node, now time.Time) {
	prune(c.root)
	head := []string{"Converted by logstore config convert on " + now.UTC().Format(time.DateOnly) + "."}
	var gone []string
	for top := range c.notes {
		if child(c.root, top) == nil {
			gone = append(gone, top)
		}
	}
	slices.Sort(gone)
	for _, top := range gone {
		head = append(head, c.notes[top]...)
	}
	for i := 0; i+1 < len(c.root.Content); i += 2 {
		k := c.root.Content[i]
		if lines := c.notes[k.Value]; len(lines) > 0 {
			k.HeadComment = strings.TrimSpace(k.HeadComment + "\n" + comment(lines))
		}
	}
	doc.HeadComment = strings.TrimSpace(comment(head) + "\n\n" + doc.HeadComment)
	doc.Content[0] = c.root
}

// prune removes mappings that became empty when their keys moved.
func prune(n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		return
	}
	kept := n.Content[:0:0]
	for i := 0; i+1 < len(n.Content); i += 2 {
		v := n.Content[i+1]
		prune(v)
		if v.Kind == yaml.MappingNode && len(v.Content) == 0 {
			continue
		}
		kept = append(kept, n.Content[i], v)
	}
	n.Content = kept
}

// comment makes comment lines of texts, broken at a width.
func comment(lines []string) string {
	var out strings.Builder
	for _, line := range lines {
		out.WriteString("# " + strings.ReplaceAll(wrap(line, 2, 110), "\n  ", "\n#   ") + "\n")
	}
	return out.String()
}

// finish adds a period if one is needed, writes the text and reads it back.
func (c *converter) finish(file string, doc *yaml.Node, expanded func([]byte) ([]byte, error), now time.Time) error {
	for range 2 {
		var out bytes.Buffer
		encoder := yaml.NewEncoder(&out)
		encoder.SetIndent(2)
		if err := encoder.Encode(doc); err != nil {
			return fmt.Errorf("cannot write the converted file: %w", err)
		}
		c.out.Text = out.Bytes()
		seen, err := expanded(c.out.Text)
		if err != nil {
			return err
		}
		e := explain(file, seen)
		c.out.Problems, c.out.Warnings = e.Errors, e.Warnings
		if e.Config == nil || !c.addPeriod(e.Config, now) {
			return nil
		}
	}
	return nil
}

// addPeriod lets a period with boltdb-shipper follow one with tsdb, and reports whether it did.
func (c *converter) addPeriod(cfg *Config, now time.Time) bool {
	list := child(child(c.root, "schema_config"), "configs")
	periods := cfg.Schema.Configs
	if list == nil || len(periods) == 0 || len(list.Content) != len(periods) {
		return false
	}
	last := periods[len(periods)-1]
	if last.Store != StoreTSDB {
		return false
	}
	why := "The index store tsdb is read here and not written. Until that day, which begins at 00:00 UTC, let the Loki that writes the " +
		"bucket go on; then stop it and start logstore. Move the day if you switch later."
	tomorrow := now.UTC().Truncate(day).Add(day)
	path := fmt.Sprintf("schema_config.configs[%d]", len(periods))
	node := list.Content[len(list.Content)-1]
	if last.From.Before(tomorrow) {
		node = resolve(node, 0)
		node.HeadComment, node.FootComment = "", ""
		if from := child(node, "from"); from != nil {
			from.Value, from.Tag, from.Style, from.LineComment = tomorrow.Format(time.DateOnly), "", 0, ""
		}
		list.Content = append(list.Content, node)
		list.Style = 0
	} else {
		path = fmt.Sprintf("schema_config.configs[%d]", len(periods)-1)
	}
	if store := child(node, "store"); store != nil {
		store.Value, store.Tag, store.Style, store.LineComment = StoreBoltDBShipper, "", 0, ""
	}
	node.HeadComment = strings.TrimSpace(comment([]string{why}))
	c.out.Changes = append(c.out.Changes, Change{Path: path, What: "added, with store " + StoreBoltDBShipper, Why: why})
	return true
}
