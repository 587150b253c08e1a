package deletes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"logstore/pkg/objstore"
)

const (
	addPrefix    = "__logstore__/deletes/add/"
	cancelPrefix = "__logstore__/deletes/cancel/"
)

// event is a request that was made or cancelled.
type event struct {
	Tenant  string `json:"tenant"`
	ID      string `json:"id"`
	Created int64  `json:"created,omitempty"`
	Query   string `json:"query,omitempty"`
	Parts   []span `json:"parts,omitempty"`
	// Generation is the time of the event in nanoseconds.
	Generation int64 `json:"generation"`

	cancel bool
}

func (e *event) key() string {
	prefix := addPrefix
	if e.cancel {
		prefix = cancelPrefix
	}
	return prefix + e.Tenant + "/" + e.ID + ".json"
}

func (e *event) put(ctx context.Context, b objstore.Bucket) error {
	body, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("cannot write delete request %s: %w", e.ID, err)
	}
	if err := b.Put(ctx, e.key(), body); err != nil {
		return fmt.Errorf("cannot write delete request %s: %w", e.ID, err)
	}
	return objstore.Sync(ctx, b)
}

// readEvents returns all events by key. Those in known were read before and never change.
func readEvents(ctx context.Context, b objstore.Bucket, known map[string]*event) (map[string]*event, error) {
	events := map[string]*event{}
	for _, prefix := range []string{addPrefix, cancelPrefix} {
		var keys []string
		err := b.List(ctx, prefix, func(o objstore.ObjectInfo) error {
			keys = append(keys, o.Key)
			return nil
		})
		if err != nil {
			return nil, err
		}
		for _, key := range keys {
			if e := known[key]; e != nil {
				events[key] = e
				continue
			}
			body, err := b.Get(ctx, key)
			if errors.Is(err, objstore.ErrNotFound) {
				continue // It was folded into the table meanwhile, which is read after this.
			}
			if err != nil {
				return nil, err
			}
			e := &event{cancel: prefix == cancelPrefix}
			if err := json.Unmarshal(body, e); err != nil || e.key() != key {
				return nil, fmt.Errorf("%w: object %s is no event", ErrTable, key)
			}
			events[key] = e
		}
	}
	return events, nil
}

// apply changes the table as the event says.
func (t *table) apply(e *event) {
	if e.cancel {
		t.cancel(e)
		return
	}
	if known := t.named(e.Tenant, e.ID); len(known) == 0 {
		for i, s := range e.Parts {
			p := Part{Tenant: e.Tenant, ID: e.ID, Number: i, Created: e.Created, Start: s.Start, End: s.End, Query: e.Query, State: Received}
			t.parts[p.Name()] = p
		}
	}
	t.touch(e.Tenant, e.Generation)
}

// cancel removes the parts that are not processed, or all if all are.
func (t *table) cancel(e *event) {
	names := t.named(e.Tenant, e.ID)
	waiting := 0
	for _, name := range names {
		if t.parts[name].State != Processed {
			waiting++
		}
	}
	for _, name := range names {
		if waiting == 0 || t.parts[name].State != Processed {
			delete(t.parts, name)
		}
	}
	t.touch(e.Tenant, e.Generation)
}

// named returns the names of the parts of a request.
func (t *table) named(tenant, id string) []string {
	var names []string
	for name := range t.parts {
		if name == tenant+":"+id || strings.HasPrefix(name, tenant+":"+id+":") {
			names = append(names, name)
		}
	}
	return names
}
