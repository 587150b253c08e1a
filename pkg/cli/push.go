package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"logstore/pkg/client"
	"logstore/pkg/command"
	"logstore/pkg/model"
	"logstore/pkg/wire"
)

// pushFlags are the flags of `push`.
type pushFlags struct {
	conn
	labels, metadata map[string]string
	input            string
	compression      string
	lines, bytes     int
	wait             time.Duration
}

const (
	inputRaw   = "raw"
	inputJSONL = "jsonl"
)

func pushCommand() *command.Command {
	p := &pushFlags{}
	return &command.Command{
		Name: "push", Args: "[FILE...]", Summary: "store lines of files, or of the standard input",
		Help: `Each line of the files, or of the standard input where no file or - is named, becomes an entry of the stream that -label names, with the
time at which it was read.

With -input=jsonl each line is an object: "line", and as far as it has them "timestamp" (RFC 3339, or nanoseconds since 1970, as a
string or a number), "labels" and "metadata" (objects of strings). That is what query -output=export writes.

  journalctl -o cat | logstore push -label app=journal -label host=$HOSTNAME
  logstore query -limit=0 -forward -output=export '{app="web"}' | logstore push -addr=http://other:3100 -input=jsonl

A request that fails is sent again (-retries); lines that the store has are stored once. Exit code 3 tells that the store
refused some of the lines; why is written to the standard error.

` + connectHelp,
		Flags: p.register,
		Run:   p.run(0, -1, p.do),
	}
}

func (p *pushFlags) register(set *flag.FlagSet) {
	p.conn.register(set)
	retries := set.Lookup("retries")
	_ = retries.Value.Set("10") // a number is taken
	retries.DefValue = "10"
	p.labels, p.metadata = map[string]string{}, map[string]string{}
	set.Func("label", "`NAME=VALUE` of the stream; may be repeated", pairs(p.labels))
	set.Func("metadata", "`NAME=VALUE` of structured metadata of each line; may be repeated", pairs(p.metadata))
	set.StringVar(&p.input, "input", inputRaw, "`FORMAT` of the input: raw or jsonl")
	set.StringVar(&p.compression, "compression", client.PushSnappy, "`NAME` of the encoding: snappy (with protobuf), gzip or none (with JSON)")
	set.IntVar(&p.lines, "batch-lines", 10_000, "most `LINES` of a request")
	set.IntVar(&p.bytes, "batch-bytes", 1<<20, "most `BYTES` of lines in a request; a line alone may be longer")
	set.DurationVar(&p.wait, "batch-wait", time.Second, "longest time that a line waits for others")
}

func pairs(into map[string]string) func(string) error {
	return func(text string) error {
		name, value, ok := cutPair(text)
		if !ok {
			return errors.New("want name=value")
		}
		into[name] = value
		return nil
	}
}

func (p *pushFlags) do(ctx context.Context, io *command.IO, cl *client.Client, args []string) error {
	switch {
	case p.input != inputRaw && p.input != inputJSONL:
		return command.Usagef("-input: there is no format %q, only raw and jsonl", p.input)
	case !slices.Contains([]string{client.PushSnappy, client.PushGzip, client.PushPlain}, p.compression):
		return command.Usagef("-compression: there is no %q, only snappy, gzip and none", p.compression)
	case p.input == inputRaw && len(p.labels) == 0:
		return command.Usagef("a stream needs a label, such as -label app=web")
	case p.lines < 1 || p.bytes < 1 || p.wait <= 0:
		return command.Usagef("-batch-lines, -batch-bytes and -batch-wait must be above 0")
	}
	if len(args) == 0 {
		args = []string{"-"}
	}
	push := &pusher{flags: p, client: cl, io: io, progress: io.Progress("lines pushed", 0)}
	if p.quiet {
		quiet := *io
		quiet.Terminal = false
		push.progress = quiet.Progress("", 0)
	}
	err := push.run(ctx, args)
	push.progress.End()
	if err != nil {
		return fmt.Errorf("after %d lines in %d requests: %w", push.sent, push.requests, err)
	}
	if !p.quiet {
		io.Notef("pushed %d lines, %s, in %d requests", push.sent, wire.FormatBytes(push.bytes), push.requests)
	}
	if push.refused > 0 {
		return fmt.Errorf("the store refused lines of %d requests: %w", push.refused, command.ErrFindings)
	}
	return nil
}

// pusher collects lines and sends them. One goroutine uses it.
type pusher struct {
	flags    *pushFlags
	client   *client.Client
	io       *command.IO
	progress *command.Progress

	batch batch
	// last is the time of the newest line without one of its own: each has its own instant, so that order is kept.
	last                           int64
	sent, bytes, requests, refused int
}

// batch is a request to be.
type batch struct {
	streams      map[string]*wire.PushStream
	order        []string
	lines, bytes int
}

// run reads all inputs to their ends.
func (p *pusher) run(ctx context.Context, files []string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lines := make(chan inputLine, 1024)
	failed := make(chan error, 1)
	go func() {
		defer close(lines)
		failed <- readLines(ctx, p.io.Stdin, files, lines)
	}()
	timer := time.NewTimer(p.flags.wait)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			if err := p.flush(ctx); err != nil {
				return err
			}
		case line, ok := <-lines:
			if !ok {
				err := <-failed
				return errors.Join(err, p.flush(ctx))
			}
			if p.batch.lines == 0 {
				timer.Reset(p.flags.wait)
			}
			if err := p.add(ctx, line); err != nil {
				return err
			}
		}
	}
}

// add takes a line into the batch, which is sent before if it would grow too large.
func (p *pusher) add(ctx context.Context, line inputLine) error {
	e, labels, err := p.entry(line)
	if err != nil {
		return errors.Join(err, p.flush(ctx)) // what came before is good
	}
	size := e.Size()
	if p.batch.lines >= p.flags.lines || p.batch.lines > 0 && p.batch.bytes+size > p.flags.bytes {
		if err := p.flush(ctx); err != nil {
			return err
		}
	}
	b := &p.batch
	if b.streams == nil {
		b.streams = map[string]*wire.PushStream{}
	}
	s := b.streams[labels]
	if s == nil {
		s = &wire.PushStream{Labels: labels}
		b.streams[labels] = s
		b.order = append(b.order, labels)
	}
	s.Entries = append(s.Entries, e)
	b.lines++
	b.bytes += size
	return nil
}

// entry makes an entry of a line of the input.
func (p *pusher) entry(line inputLine) (e wire.PushEntry, labels string, err error) {
	set, meta := p.flags.labels, p.flags.metadata
	e.Line = line.text
	if p.flags.input == inputJSONL {
		one, err := parseLine(line.text)
		if err != nil {
			return e, "", fmt.Errorf("%s:%d: %w", line.file, line.number, err)
		}
		e.Line, e.Timestamp = []byte(one.line), one.timestamp
		if len(one.labels) > 0 {
			set = maps.Clone(set)
			maps.Copy(set, one.labels)
		}
		if len(one.metadata) > 0 {
			meta = maps.Clone(meta)
			maps.Copy(meta, one.metadata)
		}
		if len(set) == 0 {
			return e, "", fmt.Errorf("%s:%d: the line has no labels, and there is no -label", line.file, line.number)
		}
	}
	if e.Timestamp == 0 {
		p.last = max(p.last+1, line.read)
		e.Timestamp = p.last
	}
	for _, name := range slices.Sorted(maps.Keys(meta)) {
		e.Metadata = append(e.Metadata, model.Pair{Name: name, Value: meta[name]})
	}
	return e, formatLabels(set), nil
}

func (p *pusher) flush(ctx context.Context) error {
	b := p.batch
	p.batch = batch{}
	if b.lines == 0 {
		return nil
	}
	streams := make([]wire.PushStream, 0, len(b.order))
	for _, labels := range b.order {
		streams = append(streams, *b.streams[labels])
	}
	return p.send(ctx, streams)
}

// maxRefusals is how many refusals are written; all are counted.
const maxRefusals = 10

// send sends a request, in two halves if it is too large for the store.
func (p *pusher) send(ctx context.Context, streams []wire.PushStream) error {
	err := p.client.Push(ctx, streams, p.flags.compression)
	var refused *client.StatusError
	if errors.As(err, &refused) && refused.Status == http.StatusRequestEntityTooLarge {
		if a, b := halves(streams); a != nil {
			if err := p.send(ctx, a); err != nil {
				return err
			}
			return p.send(ctx, b)
		}
	}
	lines, bytes := size(streams)
	switch {
	case errors.As(err, &refused) && refused.Status == http.StatusBadRequest:
		if p.refused++; p.refused <= maxRefusals {
			p.progress.End()
			p.io.Notef("the store refused some or all of %d lines: %.600s", lines, refused.Message)
		}
	case err != nil:
		return err
	}
	p.sent, p.bytes, p.requests = p.sent+lines, p.bytes+bytes, p.requests+1
	p.progress.Add(int64(lines))
	return nil
}

func size(streams []wire.PushStream) (lines, bytes int) {
	for _, s := range streams {
		lines += len(s.Entries)
		for i := range s.Entries {
			bytes += s.Entries[i].Size()
		}
	}
	return lines, bytes
}

// halves cuts a request in two of about as many lines each, or returns nil for a single line.
func halves(streams []wire.PushStream) (a, b []wire.PushStream) {
	lines, _ := size(streams)
	if lines < 2 {
		return nil, nil
	}
	left := lines / 2
	for _, s := range streams {
		n := min(left, len(s.Entries))
		if n > 0 {
			a = append(a, wire.PushStream{Labels: s.Labels, Entries: s.Entries[:n]})
		}
		if n < len(s.Entries) {
			b = append(b, wire.PushStream{Labels: s.Labels, Entries: s.Entries[n:]})
		}
		left -= n
	}
	return a, b
}
