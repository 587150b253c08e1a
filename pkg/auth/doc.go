// Package auth is the built-in authentication: who asks, and for which tenants. It is optional; without it the store takes
// the tenant from X-Scope-OrgID as Loki does, and a proxy before it must see to the rest.
//
// Nouns: a User is an entry of the users file; its credentials are a password (basic authentication), tokens (bearer) and
// names of client certificates; its Tenants are those that it may name in X-Scope-OrgID; its Scopes say what it may do. An Authenticator
// holds the users and reads their source again while the store runs: a source that is bad, or gone, changes nothing.
//
// Secrets are kept as hashes only: bcrypt for passwords, which people choose, SHA-256 for tokens, which are random and long. A
// password that was checked is remembered by a keyed hash, so that bcrypt's cost is paid once for each password and reload, not per
// request. How many checks run and wait at a time is bounded.
//
// Lock order: Authenticator.reload before the rest; directory.mu is a leaf and is not held while bcrypt works.
package auth
