package tenant_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"logstore/pkg/tenant"
)

func TestIDs(t *testing.T) {
	f := func(header string, want []string, wantErr string) {
		t.Helper()
		ids, err := tenant.IDs(tenant.Inject(context.Background(), header))
		if wantErr != "" {
			require.EqualError(t, err, wantErr)
			return
		}
		require.NoError(t, err)
		require.Equal(t, want, ids)
	}
	f("a", []string{"a"}, "")
	f("b|a|b", []string{"a", "b"}, "")
	f("a:sub", []string{"a"}, "")
	f("A-z_0.9!*'()", []string{"A-z_0.9!*'()"}, "")
	f("", nil, "no org id")
	f("a|", nil, "no org id")
	f("a/b", nil, "tenant ID 'a/b' contains unsupported character '/'")
	f("..", nil, "tenant ID is '.' or '..'")
	f(strings.Repeat("x", 150), []string{strings.Repeat("x", 150)}, "")
	f(strings.Repeat("x", 151), nil, "tenant ID is too long: max 150 characters")
}

func TestID(t *testing.T) {
	_, err := tenant.ID(tenant.Inject(context.Background(), "a|b"))
	require.ErrorIs(t, err, tenant.ErrTooManyOrgIDs)
	id, err := tenant.ID(tenant.Inject(context.Background(), "a|a"))
	require.NoError(t, err)
	require.Equal(t, "a", id)
	_, err = tenant.ID(context.Background())
	require.ErrorIs(t, err, tenant.ErrNoOrgID)
	_, err = tenant.ID(tenant.Inject(context.Background(), "a#b"))
	require.ErrorIs(t, err, tenant.ErrInvalid)
}
