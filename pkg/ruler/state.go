package ruler

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"logstore/pkg/objstore"
	"logstore/pkg/rules"
)

const (
	statePrefix  = "ruler-state/"
	stateSuffix  = ".json.gz"
	stateVersion = 1
	// statePeriod is how often the state is saved, and dirtyPeriod how soon after an alert has changed its state.
	statePeriod = 15 * time.Second
	dirtyPeriod = 2 * time.Second
	// stateGarbage is when the state that a member left behind is removed.
	stateGarbage = 24 * time.Hour
	// maxState bounds the size of a member's state, unpacked.
	maxState = 1 << 30
)

// savedState is the object of one member.
type savedState struct {
	Version int                       `json:"version"`
	Saved   time.Time                 `json:"saved"`
	Groups  map[string]rules.Snapshot `json:"groups"`
}

func (k key) String() string {
	return url.PathEscape(k.tenant) + "/" + url.PathEscape(k.namespace) + "/" + url.PathEscape(k.group)
}

func stateKey(member string) string { return statePrefix + url.PathEscape(member) + stateSuffix }

// saveState puts the state of this member's groups, and of those it lost lately, into the bucket.
func (r *Ruler) saveState(ctx context.Context) error {
	if r.deps.State == nil {
		return nil
	}
	now := time.Now()
	state := savedState{Version: stateVersion, Saved: now.UTC(), Groups: map[string]rules.Snapshot{}}
	r.mu.Lock()
	for k, s := range r.parted {
		if now.Sub(s.Last) > r.cfg.ForOutageTolerance {
			delete(r.parted, k)
			continue
		}
		state.Groups[k.String()] = s
	}
	running := slices.Collect(maps.Values(r.runners))
	r.mu.Unlock()
	for _, run := range running {
		if s := run.eval.Snapshot(); !s.Last.IsZero() {
			state.Groups[run.key.String()] = s
		}
	}
	if len(state.Groups) == 0 && !r.stateThere {
		return nil
	}
	var b bytes.Buffer
	zw := gzip.NewWriter(&b)
	if err := json.NewEncoder(zw).Encode(state); err != nil {
		return fmt.Errorf("cannot encode the state of alerts: %w", err)
	}
	if err := zw.Close(); err != nil {
		return fmt.Errorf("cannot encode the state of alerts: %w", err)
	}
	if err := r.deps.State.Put(ctx, stateKey(r.cfg.Member), b.Bytes()); err != nil {
		return fmt.Errorf("cannot save the state of alerts: %w", err)
	}
	r.stateThere = true
	r.metrics.stateSaved.Set(float64(now.UnixNano()) / 1e9)
	return nil
}

// loadState returns the latest word of all members about each group. What cannot be read is left out.
func (r *Ruler) loadState(ctx context.Context) map[string]rules.Snapshot {
	latest := map[string]rules.Snapshot{}
	if r.deps.State == nil {
		return latest
	}
	var infos []objstore.ObjectInfo
	err := r.deps.State.List(ctx, statePrefix, func(info objstore.ObjectInfo) error {
		if strings.HasSuffix(info.Key, stateSuffix) {
			infos = append(infos, info)
		}
		return nil
	})
	if err != nil {
		r.log.Warn("cannot list the state of alerts: they begin anew", "bucket", r.deps.State.Name(), "err", err)
	}
	for _, info := range infos {
		if time.Since(info.ModTime) > stateGarbage && info.Key != stateKey(r.cfg.Member) {
			if err := r.deps.State.Delete(ctx, info.Key); err != nil {
				r.log.Warn("cannot remove the old state of a member that is gone", "key", info.Key, "err", err)
			}
			continue
		}
		body, err := r.deps.State.Get(ctx, info.Key)
		if errors.Is(err, objstore.ErrNotFound) {
			continue
		}
		var state savedState
		if err == nil {
			state, err = decodeState(body)
		}
		if err != nil {
			r.log.Warn("cannot read a member's state of alerts: its groups begin anew", "key", info.Key, "err", err)
			continue
		}
		for k, s := range state.Groups {
			if s.Last.After(latest[k].Last) {
				latest[k] = s
			}
		}
	}
	return latest
}

func decodeState(body []byte) (savedState, error) {
	var state savedState
	zr, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return state, err
	}
	text, err := io.ReadAll(io.LimitReader(zr, maxState))
	if err != nil {
		return state, err
	}
	if err := json.Unmarshal(text, &state); err != nil {
		return state, err
	}
	if state.Version != stateVersion {
		return state, fmt.Errorf("version %d of the state, not %d", state.Version, stateVersion)
	}
	return state, nil
}
