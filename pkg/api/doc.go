// Package api is all of HTTP: routes, parameters, encodings, status codes and pages. It owns no data: app hands it what
// it calls (Deps), and every handler is a few lines between a parsed request and an encoded answer.
//
// The surface is Loki's, as spec'd by its documentation and by what it answers: paths are exact, failures are plain text
// without an envelope, times are nanoseconds, seconds or RFC 3339, and forms may come in the query string or the body.
//
// Where there is built-in authentication (Deps.Auth), every route has a scope that a user needs, and routes about tenants answer for
// those that the user may name; access.go is where both are held to, for all routes. The upgrade to a websocket may name the tenant in the
// parameter `tenant`, as browsers cannot set headers there.
//
// The server's time-outs do not bound how long a query takes, only how long its request is read and its answer written (patience.go).
//
// Files: api.go holds the routes, middleware.go what surrounds every handler, params.go the parameters, errors.go the
// mapping from errors to status codes; the rest is one file per group of endpoints.
package api
