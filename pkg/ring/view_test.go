package ring

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// randomView makes a view of members in any state and zone.
func randomView(rnd *rand.Rand) (*view, viewConfig) {
	cfg := viewConfig{factor: 1 + rnd.IntN(3), zoneAware: rnd.IntN(2) == 0}
	if rnd.IntN(4) == 0 {
		cfg.excluded = []string{"zone-0"}
	}
	members := make([]Member, 1+rnd.IntN(8))
	for i := range members {
		members[i] = Member{
			ID: fmt.Sprintf("m%d", i), Zone: fmt.Sprintf("zone-%d", rnd.IntN(3)), State: Active, Healthy: rnd.IntN(4) > 0,
			Tokens: evenTokens(1+rnd.IntN(20), rnd),
		}
		if rnd.IntN(4) == 0 {
			members[i].State = State(rnd.IntN(int(Left)))
		}
	}
	return newView(members, nil, cfg), cfg
}

// Whatever the ring looks like, a replica set has as many members as it can, all of which take pushes, in as many zones as
// there are, and the walk goes on to all others.
func TestReplicas(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		v, cfg := randomView(rnd)
		var takes []string
		zones := map[string]bool{}
		for _, m := range v.members {
			if m.Writable() && !slices.Contains(cfg.excluded, m.Zone) {
				takes = append(takes, m.ID)
				zones[m.Zone] = true
			}
		}
		require.Equal(t, len(takes), v.writers)
		for range 20 {
			token := rnd.Uint32()
			prefix := []Member{{ID: "kept"}}
			set := v.replicas(prefix, token)[1:]
			require.Len(t, set, min(cfg.factor, len(takes)))
			var walked []string
			for m := range v.walk(token) {
				walked = append(walked, m.ID)
			}
			inZones := map[string]bool{}
			for i, m := range set {
				require.Equal(t, walked[i], m.ID)
				inZones[m.Zone] = true
			}
			if cfg.zoneAware {
				require.Len(t, inZones, min(len(set), len(zones)))
			}
			slices.Sort(walked)
			require.Equal(t, takes, walked)
			if owner := v.owner(token); len(takes) > 0 {
				require.Contains(t, takes, owner.ID)
			} else {
				require.Nil(t, owner)
			}
		}
	}
}

// A member that is away and comes back finds its streams where they were.
func TestReplicasReturn(t *testing.T) {
	all := grow(t, 5, rand.New(rand.NewPCG(5, 6)))
	v := memberView(all, 2)
	members := slices.Clone(v.members)
	members[2].State = Leaving
	away := newView(slices.Concat(members[:2], members[3:]), members[2:3], viewConfig{factor: 2})
	for s := range uint64(2000) {
		token := Token("t", s)
		before, meanwhile := v.replicas(nil, token), away.replicas(nil, token)
		if !has(before, "member-0002") {
			require.Equal(t, before, meanwhile)
		}
	}
}

func BenchmarkReplicas(b *testing.B) {
	for _, n := range []int{3, 100} {
		v := memberView(grow(b, n, rand.New(rand.NewPCG(1, 1))), 2)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			dst, token := make([]Member, 0, 2), uint32(1)
			for b.Loop() {
				token = token*1664525 + 1013904223
				dst = v.replicas(dst[:0], token)
			}
		})
	}
}
