// Package alertmanager sends alerts to Alertmanagers over version 2 of their API.
//
// Nouns: a Notifier sends the alerts of one tenant; a target is one Alertmanager, found under an address as it is or by DNS.
// Every target has a queue of its own, so that one that does not answer holds nothing back from the others.
//
// A queue holds at most Config.QueueCapacity alerts. A newer word about an alert that waits replaces the older one, so
// that a queue is full only when so many different alerts wait; then the oldest is dropped and counted. What fails for a
// passing reason (no answer, 429, 5xx) is tried again, with growing pauses, until it is delivered or replaced: an outage
// of a receiver loses nothing up to that bound. What the receiver refuses (other 4xx) is dropped and counted.
//
// Locks: Notifier.mu guards the table of targets, target.mu its queue; neither is held over I/O, and they are not nested.
package alertmanager
