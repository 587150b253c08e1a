package tenant

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Default is the tenant when authentication is off, as Loki names it.
const Default = "fake"

// MaxLength is the greatest length of a tenant id in bytes.
const MaxLength = 150

// Errors of a tenant id. Their texts are Loki's, since clients show them.
var (
	// ErrNoOrgID is returned when a request names no tenant.
	ErrNoOrgID = errors.New("no org id")
	// ErrTooManyOrgIDs is returned when several tenants are named where one is wanted.
	ErrTooManyOrgIDs = errors.New("multiple org IDs present")
	// ErrInvalid is what the errors of a malformed id are.
	ErrInvalid = errors.New("invalid tenant ID")
	// ErrTooLong is returned for an id of more than MaxLength bytes.
	ErrTooLong error = invalid("tenant ID is too long: max 150 characters")
	// ErrUnsafe is returned for an id that is a path component with a meaning.
	ErrUnsafe error = invalid("tenant ID is '.' or '..'")
)

// invalid is the text of an error that is ErrInvalid.
type invalid string

func (e invalid) Error() string        { return string(e) }
func (e invalid) Is(target error) bool { return target == ErrInvalid }

type contextKey struct{}

// Inject returns a context that carries the value of an X-Scope-OrgID header, unchecked.
func Inject(ctx context.Context, orgID string) context.Context {
	return context.WithValue(ctx, contextKey{}, orgID)
}

// Raw returns the header's value as it was injected.
func Raw(ctx context.Context) (string, error) {
	id, _ := ctx.Value(contextKey{}).(string)
	if id == "" {
		return "", ErrNoOrgID
	}
	return id, nil
}

// ID returns the one valid tenant of the context.
func ID(ctx context.Context) (string, error) {
	ids, err := IDs(ctx)
	if err != nil {
		return "", err
	}
	if len(ids) > 1 {
		return "", ErrTooManyOrgIDs
	}
	return ids[0], nil
}

// IDs returns the tenants of the context in ascending order, each once. They are joined by "|" in the header.
func IDs(ctx context.Context) ([]string, error) {
	raw, err := Raw(ctx)
	if err != nil {
		return nil, err
	}
	if !strings.Contains(raw, "|") {
		id, err := parse(raw)
		if err != nil {
			return nil, err
		}
		return []string{id}, nil
	}
	var ids []string
	for part := range strings.SplitSeq(raw, "|") {
		id, err := parse(part)
		if err != nil {
			return nil, err
		}
		ids = insert(ids, id)
	}
	return ids, nil
}

func insert(ids []string, id string) []string {
	i := 0
	for i < len(ids) && ids[i] < id {
		i++
	}
	if i < len(ids) && ids[i] == id {
		return ids
	}
	ids = append(ids, "")
	copy(ids[i+1:], ids[i:])
	ids[i] = id
	return ids
}

// parse checks one id. What follows a colon is a sub-tenant's name and does not count.
func parse(id string) (string, error) {
	id, _, _ = strings.Cut(id, ":")
	if id == "" {
		return "", ErrNoOrgID
	}
	for i := range len(id) {
		if !supported(id[i]) {
			return "", invalid(fmt.Sprintf("tenant ID '%s' contains unsupported character '%c'", id, id[i]))
		}
	}
	switch {
	case len(id) > MaxLength:
		return "", ErrTooLong
	case id == "." || id == "..":
		return "", ErrUnsafe
	}
	return id, nil
}

func supported(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	return strings.IndexByte("!-_.*'()", c) >= 0
}
