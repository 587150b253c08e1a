package deletes

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"logstore/integration/lokibuckets"
	"logstore/pkg/limits"
	"logstore/pkg/objstore"
)

var t0 = time.Date(2026, 1, 20, 12, 0, 0, 0, time.UTC)

// member is a store of a member on a clock of the test's own.
type member struct {
	*Store
	clock time.Time
}

func newMember(t *testing.T, b objstore.Bucket) *member {
	t.Helper()
	l, err := limits.New(limits.DefaultLimits())
	require.NoError(t, err)
	cfg := DefaultConfig
	cfg.Directory = t.TempDir()
	m := &member{clock: t0}
	m.Store, err = New(cfg, Deps{Bucket: b, Limits: l, Now: func() time.Time { return m.clock }})
	require.NoError(t, err)
	return m
}

func (m *member) add(t *testing.T, query string, start, end time.Duration) string {
	t.Helper()
	id, err := m.Add(t.Context(), "acme", Params{Query: query, Start: t0.Add(start).UnixMilli(), End: t0.Add(end).UnixMilli()})
	require.NoError(t, err)
	return id
}

func noFence() error { return nil }

// keys returns the keys in the bucket.
func keys(t *testing.T, b objstore.Bucket) []string {
	t.Helper()
	var out []string
	require.NoError(t, b.List(t.Context(), "", func(o objstore.ObjectInfo) error {
		out = append(out, o.Key)
		return nil
	}))
	return out
}

// TestLokiTable reads a table that Loki wrote, and writes one that reads the same.
func TestLokiTable(t *testing.T) {
	c := lokibuckets.Open(t, "l29-v12-deletes")
	object, err := os.ReadFile(filepath.Join(c.Bucket, "index", "delete_requests", "delete_requests.gz"))
	require.NoError(t, err)
	table, err := decodeTable(t.TempDir(), object)
	require.NoError(t, err)
	requests := table.requests()
	require.NotEmpty(t, requests)
	byID := map[string]Request{}
	for _, r := range requests {
		byID[r.Tenant+":"+r.ID] = r
		require.Equal(t, Processed, r.Status())
	}
	require.Equal(t, Part{
		Tenant: "acme", ID: "091579cc", Created: 0x1a204ee0b16, Start: 0x19ba533e400, End: 0x19bb4a6f800, Query: `{app="json"} |= "warn"`, State: Processed,
	}, byID["acme:091579cc"].Parts[0])
	require.NotZero(t, table.generations["acme"])

	again, err := table.encode(t.TempDir())
	require.NoError(t, err)
	read, err := decodeTable(t.TempDir(), again)
	require.NoError(t, err)
	require.Equal(t, table, read)
}

func TestTwoMembers(t *testing.T) {
	b := objstore.NewMemory()
	one, two := newMember(t, b), newMember(t, b)
	first := one.add(t, `{app="x"}`, -3*time.Hour, -2*time.Hour)
	one.clock, two.clock = t0.Add(time.Second), t0.Add(time.Second)
	second := two.add(t, `{app="x"} |= "secret"`, -72*time.Hour, -time.Hour)
	require.NoError(t, one.Refresh(t.Context()))
	for _, m := range []*member{one, two} {
		got := m.Requests("acme")
		require.Len(t, got, 2)
		require.Equal(t, []string{first, second}, []string{got[0].ID, got[1].ID})
		require.Len(t, got[0].Parts, 1)
		require.Len(t, got[1].Parts, 3, "a day each")
		require.Equal(t, got[1].Start, got[1].Parts[0].Start)
		require.Equal(t, t0.Add(-time.Hour).UnixMilli(), got[1].Parts[2].End)
		require.Len(t, m.Filters("acme"), 4)
		require.Empty(t, m.Filters("other"))
	}
	require.Equal(t, one.Generation("acme"), two.Generation("acme"))

	// The owner takes both up; the events go at the next fold.
	require.NoError(t, one.Fold(t.Context(), nil, noFence))
	require.Len(t, keys(t, b), 3)
	require.NoError(t, one.Fold(t.Context(), nil, noFence))
	require.Equal(t, []string{"index/delete_requests/delete_requests.gz"}, keys(t, b))
	require.NoError(t, two.Refresh(t.Context()))
	require.Equal(t, one.Requests(""), two.Requests(""))

	// Cancelling at a member that is not the owner.
	require.ErrorIs(t, two.Cancel(t.Context(), "other", first, false), ErrNotFound)
	generation := two.Generation("acme")
	two.clock = two.clock.Add(time.Minute)
	require.NoError(t, two.Cancel(t.Context(), "acme", first, false))
	require.NotEqual(t, generation, two.Generation("acme"))
	require.ErrorIs(t, two.Cancel(t.Context(), "acme", first, false), ErrNotFound)
	require.NoError(t, one.Refresh(t.Context()))
	require.Len(t, one.Requests(""), 1)
	require.NoError(t, one.Fold(t.Context(), nil, noFence))
	require.NoError(t, one.Fold(t.Context(), nil, noFence))
	require.Len(t, keys(t, b), 1)
}

func TestLife(t *testing.T) {
	b := objstore.NewMemory()
	m := newMember(t, b)
	id := m.add(t, `{app="x"} |= "a"`, -30*time.Hour, -time.Hour)
	require.Empty(t, m.Due(0))
	at, ok := m.NextDue()
	require.True(t, ok)
	require.Equal(t, t0.Add(24*time.Hour), at.UTC())
	m.clock = t0.Add(25 * time.Hour)
	require.ErrorIs(t, m.Cancel(t.Context(), "acme", id, false), ErrStarted)
	due := m.Due(0)
	require.Len(t, due, 2)
	require.NoError(t, m.Fold(t.Context(), []Part{due[0].Part}, noFence))
	require.Equal(t, "50% Complete", m.Requests("acme")[0].Status())
	require.Len(t, m.Due(0), 1)
	require.Len(t, m.Filters("acme"), 2, "the processed part lingers")
	other := newMember(t, b)
	require.NoError(t, other.Refresh(t.Context()))
	require.Len(t, other.Filters("acme"), 1, "who starts now has no listing from before")
	m.clock = m.clock.Add(m.cfg.Linger + time.Second)
	require.Len(t, m.Filters("acme"), 1)

	// What is left can be cancelled by force.
	require.ErrorIs(t, m.Cancel(t.Context(), "acme", id, false), ErrStarted)
	require.NoError(t, m.Cancel(t.Context(), "acme", id, true))
	require.Equal(t, Processed, m.Requests("acme")[0].Status())
	require.Empty(t, m.Due(0))
	_, ok = m.NextDue()
	require.False(t, ok)
}

func TestFence(t *testing.T) {
	b := objstore.NewMemory()
	m := newMember(t, b)
	m.add(t, `{app="x"}`, -3*time.Hour, -2*time.Hour)
	lost := errors.New("lost")
	require.ErrorIs(t, m.Fold(t.Context(), nil, func() error { return lost }), lost)
	require.Len(t, keys(t, b), 1)
}

func TestModes(t *testing.T) {
	b := objstore.NewMemory()
	m := newMember(t, b)
	m.add(t, `{app="x"}`, -3*time.Hour, -2*time.Hour)
	m.clock = t0.Add(48 * time.Hour)
	set := func(mode string) {
		l := limits.DefaultLimits()
		l.DeletionMode = mode
		require.NoError(t, m.limits.Set("acme", l))
	}
	require.Len(t, m.Due(0), 1)
	set(limits.DeletionFilterOnly)
	require.Empty(t, m.Due(0))
	require.Len(t, m.Filters("acme"), 1)
	set(limits.DeletionDisabled)
	require.Empty(t, m.Due(0))
	require.Empty(t, m.Filters("acme"))
	_, err := m.Add(t.Context(), "acme", Params{Query: `{a="b"}`, Start: 1, End: 2})
	require.ErrorIs(t, err, ErrDisabled)
}

func TestRefused(t *testing.T) {
	m := newMember(t, objstore.NewMemory())
	hour := time.Hour.Milliseconds()
	now := t0.UnixMilli()
	for _, c := range []struct {
		p    Params
		text string
	}{
		{Params{Query: `{a="b"}`, Start: now - hour, End: now + 1}, "deletes in the future are not allowed"},
		{Params{Query: `{a="b"}`, Start: now, End: now}, "start time can't be greater than or equal to end time"},
		{Params{Query: `{a`, Start: now - hour, End: now}, "invalid query expression"},
		{Params{Query: `rate({a="b"}[1m])`, Start: now - hour, End: now}, "invalid query expression"},
		{Params{Query: `{a="b"} |= "x"`, Start: now - hour, End: now, MaxInterval: 2 * time.Hour}, "max_interval can't be greater than the interval to be deleted (1h0m0s)"},
	} {
		_, err := m.Add(t.Context(), "acme", c.p)
		require.ErrorIs(t, err, ErrInvalid)
		require.ErrorContains(t, err, c.text)
	}
	require.Empty(t, m.Requests(""))
}

func TestSplitSpan(t *testing.T) {
	require.Equal(t, []span{{0, 100}}, splitSpan(0, 100, 0))
	require.Equal(t, []span{{0, 50}, {50, 100}}, splitSpan(0, 100, 50))
	require.Equal(t, []span{{0, 30}, {30, 60}, {60, 90}, {90, 100}}, splitSpan(0, 100, 30))
	require.Equal(t, []span{{0, 100}}, splitSpan(0, 100, 100))
}

func FuzzTable(f *testing.F) {
	f.Add("1\x00acme:091579cc", "received")
	f.Add("2:acme:091579cc\x001a:1b:1c", `{a="b"}`)
	f.Add("3:acme\x00", "12")
	f.Fuzz(func(t *testing.T, key, value string) {
		table := newTable()
		states := map[string]string{}
		if err := table.add(key, value, states); err != nil {
			require.ErrorIs(t, err, ErrTable)
		}
		for name, p := range table.parts {
			tenant, id, number, err := parseName(name)
			require.NoError(t, err)
			require.Equal(t, []any{tenant, id, number}, []any{p.Tenant, p.ID, p.Number})
		}
	})
}
