package ring

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSingleMember(t *testing.T) {
	r := New(Member{ID: "a", Addr: "127.0.0.1:9095"})
	require.Equal(t, Pending, r.Self().State)
	r.SetState(Active)
	require.Equal(t, "ACTIVE", r.Members()[0].State.String())
	require.Equal(t, 1, r.Healthy())
	require.Equal(t, "a", r.Replicas(nil, 7)[0].ID)
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
