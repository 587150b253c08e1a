// Package client asks a running store over HTTP: this one, or any other that speaks Loki's API.
//
// The nouns:
//
//   - Config: where the store is and who asks: address, tenant, credentials, certificates, and how often to try again.
//     Flags fills one from a command line and the environment variables that logcli reads.
//   - Client: sends requests. It adds the tenant and the credentials to each, tries again what may succeed later (429, 5xx, a
//     connection that fails) with growing pauses, and turns every refusal into a StatusError with the store's text.
//   - Result: the answer of a query: streams, matrix, vector or scalar, and its statistics.
//   - Tail: an open websocket with the frames of a tail. It is not opened anew by itself, since only the caller knows what
//     has arrived.
//
// Every error can be asked for Advice, a sentence about what to do. Passwords and tokens are sent and never part of an error.
package client
