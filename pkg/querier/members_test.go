package querier

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"logstore/pkg/logql"
	"logstore/pkg/ring"
	"logstore/pkg/rpc"
)

// namesSource knows one label name, or fails.
type namesSource struct {
	logql.Source
	name string
	err  error
}

func (s namesSource) LabelNames(context.Context, logql.Selection) ([]string, error) {
	if s.err != nil {
		return nil, s.err
	}
	return []string{s.name}, nil
}

// TestMembersFail asks three to five members at replication factor 2, some of which are dead, silent or fail: a query may go without
// one of them, or without those that the ring knows to be dead, but not without a dead one and another: these two may be
// all that had an entry.
func TestMembersFail(t *testing.T) {
	for _, tc := range []struct {
		// members has a letter for each other member: a answers, d is dead, s does not answer, f fails.
		members  string
		answered string // by whom; "" if the query fails
		missing  bool   // and the answer is known not to be whole
	}{
		{"aa", "0aa", false},
		{"ad", "0a", false},
		{"as", "0a", true},
		{"af", "0a", true},
		{"ss", "", true},
		{"sf", "", true},
		{"dd", "0", true},
		{"ds", "", true},
		{"df", "", true},
		{"aadd", "0aa", true},
		{"aasf", "", true},
	} {
		t.Run(tc.members, func(t *testing.T) {
			members := []ring.Member{{ID: "self", Self: true, Healthy: true}}
			for i, kind := range tc.members {
				members = append(members, ring.Member{ID: string(rune('0' + i)), Addr: string(kind), Healthy: kind != 'd'})
			}
			m := NewMembers(MembersDeps{
				Readable: func(dst []ring.Member) []ring.Member { return append(dst, members...) },
				Own:      namesSource{name: "0"},
				Remote: func(m ring.Member) logql.Source {
					if m.Addr != "a" {
						return namesSource{err: errors.New("no")}
					}
					return namesSource{name: "a" + m.ID}
				},
				Answers:           func(_ context.Context, addr string) bool { return addr != "s" },
				ReplicationFactor: 2, Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
			})
			fetches := &logql.Fetches{}
			names, err := m.LabelNames(logql.WithFetches(t.Context(), fetches), logql.Selection{})
			require.Equal(t, tc.missing, fetches.Missing.Load() > 0)
			require.Equal(t, strings.Count(tc.members, "d") > 1, fetches.Incomplete.Load())
			if tc.answered == "" {
				require.ErrorIs(t, err, ErrIncomplete)
				return
			}
			require.NoError(t, err)
			answered := ""
			for _, name := range names {
				answered += name[:1]
			}
			require.Equal(t, tc.answered, answered)
		})
	}
}

// TestSilentMembersAreUnreachable lets callers tell.
func TestSilentMembersAreUnreachable(t *testing.T) {
	m := NewMembers(MembersDeps{
		Readable: func(dst []ring.Member) []ring.Member { return append(dst, ring.Member{ID: "1", Healthy: true}) },
		Remote:   func(ring.Member) logql.Source { return namesSource{} },
		Answers:  func(context.Context, string) bool { return false },
		Logger:   slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
	})
	_, err := m.LabelNames(t.Context(), logql.Selection{})
	require.ErrorIs(t, err, rpc.ErrUnreachable)
}
