package cli

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"logstore/pkg/client"
	"logstore/pkg/command"
)

// partFlags are about the files of a download in parts.
type partFlags struct {
	prefix                 string
	overwrite, merge, keep bool
}

func (f *partFlags) register(set *flag.FlagSet) {
	*f = partFlags{}
	set.StringVar(&f.prefix, "part-path-prefix", "", "write each piece to a file of its own whose name begins with this `PREFIX`, and take the rest where\nit was left when the same command is run again; all entries are taken, -limit does not count")
	set.BoolVar(&f.overwrite, "overwrite-completed-parts", false, "fetch pieces again whose files are there")
	set.BoolVar(&f.merge, "merge-parts", false, "write the files in order to the standard output when all are there, and remove them")
	set.BoolVar(&f.keep, "keep-parts", false, "with -merge-parts: do not remove the files")
}

func (f *partFlags) check() error {
	switch {
	case f.prefix == "" && (f.merge || f.overwrite):
		return command.Usagef("-merge-parts and -overwrite-completed-parts need -part-path-prefix")
	case f.keep && !f.merge:
		return command.Usagef("-keep-parts is for -merge-parts: files that are not merged are kept")
	}
	return nil
}

// partTime is how times stand in the names of files: for whole seconds their order by name is that by time.
const partTime = "20060102T150405.999999999Z"

// partPath returns the name of a piece's file: prefix-START-END-QUERY.part, in UTC, with a hash over all that its content depends on, so that
// another query never takes it for its own.
func (q *query) partPath(cl *client.Client, r client.Range) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %q %s %+v", cl.Address(), cl.Tenant(), r.Query, r.Direction, r.Interval, q.outputFlags))
	return fmt.Sprintf("%s-%s-%s-%s.part", q.parts.prefix, r.Start.UTC().Format(partTime), r.End.UTC().Format(partTime), hex.EncodeToString(sum[:4]))
}

// download fetches each piece of the time range into a file, several at a time. A file that has its name is complete.
func (q *query) download(ctx context.Context, io *command.IO, cl *client.Client, r client.Range, all *stats, show *progress) error {
	r.Limit = 0
	list := pieces(r, time.Duration(q.part))
	if _, err := q.printer(io, true); err != nil { // before anything is fetched
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(q.workers)
	done := &tally{stats: all}
	for _, part := range list {
		group.Go(func() error {
			path := q.partPath(cl, part.query)
			if _, err := os.Stat(path); err == nil && !q.parts.overwrite {
				done.skip()
				return nil
			}
			own := &stats{}
			n, err := q.fetchPart(ctx, io, cl, part.query, path, own)
			if err == nil {
				parts, entries := done.add(own, n)
				show.Show("%d of %d parts, %d entries", parts, len(list), entries)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	show.end()
	if !q.quiet {
		io.Notef("%d parts with %d entries, and %d parts that were there already", done.parts, done.entries, done.skipped)
	}
	if q.parts.merge {
		for _, part := range list {
			if err := q.mergePart(io, q.partPath(cl, part.query)); err != nil {
				return err
			}
		}
	}
	return q.check(done.entries > 0 || done.skipped > 0)
}

// tally counts what workers did. It is safe for concurrent use.
type tally struct {
	mu                      sync.Mutex
	stats                   *stats
	parts, skipped, entries int
}

func (t *tally) skip() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.skipped++
}

// add counts a part, and returns what there is so far.
func (t *tally) add(own *stats, entries int) (parts, all int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stats.merge(own)
	t.parts++
	t.entries += entries
	return t.parts + t.skipped, t.entries
}

// fetchPart writes a piece to path and returns how many entries it has. Until it is complete the file has another name.
func (q *query) fetchPart(ctx context.Context, console *command.IO, cl *client.Client, r client.Range, path string, all *stats) (entries int, err error) {
	unfinished := path + ".tmp"
	file, err := os.Create(filepath.Clean(unfinished))
	if err != nil {
		return 0, fmt.Errorf("cannot write a part: %w", err)
	}
	defer func() {
		if err != nil {
			_ = file.Close()
			_ = os.Remove(unfinished) // the first error counts
		}
	}()
	to := *console
	to.Stdout = file
	p, err := q.printer(&to, true)
	if err != nil {
		return 0, err
	}
	p.includeCommon = true // what all lines of one part have in common the next may not
	pages := &pager{client: cl, query: r, batch: q.batch, most: maxPage, stats: all}
	if err := pages.run(ctx, p.page); err != nil {
		return 0, err
	}
	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		return 0, fmt.Errorf("cannot write %s: %w", unfinished, err)
	}
	if err := os.Rename(unfinished, path); err != nil {
		return 0, fmt.Errorf("cannot write a part: %w", err)
	}
	return p.count, nil
}

// mergePart writes the file of a part to the standard output.
func (q *query) mergePart(console *command.IO, path string) error {
	file, err := os.Open(filepath.Clean(path))
	if err != nil {
		return fmt.Errorf("cannot merge the parts: %w", err)
	}
	_, err = io.Copy(console.Stdout, bufio.NewReader(file))
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("cannot merge %s: %w", path, err)
	}
	if q.parts.keep {
		return nil
	}
	return os.Remove(path)
}
