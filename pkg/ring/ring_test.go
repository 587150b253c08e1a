package ring

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSingleMember(t *testing.T) {
	cfg := DefaultConfig()
	cfg.ID, cfg.Addr = "a", "127.0.0.1:9095"
	r, err := New(cfg, Deps{})
	require.NoError(t, err)
	require.Equal(t, Pending, r.Self().State)
	changed := r.Changed()
	r.Activate()
	<-changed
	require.Equal(t, "ACTIVE", r.Members()[0].State.String())
	require.Equal(t, 1, r.Healthy())
	require.Equal(t, "a", r.Replicas(nil, 7)[0].ID)
	owner, ok := r.Owner(7)
	require.True(t, ok)
	require.True(t, owner.Self)
	for m := range r.Walk(7) {
		require.Equal(t, "a", m.ID)
	}
	require.ErrorIs(t, r.Forget("a"), ErrAlive)
	require.ErrorIs(t, r.Forget("b"), ErrUnknown)
	r.Leave()
	require.Equal(t, Leaving, r.Self().State)
	require.Len(t, r.Replicas(nil, 7), 1, "a member alone takes pushes until its server stops")
}

func TestTokenSpreads(t *testing.T) {
	// Streams whose hashes are close, and tenants with the same streams, lie apart.
	seen := map[uint32]bool{}
	quarter := [4]int{}
	for hash := range uint64(4000) {
		for _, tenant := range []string{"a", "b"} {
			token := Token(tenant, hash)
			require.False(t, seen[token])
			seen[token] = true
			quarter[token>>30]++
		}
	}
	for _, n := range quarter {
		require.InDelta(t, 2000, n, 300)
	}
}
