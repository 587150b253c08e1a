package command

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
)

// IO is where a command reads from and writes to.
type IO struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Terminal is set if a human watches the standard error: only then is progress shown.
	Terminal bool
	// LookupEnv reads the environment.
	LookupEnv func(string) (string, bool)
}

// OS returns the process's own.
func OS() *IO {
	info, err := os.Stderr.Stat()
	return &IO{
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, LookupEnv: os.LookupEnv,
		Terminal: err == nil && info.Mode()&os.ModeCharDevice != 0,
	}
}

// Env returns a variable of the environment.
func (o *IO) Env(name string) (string, bool) {
	if o.LookupEnv == nil {
		return "", false
	}
	return o.LookupEnv(name)
}

// Notef writes a line for the human to the standard error.
func (o *IO) Notef(format string, args ...any) { fmt.Fprintf(o.Stderr, format+"\n", args...) }

// JSON writes a value to the standard output as one indented document.
func (o *IO) JSON(v any) error {
	enc := json.NewEncoder(o.Stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// Table writes rows to the standard output in aligned columns.
func (o *IO) Table(rows ...[]string) error {
	w := tabwriter.NewWriter(o.Stdout, 0, 8, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	return w.Flush()
}

// Progress shows on a terminal how far a long work is. On anything else it shows nothing. It is safe for concurrent use.
type Progress struct {
	io   *IO
	what string

	mu          sync.Mutex
	done, total int64
	shown       time.Time
	width       int
}

// progressEvery is how often the line is drawn anew.
const progressEvery = 100 * time.Millisecond

// Progress begins a work. total may be 0 when it is not known.
func (o *IO) Progress(what string, total int64) *Progress {
	return &Progress{io: o, what: what, total: total}
}

// Add notes that n more are done.
func (p *Progress) Add(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done += n
	p.drawLocked()
}

// Grow makes the work longer by n.
func (p *Progress) Grow(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total += n
	p.drawLocked()
}

// Show shows a text of the caller's own.
func (p *Progress) Show(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.showLocked(func() string { return fmt.Sprintf(format, args...) })
}

func (p *Progress) drawLocked() {
	p.showLocked(func() string {
		if p.total > 0 {
			return fmt.Sprintf("%s: %d of %d (%d%%)", p.what, p.done, p.total, 100*p.done/p.total)
		}
		return fmt.Sprintf("%s: %d", p.what, p.done)
	})
}

func (p *Progress) showLocked(text func() string) {
	if !p.io.Terminal || time.Since(p.shown) < progressEvery {
		return
	}
	p.shown = time.Now()
	line := text()
	fmt.Fprintf(p.io.Stderr, "\r%-*s", p.width, line)
	p.width = len(line)
}

// End takes the line away.
func (p *Progress) End() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.width > 0 {
		fmt.Fprintf(p.io.Stderr, "\r%*s\r", p.width, "")
		p.width = 0
	}
}
