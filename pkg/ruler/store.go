package ruler

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"logstore/pkg/objstore"
	"logstore/pkg/rules"
)

// Errors of a store and of the calls that change it. Their texts are Loki's, since clients look for them.
var (
	ErrNoGroups          = errors.New("no rule groups found")
	ErrGroupNotFound     = errors.New("group does not exist")
	ErrNamespaceNotFound = errors.New("group namespace does not exist")
	// ErrReadOnly is what the errors of a store that may not be written are.
	ErrReadOnly = errors.New("rules may not be changed")
	// ErrInvalid is what the errors of a request that asks for the impossible are.
	ErrInvalid = errors.New("bad request")
)

// readOnly is an ErrReadOnly in the words that Grafana knows a local store by.
type readOnly string

func (e readOnly) Error() string        { return string(e) }
func (e readOnly) Is(target error) bool { return target == ErrReadOnly }

// invalid is an ErrInvalid with a text of its own.
type invalid string

func (e invalid) Error() string        { return string(e) }
func (e invalid) Is(target error) bool { return target == ErrInvalid }

// entry is a group as a store holds it.
type entry struct {
	tenant, namespace string
	group             rules.Group
	// file is where it was read, if in a file of several groups, else "".
	file string
}

// source reads rule groups from one kind of place.
type source interface {
	// load returns the groups of a tenant, or of all tenants if it is "", and what could not be read. It is not used
	// concurrently.
	load(ctx context.Context, tenant string) ([]entry, []error)
	// names is load, but the groups may have nothing except their names.
	names(ctx context.Context, tenant string) ([]entry, []error)
	// where says where the source looks, for people.
	where() string
}

// Store holds the groups of all tenants: files that are only read, and objects that the API may change. Calls must not
// overlap; the Ruler sees to that.
type Store struct {
	sources []source
	objects *objects // nil: read only
}

// NewLocal returns a store that only reads a folder, or what a pattern matches. With single everything is the default
// tenant's.
func NewLocal(pattern string, single bool) (*Store, error) {
	f, err := newFiles(pattern, single)
	if err != nil {
		return nil, err
	}
	return &Store{sources: []source{f}}, nil
}

// NewFolder returns a store of the files in a folder and of the groups that the API puts into the bucket, which is that
// same folder.
func NewFolder(pattern string, b objstore.Bucket, single bool) (*Store, error) {
	f, err := newFiles(pattern, single)
	if err != nil {
		return nil, err
	}
	o := newObjects(b, single)
	o.onlyGroups = true // the files are read as such
	return &Store{sources: []source{o, f}, objects: o}, nil
}

// NewBucket returns a store of groups in a bucket.
func NewBucket(b objstore.Bucket, single bool) *Store {
	o := newObjects(b, single)
	return &Store{sources: []source{o}, objects: o}
}

// loaded is what a Store holds at one time.
type loaded struct {
	groups map[string]map[string][]entry // by tenant and namespace, in the order of their names
	count  int
	errs   []error
}

// unreadError says that a place could not be read, so that it is not known which groups it holds.
type unreadError struct{ error }

// Unwrap returns the reason.
func (e unreadError) Unwrap() error { return e.error }

// load reads everything, or what one tenant has. A group that two places hold counts once, the object before the file.
func (s *Store) load(ctx context.Context, tenant string) loaded {
	return s.collect(func(src source) ([]entry, []error) { return src.load(ctx, tenant) })
}

// names is load, but the groups may have nothing except their names.
func (s *Store) names(ctx context.Context, tenant string) loaded {
	return s.collect(func(src source) ([]entry, []error) { return src.names(ctx, tenant) })
}

// collect joins what the sources have.
func (s *Store) collect(from func(source) ([]entry, []error)) loaded {
	out := loaded{groups: map[string]map[string][]entry{}}
	seen := map[[3]string]string{}
	for _, src := range s.sources {
		entries, errs := from(src)
		out.errs = append(out.errs, errs...)
		for _, e := range entries {
			key := [3]string{e.tenant, e.namespace, e.group.Name}
			if other, ok := seen[key]; ok {
				out.errs = append(out.errs, fmt.Errorf("%s: group %q of namespace %q is already there, in %s", e.file, e.group.Name, e.namespace, other))
				continue
			}
			seen[key] = e.file
			if e.file == "" {
				seen[key] = "the bucket"
			}
			if out.groups[e.tenant] == nil {
				out.groups[e.tenant] = map[string][]entry{}
			}
			out.groups[e.tenant][e.namespace] = append(out.groups[e.tenant][e.namespace], e)
			out.count++
		}
	}
	return out
}

// files returns the files that hold groups, in ascending order.
func (l *loaded) files() []string {
	set := map[string]bool{}
	for _, namespaces := range l.groups {
		for _, entries := range namespaces {
			for _, e := range entries {
				if e.file != "" {
					set[e.file] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// where says where the store looks.
func (s *Store) where() []string {
	var out []string
	for _, src := range s.sources {
		out = append(out, src.where())
	}
	return out
}
