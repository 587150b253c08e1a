package failpoint

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Variable is the environment variable that main hands to Activate.
const Variable = "LOGSTORE_FAILPOINTS"

// ErrInjected is what Hit returns for the action "error".
var ErrInjected = errors.New("injected by a failpoint")

// Point is a named place in the code. It is safe for concurrent use.
type Point struct {
	name, doc string
	passes    atomic.Int64
	action    atomic.Pointer[action]
}

// action is what happens from the after-th pass on.
type action struct {
	after int64
	do    func() error
}

var (
	mu     sync.Mutex
	points = map[string]*Point{}
)

// New declares a point: "package/place", and in words what has just been done and what has not. Names are unique.
func New(name, doc string) *Point {
	mu.Lock()
	defer mu.Unlock()
	if points[name] != nil {
		panic("BUG: two failpoints are called " + name)
	}
	p := &Point{name: name, doc: doc}
	points[name] = p
	return p
}

// Name returns the name of the point.
func (p *Point) Name() string { return p.name }

// Hit does what the point is set to do. It returns nil unless that is to fail.
func (p *Point) Hit() error {
	a := p.action.Load()
	if a == nil || p.passes.Add(1) < a.after {
		return nil
	}
	if err := a.do(); err != nil {
		return fmt.Errorf("at %s: %w", p.name, err)
	}
	return nil
}

// Info is a row of the table of points.
type Info struct{ Name, Doc string }

// Table returns all points that the packages of the process declare, by name.
func Table() []Info {
	mu.Lock()
	defer mu.Unlock()
	out := make([]Info, 0, len(points))
	for _, p := range points {
		out = append(out, Info{p.name, p.doc})
	}
	slices.SortFunc(out, func(a, b Info) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// Activate sets points as the text says and returns their names. The empty text sets none.
func Activate(text string) ([]string, error) {
	var names []string
	for part := range strings.SplitSeq(text, ";") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		name, what, ok := strings.Cut(part, "=")
		if !ok {
			return nil, fmt.Errorf("cannot set failpoint %q: want name=action", part)
		}
		if _, err := Enable(strings.TrimSpace(name), strings.TrimSpace(what)); err != nil {
			return nil, err
		}
		names = append(names, strings.TrimSpace(name))
	}
	return names, nil
}

// Enable sets one point and begins to count its passes anew. The function that it returns switches the point off.
func Enable(name, what string) (disable func(), err error) {
	mu.Lock()
	p := points[name]
	mu.Unlock()
	if p == nil {
		return nil, fmt.Errorf("cannot set failpoint %q: there is no such point", name)
	}
	a, err := parse(what)
	if err != nil {
		return nil, fmt.Errorf("cannot set failpoint %q: %w", name, err)
	}
	p.passes.Store(0)
	p.action.Store(a)
	return func() { p.action.Store(nil) }, nil
}

// parse reads "kill", "3*error", "sleep(10ms)", "off".
func parse(what string) (*action, error) {
	a := &action{after: 1}
	if count, rest, ok := strings.Cut(what, "*"); ok {
		n, err := strconv.ParseInt(count, 10, 64)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q is no number of passes", count)
		}
		a.after, what = n, rest
	}
	switch {
	case what == "off":
		return nil, nil
	case what == "kill":
		a.do = kill
	case what == "error":
		a.do = func() error { return ErrInjected }
	case strings.HasPrefix(what, "sleep(") && strings.HasSuffix(what, ")"):
		d, err := time.ParseDuration(what[len("sleep(") : len(what)-1])
		if err != nil {
			return nil, err
		}
		a.do = func() error { time.Sleep(d); return nil }
	default:
		return nil, fmt.Errorf("%q is none of kill, error, sleep(1s), off", what)
	}
	return a, nil
}

// kill ends the process as the kernel would, in the middle of whatever its other goroutines do.
func kill() error {
	self, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = self.Kill()
	}
	if err != nil {
		return err
	}
	select {} // It is on its way: nothing of the caller may run any more.
}
