// Package faultproxy stands between a client and a real HTTP server and breaks chosen requests: it answers errors, hangs,
// delays, resets connections, cuts, lengthens and damages bodies, and loses the answers to requests that were done. Only
// tests import it.
//
// A Rule says which requests it breaks, how many, and with what probability; the dice are seeded, so that a run can be
// repeated as far as the order of requests can. The first rule that takes a request decides; the others pass unharmed.
package faultproxy
