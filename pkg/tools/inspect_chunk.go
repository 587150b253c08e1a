package tools

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"

	"logstore/pkg/chunk"
	"logstore/pkg/command"
	"logstore/pkg/model"
	"logstore/pkg/schema"
)

// chunkView is what is shown of a chunk.
type chunkView struct {
	Key         string            `json:"key"`
	Tenant      string            `json:"tenant"`
	Fingerprint string            `json:"fingerprint"`
	Labels      map[string]string `json:"labels"`
	From        string            `json:"from"`
	Through     string            `json:"through"`
	Bytes       int               `json:"bytes"`
	Version     byte              `json:"version"`
	Encoding    string            `json:"encoding"`
	Checksum    string            `json:"checksum"`
	Entries     int               `json:"entries"`
	Blocks      []blockView       `json:"blocks"`
	Lines       []lineView        `json:"lines,omitempty"`
	// Error says what is wrong with the chunk; empty if nothing is.
	Error string `json:"error,omitempty"`

	text string
}

type blockView struct {
	From         string `json:"from"`
	Through      string `json:"through"`
	Entries      int    `json:"entries"`
	Bytes        int    `json:"bytes"`
	Uncompressed int    `json:"uncompressed_bytes"`
	Error        string `json:"error,omitempty"`
}

type lineView struct {
	Time     string            `json:"time"`
	Line     string            `json:"line"`
	Metadata map[string]string `json:"metadata,omitempty"`
}

func inspectChunk() *command.Command {
	var t target
	var lines bool
	return &command.Command{
		Name: "chunk", Args: "KEY|FILE...", Summary: "show the header, the blocks and the lines of chunks",
		Help: `
KEY is the key of a chunk as queries, errors and check name it, in the bucket of -config.file; FILE is an object on the disk.

  logstore inspect chunk -config.file=loki.yaml acme/39f314664f94044d/19baa5a3fff:19baa5a4000:a2bd1dff
  logstore inspect chunk -lines ./chunk.bin`,
		Flags: func(set *flag.FlagSet) {
			t.flags(set)
			set.BoolVar(&lines, "lines", false, "show the lines")
		},
		Run: func(ctx context.Context, o *command.IO, args []string) error {
			if len(args) == 0 {
				return command.Usagef("name a chunk: a key in the bucket, or a file")
			}
			var views []*chunkView
			var b *opened
			for _, arg := range args {
				var body []byte
				var err error
				name := schema.ChunkName{}
				if localFile(arg) {
					body, err = os.ReadFile(arg)
				} else {
					if name, err = schema.ParseChunkKey(arg); err != nil {
						return command.Usagef("%q is no file and no key of a chunk: %w", arg, err)
					}
					if b == nil {
						if b, err = t.open(o); err != nil {
							return err
						}
						defer b.Close()
					}
					body, err = b.Get(ctx, name)
				}
				if err != nil {
					return fmt.Errorf("cannot read chunk %s: %w", arg, err)
				}
				views = append(views, viewChunk(arg, name, body, lines))
			}
			return writeChunks(o, views, t.json)
		},
	}
}

// viewChunk opens a chunk as far as it can be.
func viewChunk(arg string, name schema.ChunkName, body []byte, lines bool) *chunkView {
	v := &chunkView{Key: arg, Bytes: len(body), Checksum: fmt.Sprintf("%08x", chunk.Sum(body)), Labels: map[string]string{}, Blocks: []blockView{}}
	c, err := chunk.Open(body)
	if err == nil && name.Tenant != "" {
		_, err = chunk.OpenRef(body, name.ChunkRef)
	}
	if err != nil {
		v.Error = err.Error()
	}
	if c == nil {
		return v
	}
	v.Tenant, v.Fingerprint = c.Tenant, fmt.Sprintf("%x", c.Fingerprint)
	v.Labels, v.text = c.Labels.Map(), c.Labels.String()
	v.From, v.Through = timeOf(c.From*1e6), timeOf(c.Through*1e6)
	v.Version, v.Encoding = c.Version, c.Encoding.String()
	for i := range c.Blocks {
		v.block(&c.Blocks[i], lines)
	}
	return v
}

func (v *chunkView) block(blk *chunk.Block, lines bool) {
	view := blockView{From: timeOf(blk.MinTime), Through: timeOf(blk.MaxTime), Entries: blk.Entries, Bytes: blk.Bytes(), Uncompressed: blk.Size}
	b := chunk.GetBatch()
	defer chunk.PutBatch(b)
	err := b.Load(blk)
	if err == nil {
		err = b.Walk()
	}
	if err != nil {
		view.Error = err.Error()
		v.Error = "a block is damaged"
	} else if lines {
		v.lines(b)
	}
	v.Entries += blk.Entries
	v.Blocks = append(v.Blocks, view)
}

func (v *chunkView) lines(b *chunk.Batch) {
	var pairs []model.Pair
	for i, ts := range b.Ts {
		line := lineView{Time: timeOf(ts), Line: string(b.Line(i))}
		if b.Meta != nil {
			pairs = b.Metadata(i, pairs[:0])
			for _, p := range pairs {
				if line.Metadata == nil {
					line.Metadata = map[string]string{}
				}
				line.Metadata[strings.Clone(p.Name)] = strings.Clone(p.Value)
			}
		}
		v.Lines = append(v.Lines, line)
	}
}

func writeChunks(o *command.IO, views []*chunkView, asJSON bool) error {
	bad := int64(0)
	for _, v := range views {
		if v.Error != "" {
			bad++
		}
	}
	if asJSON {
		if err := o.JSON(views); err != nil {
			return err
		}
	} else {
		for i, v := range views {
			if i > 0 {
				fmt.Fprintln(o.Stdout)
			}
			if err := v.write(o); err != nil {
				return err
			}
		}
	}
	if bad > 0 {
		return fmt.Errorf("%s damaged: %w", plural(bad, "chunk"), command.ErrFindings)
	}
	return nil
}

func (v *chunkView) write(o *command.IO) error {
	err := o.Table(
		[]string{"key", v.Key}, []string{"tenant", v.Tenant}, []string{"labels", v.text}, []string{"fingerprint", v.Fingerprint},
		[]string{"from", v.From}, []string{"through", v.Through},
		[]string{"size", fmt.Sprintf("%d bytes, %d entries in %s", v.Bytes, v.Entries, plural(int64(len(v.Blocks)), "block"))},
		[]string{"format", fmt.Sprintf("version %d, %s", v.Version, v.Encoding)}, []string{"checksum", v.Checksum},
	)
	if err == nil && len(v.Blocks) > 0 {
		rows := [][]string{{"block", "from", "through", "entries", "bytes", "uncompressed", "state"}}
		for i, b := range v.Blocks {
			state := "ok"
			if b.Error != "" {
				state = b.Error
			}
			rows = append(rows, []string{fmt.Sprint(i), b.From, b.Through, fmt.Sprint(b.Entries), fmt.Sprint(b.Bytes), fmt.Sprint(b.Uncompressed), state})
		}
		err = o.Table(rows...)
	}
	for _, l := range v.Lines {
		text := l.Time + " " + l.Line
		if l.Metadata != nil {
			meta, _ := json.Marshal(l.Metadata) // a map of strings
			text = l.Time + " " + string(meta) + " " + l.Line
		}
		if err == nil {
			_, err = fmt.Fprintln(o.Stdout, text)
		}
	}
	if err == nil && v.Error != "" {
		_, err = fmt.Fprintln(o.Stdout, "damaged:", v.Error)
	}
	return err
}
