package audit

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"time"

	"logstore/pkg/objstore"
	"logstore/pkg/schema"
)

// tablesPrefix is where notes on tables are in the bucket of their index.
const tablesPrefix = ownPrefix + "sidecars/tables/"

// pastTable is a table of a past day with what is known of the sidecars of its chunks.
type pastTable struct {
	Table
	// state is a hash of its files, and the versions of what is made of its chunks.
	state string
	// packs are those that are there, of any state.
	packs []packObject
	// done is set if all its chunks, as its files are now, were looked at since; pruned once packs are the only place of what they hold.
	done, pruned bool
	since        time.Time
	// noteKey is the object that says so.
	noteKey string
}

// doneKey begins the name of the note on a table as its files are now: the number of its packs follows.
func (t *pastTable) doneKey() string {
	return tablesPrefix + strings.ReplaceAll(t.Name, "/", "-") + "-" + t.state
}

// stateOf is what a table's packs and notes are named by.
func stateOf(t *Table) string {
	h := fnv.New128a()
	for i := range t.Files {
		_, _ = h.Write([]byte(t.Files[i].Key + "\n")) // never fails
	}
	return versions + hex.EncodeToString(h.Sum(nil))
}

// survey returns the tables of past days that have files, oldest first. Notes on tables that changed or went are removed, and so are packs
// of tables that are gone.
func (s *SidecarBuilder) survey(ctx context.Context, now time.Time) ([]pastTable, error) {
	past := Days{From: AllDays.From, Through: schema.Day(now.Add(-settled).UnixMilli()) - 1}
	tables, err := s.Bucket.Tables(ctx, past)
	if err != nil {
		return nil, err
	}
	packs, strays, err := s.packsOf(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]pastTable, 0, len(tables))
	for _, t := range tables {
		if len(t.Files) == 0 {
			continue
		}
		key := packTable{s.chunksOf(&t), t.Name}
		out = append(out, pastTable{Table: t, state: stateOf(&t), packs: packs[key]})
		delete(packs, key)
	}
	if err := s.readNotes(ctx, out); err != nil {
		return nil, err
	}
	for key, list := range packs {
		for _, o := range list {
			if past.Contains(schema.Day(o.Last)) {
				strays[key.bucket] = append(strays[key.bucket], o.key)
			}
		}
	}
	for b, keys := range strays {
		for _, key := range keys {
			if err := b.Delete(ctx, key); err != nil {
				return nil, fmt.Errorf("cannot remove a pack of sidecars: %w", err)
			}
		}
	}
	return out, nil
}

// readNotes finds out which tables are done.
func (s *SidecarBuilder) readNotes(ctx context.Context, tables []pastTable) error {
	byKey := make(map[string]*pastTable, len(tables))
	for i := range tables {
		byKey[tables[i].doneKey()] = &tables[i]
	}
	seen := map[objstore.Bucket]bool{}
	for _, b := range s.Bucket.Index {
		if seen[b] {
			continue
		}
		seen[b] = true
		var stale []string
		err := b.List(ctx, tablesPrefix, func(o objstore.ObjectInfo) error {
			if !takeNote(byKey, o) {
				stale = append(stale, o.Key)
			}
			return nil
		})
		for _, key := range stale {
			err = errors.Join(err, b.Delete(ctx, key))
		}
		if err != nil {
			return fmt.Errorf("cannot tell which tables have all sidecars: %w", err)
		}
	}
	return nil
}

// takeNote takes a note into account, and reports false if nobody needs it: the table changed, or one of its packs was lost.
func takeNote(byKey map[string]*pastTable, o objstore.ObjectInfo) bool {
	cut := strings.LastIndexByte(o.Key, '-')
	t := byKey[o.Key[:max(cut, 0)]]
	if t == nil || t.done {
		return false
	}
	n, err := strconv.ParseUint(o.Key[cut+1:], 16, 31)
	if err != nil {
		return false
	}
	there := uint64(0)
	for i := range t.packs {
		if t.packs[i].State == t.state {
			there++
		}
	}
	if there < n {
		return false
	}
	t.done, t.pruned, t.since, t.noteKey = true, o.Size == 0, o.ModTime, o.Key
	return true
}

// noteHead begins a note on a table of which there may be something to remove. The keys of its packs follow, each in a line.
const noteHead = "packs\n"

// note notes that all chunks of a table were looked at, and which its packs are.
func (s *SidecarBuilder) note(ctx context.Context, t *pastTable, packs []string) error {
	var body []byte
	if len(packs)+len(t.packs) > 0 {
		body = []byte(noteHead + strings.Join(packs, "\n"))
	}
	if err := s.Bucket.Index[t.Period].Put(ctx, fmt.Sprintf("%s-%x", t.doneKey(), len(packs)), body); err != nil {
		return fmt.Errorf("cannot note that table %s has all sidecars: %w", t.Name, err)
	}
	return nil
}

// noted returns the packs that a note names.
func (s *SidecarBuilder) noted(ctx context.Context, t *pastTable) (packs map[string]bool, err error) {
	body, err := s.Bucket.Index[t.Period].Get(ctx, t.noteKey)
	if err != nil {
		return nil, fmt.Errorf("cannot read which packs table %s has: %w", t.Name, err)
	}
	packs = map[string]bool{}
	for key := range strings.Lines(strings.TrimPrefix(string(body), noteHead)) {
		packs[strings.TrimSuffix(key, "\n")] = true
	}
	return packs, nil
}
