package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/bcrypt"

	"logstore/pkg/tenant"
)

// Scope is something that a user may do.
type Scope string

// The scopes. The first three are about the tenants of the user, the others about the store.
const (
	// Read is queries, tails, and looking at rules and delete requests.
	Read Scope = "read"
	// Write is pushes.
	Write Scope = "write"
	// Manage is to change rules, to ask for deletions and to stop queries.
	Manage Scope = "manage"
	// Metrics is /metrics, which names all tenants.
	Metrics Scope = "metrics"
	// Admin is what concerns the process and all tenants: configuration, ring, shutdown, profiles. It holds Metrics.
	Admin Scope = "admin"
	// Any is wanted where any credentials are good enough.
	Any Scope = "any"
	// Open is wanted where none are needed.
	Open Scope = "open"
)

// defaultScopes are those of a user that has none in the file.
var defaultScopes = []Scope{Read, Write, Manage}

// allTenants in a user's tenants stands for every tenant.
const allTenants = "*"

// User is one entry of the users file.
type User struct {
	Name string
	// PasswordHash is bcrypt's ($2a$..., $2b$..., $2y$...), or "sha256:" and 64 hexadecimal digits for a long random password; empty
	// for no password.
	PasswordHash string
	// TokenHashes are "sha256:" and 64 hexadecimal digits each.
	TokenHashes []string
	// Certificates are names in client certificates that stand for the user: "CN=...", "DNS:...", "URI:..." or "EMAIL:...".
	Certificates []string
	// Tenants are those that the user may name; "*" allows all.
	Tenants []string
	// DefaultTenant is that of requests without one; empty: the only one of Tenants, if it is.
	DefaultTenant string
	// Scopes is empty for Read, Write and Manage.
	Scopes []Scope
}

// May reports whether the user may do what a scope is about.
func (u *User) May(s Scope) bool {
	scopes := u.Scopes
	if len(scopes) == 0 {
		scopes = defaultScopes
	}
	switch s {
	case Open, Any:
		return true
	case Metrics:
		return slices.Contains(scopes, Metrics) || slices.Contains(scopes, Admin)
	}
	return slices.Contains(scopes, s)
}

// Allowed reports whether the user may name a tenant.
func (u *User) Allowed(id string) bool {
	return slices.Contains(u.Tenants, allTenants) || slices.Contains(u.Tenants, id)
}

// OrgID returns the tenants of a request, as the value of X-Scope-OrgID: those that it names, if the user may, or the default.
// The error is one of package tenant or wraps ErrTenant.
func (u *User) OrgID(named string) (string, error) {
	if named == "" {
		if named = u.fallback(); named == "" {
			return "", tenant.ErrNoOrgID
		}
	}
	ids, err := tenant.IDs(tenant.Inject(context.Background(), named))
	if err != nil {
		return "", err
	}
	for _, id := range ids {
		if !u.Allowed(id) {
			return "", fmt.Errorf("%w %s", ErrTenant, id)
		}
	}
	return strings.Join(ids, "|"), nil
}

// fallback returns the tenant of requests that name none.
func (u *User) fallback() string {
	switch {
	case u.DefaultTenant != "":
		return u.DefaultTenant
	case len(u.Tenants) == 1 && u.Tenants[0] != allTenants:
		return u.Tenants[0]
	}
	return ""
}

// maxCost bounds the cost of bcrypt hashes: each step doubles the time, and 14 takes about a second.
const maxCost = 14

// validate reports everything that is wrong with a user; no text shows a hash.
func (u *User) validate() error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	switch {
	case u.Name == "":
		fail("the name is missing")
	case strings.ContainsAny(u.Name, ":\x00"):
		fail("the name must not have a colon")
	}
	if u.PasswordHash == "" && len(u.TokenHashes) == 0 && len(u.Certificates) == 0 {
		fail("it has no password_hash, token_hashes or certificates")
	}
	if h := u.PasswordHash; h != "" {
		if _, ok := digestOf(h); !ok {
			if cost, err := bcrypt.Cost([]byte(h)); err != nil || cost > maxCost {
				fail("password_hash is no bcrypt hash with a cost up to %d, and not sha256: with 64 hexadecimal digits: logstore auth hash makes one", maxCost)
			}
		}
	}
	for i, h := range u.TokenHashes {
		if _, ok := digestOf(h); !ok {
			fail("token_hashes[%d] is not sha256: with 64 hexadecimal digits: logstore auth token makes one", i)
		}
	}
	for _, c := range u.Certificates {
		if kind, name, ok := strings.Cut(c, certSeparator(c)); !ok || name == "" || !slices.Contains([]string{"CN", "DNS", "URI", "EMAIL"}, kind) {
			fail("certificates: %q is not CN=..., DNS:..., URI:... or EMAIL:...", c)
		}
	}
	for _, s := range u.Scopes {
		if !slices.Contains([]Scope{Read, Write, Manage, Metrics, Admin}, s) {
			fail("scopes: %q is not read, write, manage, metrics or admin", s)
		}
	}
	return errors.Join(append(errs, u.validateTenants())...)
}

func certSeparator(name string) string {
	if strings.HasPrefix(name, "CN=") {
		return "="
	}
	return ":"
}

func (u *User) validateTenants() error {
	var errs []error
	for _, id := range u.Tenants {
		if ids, err := tenant.IDs(tenant.Inject(context.Background(), id)); id != allTenants && (err != nil || len(ids) != 1 || ids[0] != id) {
			errs = append(errs, fmt.Errorf("tenants: %q is no tenant ID", id))
		}
	}
	if len(u.Tenants) == 0 && (u.May(Read) || u.May(Write) || u.May(Manage)) {
		errs = append(errs, errors.New("tenants is missing: name those that it may use, or * for all"))
	}
	if d := u.DefaultTenant; d != "" {
		ids, err := tenant.IDs(tenant.Inject(context.Background(), d))
		if err != nil || !u.Allowed(d) && !slices.ContainsFunc(ids, u.Allowed) {
			errs = append(errs, fmt.Errorf("default_tenant %q is not among its tenants", d))
		}
	}
	return errors.Join(errs...)
}

type contextKey struct{}

// Inject returns a context that carries the user who asks.
func Inject(ctx context.Context, u *User) context.Context {
	return context.WithValue(ctx, contextKey{}, u)
}

// From returns the user who asks; nil without built-in authentication.
func From(ctx context.Context) *User {
	u, _ := ctx.Value(contextKey{}).(*User)
	return u
}
