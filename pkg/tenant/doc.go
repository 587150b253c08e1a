// Package tenant carries a tenant id in a context and holds the rules of the X-Scope-OrgID header: which characters an
// id may have, and how several tenants are named at once ("a|b").
//
// An id is checked when it is used, not when it is injected, so that each caller answers with its own status.
package tenant
